-- Forgets an ended job and takes its family back, unless one of its checkpoints is in force elsewhere. What it has made
-- is noted as to be removed.
-- Returns what came of it (deleted, serves, none or the state that forbids it), and the family/steps that it serves.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  name of its family

local id, name = ARGV[1], ARGV[2]
local state = get('state')
if state ~= 'failed' and state ~= 'cancelled' and state ~= 'succeeded' then return {state or 'none', ''} end
local kept = {}
for _, key in ipairs(redis.call('HKEYS', 'fewstep:serving:promoted')) do
  local stack = promotions(key)
  if #stack > 0 and stack[#stack].job == id then return {'serves', key} end
  local rest = {}
  for _, promotion in ipairs(stack) do if promotion.job ~= id then table.insert(rest, promotion) end end
  if #rest < #stack then kept[key] = rest end
end
for key, rest in pairs(kept) do promote(key, rest) end
for _, key in ipairs(redis.call('HKEYS', 'fewstep:serving:made')) do
  if string.sub(key, 1, #name + 1) == name .. '/' then redis.call('HDEL', 'fewstep:serving:made', key) end
end
changed()
redis.call('SADD', 'fewstep:artifacts:discarded', 'jobs/' .. id)
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', 'fewstep:jobs:all', id)
redis.call('HDEL', 'fewstep:jobs:names', name)
return {'deleted', ''}
