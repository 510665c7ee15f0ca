-- Moves a generation from one status to another. Returns its request, where it is started with the seconds since it was
-- accepted; nil where it is not there any more, has another status, or is another worker's.
--
-- KEYS[1]  record of the generation
-- KEYS[2]  what is queued
-- KEYS[3]  what is running, and where
-- KEYS[4]  sum of the work of what has not ended
-- KEYS[5]  pieces of the result
-- ARGV[1]  id of the generation
-- ARGV[2]  statuses that it may have now, with spaces between
-- ARGV[3]  the new status
-- ARGV[4]  worker that must have it; empty: any
-- ARGV[5]  worker that gets it, where the new status is running
-- ARGV[6]  how long an ended one is kept, in milliseconds
-- ARGV[7]  and on: names and values, in turn: of an ended one's fields, or of what is added to one that is queued again

local record, queued, running, load, pieces = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, from, to, owner, worker, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local status = redis.call('HGET', record, 'status')
if not status then
  redis.call('ZREM', queued, id)
  redis.call('HDEL', running, id)
  return false
end
if not string.find(from, status, 1, true) then return false end
if owner ~= '' and redis.call('HGET', record, 'worker') ~= owner then return false end
redis.call('ZREM', queued, id)
redis.call('HDEL', running, id)
redis.call('HSET', record, 'status', to)
if to == 'queued' then
  redis.call('DEL', pieces)
  redis.call('HSET', record, 'images', 0)
  redis.call('ZADD', queued, redis.call('HGET', record, 'created'), id)
  for i = 7, #ARGV, 2 do redis.call('HINCRBY', record, ARGV[i], ARGV[i + 1]) end
elseif to == 'running' then
  redis.call('HSET', running, id, worker)
  redis.call('HSET', record, 'worker', worker)
  redis.call('HINCRBY', record, 'attempts', 1)
  local now = redis.call('TIME')
  local waited = tonumber(now[1]) + tonumber(now[2]) / 1e6 - tonumber(redis.call('HGET', record, 'created'))
  return {redis.call('HGET', record, 'request'), string.format('%.6f', waited)}
else
  if status == 'queued' or status == 'running' then
    redis.call('DECRBY', load, redis.call('HGET', record, 'work') or 0)
  end
  if to ~= 'succeeded' then redis.call('DEL', pieces) end
  redis.call('PEXPIRE', pieces, ttl_ms)
  redis.call('HDEL', record, 'result', 'headers', 'problem')
  for i = 7, #ARGV, 2 do redis.call('HSET', record, ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIRE', record, ttl_ms)
  redis.call('PUBLISH', 'fewstep:generate:done:' .. id, to)
end
return redis.call('HGET', record, 'request')
