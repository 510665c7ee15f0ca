-- Writes down what a worker has found, and lists it; or gives the upload back. Returns 1; nil: it is not its any more.
--
-- ARGV[1]  id of the upload
-- ARGV[2]  the worker
-- ARGV[3]  the new state: ready, refused, or received to be looked at again
-- ARGV[4]  why it is refused
-- ARGV[5]  facts of a data set, as JSON
-- ARGV[6]  the checkpoint or classifier that it is listed as, as JSON; empty: none

local id, worker, state, reason, facts, made = unpack(ARGV)
local of = redis.call('HMGET', RECORD .. id, 'state', 'worker', 'kind', 'name')
if of[1] ~= 'looking' or of[2] ~= worker then return false end
redis.call('HSET', RECORD .. id, 'state', state, 'reason', reason, 'facts', facts, 'lease', 0, 'updated', now)
if state == 'received' then
  redis.call('HINCRBY', RECORD .. id, 'tries', -1)
  return 1
end
redis.call('SREM', WAITING, id)
if made ~= '' then
  local list = of[3] == 'models' and 'fewstep:serving:made' or 'fewstep:serving:classifiers'
  redis.call('HSET', list, of[4], made)
  redis.call('INCR', 'fewstep:serving:version')
end
return 1
