-- What the scripts of uploads begin with: the names of keys, the time, and who uses what.

local RECORD, NAMES = 'fewstep:uploads:record:', 'fewstep:uploads:names'
-- Those that a worker is to look at, and those of which files may be there without a record, by when they began.
local WAITING, PENDING = 'fewstep:uploads:waiting', 'fewstep:uploads:pending'
local JOB_NAMES = 'fewstep:jobs:names'

local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6

local function begins(text, prefix) return string.sub(text, 1, #prefix) == prefix end

-- Id of an active job that is made of an upload; nil: there is none.
local function user_of(id)
  for _, job in ipairs(redis.call('SMEMBERS', 'fewstep:jobs:active')) do
    local uses = redis.call('HGET', 'fewstep:jobs:record:' .. job, 'uses')
    if uses and string.find(uses, id, 1, true) then return job end
  end
end

-- Takes an upload, and what was made of it, out of all lists; its files are noted as to be removed.
local function drop(place, id)
  local of = redis.call('HMGET', RECORD .. id, 'kind', 'name')
  if of[1] == 'models' then redis.call('HDEL', 'fewstep:serving:made', of[2])
  elseif of[1] == 'classifiers' then redis.call('HDEL', 'fewstep:serving:classifiers', of[2]) end
  redis.call('INCR', 'fewstep:serving:version')
  redis.call('DEL', RECORD .. id)
  redis.call('SREM', WAITING, id)
  redis.call('HDEL', NAMES, place)
  redis.call('SADD', 'fewstep:artifacts:discarded', 'uploads/' .. id)
end
