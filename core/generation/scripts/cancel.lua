-- Cancels a generation, whatever its state; an ended one loses its result. Returns 1; nil where there is none.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  how long it is known that it was cancelled, in milliseconds

local id, ttl_ms = ARGV[1], ARGV[2]
local of = fields(id, 'status', 'channel')
if not of[1] then
  for _, name in pairs(QUEUED) do redis.call('ZREM', name, id) end
  redis.call('HDEL', RUNNING, id)
  return false
end
if of[1] == 'queued' or of[1] == 'running' then leave(id) end
redis.call('DEL', PIECES .. id)
redis.call('HDEL', RECORD .. id, 'result', 'facts')
redis.call('HSET', RECORD .. id, 'status', 'cancelled')
redis.call('PEXPIRE', RECORD .. id, ttl_ms)
if of[2] ~= '' then redis.call('PUBLISH', of[2], id) end
return 1
