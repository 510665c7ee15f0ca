-- Names and functions that the scripts of generations share.

local RECORD, PIECES = 'fewstep:generate:record:', 'fewstep:generate:pieces:'
local QUEUED = {interactive = 'fewstep:generate:queued', bulk = 'fewstep:generate:queued:bulk'}
local RUNNING, LOAD = 'fewstep:generate:running', 'fewstep:generate:load'
local WORKERS = 'fewstep:workers:sampling'
-- Workers that look by themselves for what waits, each with the time until which it is believed; of them those that have
-- nothing to do and wait for the bell.
local AWAKE, IDLE, BELL = 'fewstep:generate:awake', 'fewstep:generate:idle', 'fewstep:generate:bell'
local MESSAGE_SENT = 'fewstep:generate:message_sent'

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

-- Sees to it that somebody looks for what waits. Returns 1 where that takes a message, since all who could are asleep;
-- one a second is enough.
local function wake()
  redis.call('ZREMRANGEBYSCORE', IDLE, '-inf', now)
  if redis.call('ZCARD', IDLE) > 0 then
    if redis.call('LLEN', BELL) == 0 then redis.call('LPUSH', BELL, 1) end
    return 0
  end
  redis.call('ZREMRANGEBYSCORE', AWAKE, '-inf', now)
  if redis.call('ZCARD', AWAKE) >= redis.call('SCARD', WORKERS) then return 0 end  -- they look when they are done
  return redis.call('SET', MESSAGE_SENT, 1, 'NX', 'PX', 1000) and 1 or 0
end

-- What records lack that an earlier release made.
local DEFAULTS = {queue = 'interactive', group = '', n = 1, in_pieces = '0', channel = '', work = '0'}

-- Values of fields of a generation, in their order.
local function fields(id, ...)
  local values = redis.call('HMGET', RECORD .. id, ...)
  for i, name in ipairs({...}) do values[i] = values[i] or DEFAULTS[name] or false end
  return values
end

-- Takes a generation off the lists of what waits and runs, and its work off the load.
local function leave(id)
  local of = fields(id, 'queue', 'work')
  redis.call('ZREM', QUEUED[of[1]], id)
  redis.call('HDEL', RUNNING, id)
  if of[2] ~= '0' then redis.call('DECRBY', LOAD, of[2]) end
end
