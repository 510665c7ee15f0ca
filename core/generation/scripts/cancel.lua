-- Cancels a generation, whatever its state; an ended one loses its result. Returns 1; nil where there is none, or none
-- of that owner.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  how long it is known that it was cancelled, in milliseconds
-- ARGV[3]  its owner; empty: anyone's

local id, ttl_ms, owner = ARGV[1], ARGV[2], ARGV[3]
local of = fields(id, 'status', 'channel', 'owner', 'webhook')
if owner ~= '' and owner ~= of[3] then return false end
if not of[1] then
  for _, name in pairs(QUEUED) do redis.call('ZREM', name, id) end
  redis.call('HDEL', RUNNING, id)
  return false
end
if of[1] == 'queued' or of[1] == 'running' then
  leave(id)
  if of[4] then post(of[4], 'generation', id, 'cancelled') end
end
redis.call('DEL', PIECES .. id)
redis.call('HDEL', RECORD .. id, 'result', 'facts')
redis.call('HSET', RECORD .. id, 'status', 'cancelled')
redis.call('PEXPIRE', RECORD .. id, ttl_ms)
if of[2] ~= '' then redis.call('PUBLISH', of[2], id) end
return 1
