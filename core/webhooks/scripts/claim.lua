-- Gives the ids of messages that are due, oldest first, and lets each be due again only after a while.
--
-- ARGV[1]  how many
-- ARGV[2]  after how many seconds

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local found = redis.call('ZRANGEBYSCORE', 'fewstep:webhooks:due', '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(found) do redis.call('ZADD', 'fewstep:webhooks:due', now + tonumber(ARGV[2]), id) end
return found
