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
  local webhook = get('webhook')
  if webhook then post(webhook, 'job', string.sub(KEYS[1], #'fewstep:jobs:record:' + 1), state) end
end

-- Seconds that jobs of an owner trained on this day of UTC: of slices, from their beginning until their end or, where
-- that is not known, their last sign of life.
local function trained_by(owner) return 'fewstep:access:training:' .. owner .. ':' .. math.floor(now / 86400) end

local function left_of_day() return 86400 - math.floor(now % 86400) end

local function used_up(owner, quota)
  return quota ~= '' and tonumber(redis.call('GET', trained_by(owner)) or '0') >= tonumber(quota)
end

local function charge(until_then)
  local owner, began = get('owner'), get('slice_began')
  if not began then return end
  redis.call('HDEL', KEYS[1], 'slice_began')
  if not owner then return end
  redis.call('INCRBYFLOAT', trained_by(owner), math.max(until_then - began, 0))
  redis.call('EXPIRE', trained_by(owner), 2 * 86400)
end

local function finish(id, state, ttl_s)
  charge(leased() and now or tonumber(get('progressed') or now))
  set('lease', 0, 'ended', now)
  move(state)
  redis.call('SREM', 'fewstep:jobs:active', id)
  redis.call('EXPIRE', KEYS[2], ttl_s)
end
