-- Puts events into the outbox, in the same step as what they tell of. Time is Redis's own.

local WEBHOOKS = 'fewstep:webhooks:'

-- Tells of a new state, if whoever asked wants to hear of it.
--
-- webhook  as of core/webhooks/request.py, as JSON
-- kind     generation or job
-- id       whose state it is
-- state    the state
local function post(webhook, kind, id, state)
  local asked = cjson.decode(webhook)
  local wanted = false
  for _, event in ipairs(asked.events) do wanted = wanted or event == state end
  if not wanted then return end
  local time = redis.call('TIME')
  local now = time[1] .. string.format('.%06d', time[2])
  local all = WEBHOOKS .. 'of:' .. id
  local message = 'msg_' .. id .. '_' .. (redis.call('LLEN', all) + 1)
  redis.call('RPUSH', all, message)
  redis.call('HSET', WEBHOOKS .. 'message:' .. message, 'url', asked.url, 'path', asked.path, 'kind', kind, 'id', id,
    'state', state, 'created', now, 'attempts', 0)
  for _, key in ipairs({all, WEBHOOKS .. 'message:' .. message}) do redis.call('EXPIRE', key, asked.kept_s) end
  redis.call('ZADD', WEBHOOKS .. 'due', now, message)
  if redis.call('LLEN', WEBHOOKS .. 'bell') == 0 then redis.call('LPUSH', WEBHOOKS .. 'bell', 1) end
end
