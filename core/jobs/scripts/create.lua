-- Records a job as queued, unless something is in the way.
-- Returns what came of it (created, same, other, name, full or quota), and the id or name that it is about; with quota,
-- the seconds left of this day.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- KEYS[3]  what its idempotency key stands for
-- ARGV[1]  id of the job
-- ARGV[2]  name of the family that it makes
-- ARGV[3]  the job, as JSON
-- ARGV[4]  fingerprint of the request; empty: it has no idempotency key
-- ARGV[5]  how long the key is remembered, in milliseconds
-- ARGV[6]  most jobs that may wait or run
-- ARGV[7]  its owner; empty: none
-- ARGV[8]  seconds that jobs of that owner may train in a day; empty: any number
-- ARGV[9]  where its states are to be told; empty: nowhere

local id, name, job, fingerprint, ttl_ms, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local owner, quota, webhook = ARGV[7], ARGV[8], ARGV[9]
if fingerprint ~= '' then
  local known = redis.call('HMGET', KEYS[3], 'fingerprint', 'id')
  if known[1] then return {known[1] == fingerprint and 'same' or 'other', known[2]} end
end
if redis.call('HEXISTS', 'fewstep:jobs:names', name) == 1 then return {'name', name} end
if redis.call('SCARD', 'fewstep:jobs:active') >= most then return {'full', ''} end
if used_up(owner, quota) then return {'quota', left_of_day()} end
redis.call('HSET', 'fewstep:jobs:names', name, id)
redis.call('ZADD', 'fewstep:jobs:all', now, id)
redis.call('SADD', 'fewstep:jobs:active', id)
set('job', job, 'created', now, 'fence', 0, 'attempts', 0, 'tries', 0, 'failures', 0)
set('round', 0, 'iteration', 0, 'hinted', now)
if owner ~= '' then set('owner', owner) end
if webhook ~= '' then set('webhook', webhook) end
move('queued')
if fingerprint ~= '' then
  redis.call('HSET', KEYS[3], 'fingerprint', fingerprint, 'id', id)
  redis.call('PEXPIRE', KEYS[3], ttl_ms)
end
return {'created', id}
