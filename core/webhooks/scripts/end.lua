-- Notes how an attempt to deliver a message ended.
--
-- ARGV[1]  id of the message
-- ARGV[2]  delivered, given_up, or failed, after which it is tried again
-- ARGV[3]  facts of the attempt, as a JSON object, to which its time is added
-- ARGV[4]  after how many seconds it is tried again

local id, outcome, key = ARGV[1], ARGV[2], 'fewstep:webhooks:message:' .. ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
if redis.call('EXISTS', key) == 0 then
  redis.call('ZREM', 'fewstep:webhooks:due', id)
  return
end
local log, facts = cjson.decode(redis.call('HGET', key, 'log') or '[]'), cjson.decode(ARGV[3])
facts.at = now
table.insert(log, facts)
redis.call('HSET', key, 'log', cjson.encode(log))
redis.call('HDEL', key, 'until')
if outcome == 'failed' then
  redis.call('ZADD', 'fewstep:webhooks:due', now + tonumber(ARGV[4]), id)
else
  redis.call('HSET', key, 'ended', outcome)
  redis.call('ZREM', 'fewstep:webhooks:due', id)
end
