-- Ends a job, and with success lets what it made serve. Returns the new state; nil: not its slice any more, or a
-- success that comes after the job was cancelled.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  fence of the slice
-- ARGV[3]  the new state
-- ARGV[4]  problem document, as JSON; empty for none
-- ARGV[5]  how long its events are kept, in seconds
-- ARGV[6]  what it made: a JSON object of documents by family/checkpoint
-- ARGV[7]  what is promoted: a JSON object of documents by family/steps
-- ARGV[8]  classifiers that it made: a JSON object of documents by name

local target, problem, ttl_s = ARGV[3], ARGV[4], ARGV[5]
local made, promoted, classifiers = cjson.decode(ARGV[6]), cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
if target == 'succeeded' then
  if state == 'cancelling' then return false end
  for key, document in pairs(made) do redis.call('HSET', 'fewstep:serving:made', key, document) end
  for name, document in pairs(classifiers) do redis.call('HSET', 'fewstep:serving:classifiers', name, document) end
  for key, document in pairs(promoted) do
    local stack = promotions(key)
    table.insert(stack, cjson.decode(document))
    promote(key, stack)
  end
  changed()
end
if problem ~= '' then set('error', problem) end
finish(id, target, ttl_s)
return target
