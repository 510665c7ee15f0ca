-- Takes the slice that comes after a fence; ends the job instead where it is being cancelled, or has ended too many
-- workers. Returns the fence of the slice, nil where it is not to be had.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  fence that the message named
-- ARGV[3]  the worker
-- ARGV[4]  how long its lease lasts, in seconds
-- ARGV[5]  most attempts in a row without progress
-- ARGV[6]  how long events of an ended job are kept, in seconds

local id, fence, worker, lease_s, most, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local state = get('state')
if not state or get('fence') ~= fence or leased() then return false end
if state == 'cancelling' then finish(id, 'cancelled', ttl_s) return false end
if state ~= 'queued' and state ~= 'running' then return false end
if tonumber(get('failures')) >= most then
  local words = 'given up after ' .. most .. ' attempts, each of which ended its worker'
  if get('last_words') then words = words .. '; the last one: ' .. get('last_words') end
  set('error', cjson.encode({type = 'urn:fewstep:problem:given-up', title = 'Given up', status = 500, detail = words}))
  finish(id, 'failed', ttl_s)
  return false
end
charge(tonumber(get('progressed') or now))
if get('owner') then set('slice_began', now) end
redis.call('HINCRBY', KEYS[1], 'attempts', 1)  -- slices, that is; tries are those that go on from no slice well ended
if get('released') ~= fence then redis.call('HINCRBY', KEYS[1], 'tries', 1) end
redis.call('HINCRBY', KEYS[1], 'failures', 1)
set('worker', worker, 'lease', now + lease_s)
if not get('started') then set('started', now) end
if state == 'queued' then move('running') end
return redis.call('HINCRBY', KEYS[1], 'fence', 1)
