-- Queues a failed or cancelled job again. Returns what came of it (queued, full, quota, none or the state that forbids
-- it), and the fence; with quota, the seconds left of this day.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  most jobs that may wait or run
-- ARGV[3]  seconds that jobs of its owner may train in a day; empty: any number

local id, most = ARGV[1], tonumber(ARGV[2])
local state = get('state')
if state ~= 'failed' and state ~= 'cancelled' then return {state or 'none', 0} end
if redis.call('SCARD', 'fewstep:jobs:active') >= most then return {'full', 0} end
if used_up(get('owner') or '', ARGV[3]) then return {'quota', left_of_day()} end
redis.call('HDEL', KEYS[1], 'error', 'ended', 'last_words')
redis.call('PERSIST', KEYS[2])
redis.call('SADD', 'fewstep:jobs:active', id)
set('failures', 0, 'hinted', now)
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
move('queued')
return {'queued', fence}
