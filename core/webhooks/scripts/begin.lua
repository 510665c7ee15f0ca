-- Takes a message in hand. Returns its fields, an attempt counted; nil where it is forgotten, ended or in other hands.
--
-- ARGV[1]  id of the message
-- ARGV[2]  for how many seconds nobody else may take it

local id, key = ARGV[1], 'fewstep:webhooks:message:' .. ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local of = redis.call('HMGET', key, 'url', 'ended', 'until')
if not of[1] or of[2] then
  redis.call('ZREM', 'fewstep:webhooks:due', id)
  return false
end
if of[3] and tonumber(of[3]) > now then return false end
redis.call('HSET', key, 'until', now + tonumber(ARGV[2]))
redis.call('ZADD', 'fewstep:webhooks:due', now + tonumber(ARGV[2]), id)
redis.call('HINCRBY', key, 'attempts', 1)
return redis.call('HGETALL', key)
