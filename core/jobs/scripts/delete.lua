-- Forgets an ended job and takes back what it made, unless one of its checkpoints is in force elsewhere. Its files are
-- noted as to be removed.
-- Returns what came of it (deleted, serves, none or the state that forbids it), and the family/steps that it serves.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  what it takes of all names

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
for _, hash in ipairs({'fewstep:serving:made', 'fewstep:serving:promoted'}) do
  for _, key in ipairs(redis.call('HKEYS', hash)) do
    if string.sub(key, 1, #name + 1) == name .. '/' then redis.call('HDEL', hash, key) end
  end
end
if string.sub(name, 1, 12) == 'classifiers/' then
  redis.call('HDEL', 'fewstep:serving:classifiers', string.sub(name, 13))
end
changed()
redis.call('SADD', 'fewstep:artifacts:discarded', 'jobs/' .. id)
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', 'fewstep:jobs:all', id)
redis.call('HDEL', 'fewstep:jobs:names', name)
return {'deleted', ''}
