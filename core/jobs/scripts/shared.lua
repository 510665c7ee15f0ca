-- What every script of jobs begins with: the time, and the job's record and events.
-- Time is Redis's own, so that machines need not agree.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events

local most_events = 5000

local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6

local function get(field) return redis.call('HGET', KEYS[1], field) end

local function set(...) redis.call('HSET', KEYS[1], ...) end

local function leased() return tonumber(get('lease') or '0') > now end

local function event(kind, data)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', most_events, '*', 'event', kind, 'data', data)
end

local function move(state)
  set('state', state, 'updated', now)
  event('state', cjson.encode({state = state}))
end

local function finish(id, state, ttl_s)
  set('lease', 0, 'ended', now)
  move(state)
  redis.call('SREM', 'fewstep:jobs:active', id)
  redis.call('EXPIRE', KEYS[2], ttl_s)
end
