-- Gives a worker an upload to look at, the oldest that nobody looks at. Returns its id; nil: there is none.
--
-- ARGV[1]  the worker
-- ARGV[2]  how long it is believed to look without a sign, in seconds
-- ARGV[3]  how often one is looked at that ends its workers

local worker, lease_s, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local oldest, since
for _, id in ipairs(redis.call('SMEMBERS', WAITING)) do
  local of = redis.call('HMGET', RECORD .. id, 'lease', 'created', 'tries', 'worker')
  local is_left = of[4] and redis.call('EXISTS', 'fewstep:worker:' .. of[4]) == 0
  if not of[1] then
    redis.call('SREM', WAITING, id)
  elseif tonumber(of[1]) < now or is_left then
    if tonumber(of[3]) >= most then
      redis.call('HSET', RECORD .. id, 'state', 'refused', 'updated', now,
        'reason', 'given up after ' .. most .. ' attempts to look at it, each of which ended its worker')
      redis.call('SREM', WAITING, id)
      redis.call('SADD', 'fewstep:artifacts:discarded', 'uploads/' .. id)
    elseif not since or tonumber(of[2]) < since then
      oldest, since = id, tonumber(of[2])
    end
  end
end
if not oldest then return false end
redis.call('HSET', RECORD .. oldest, 'state', 'looking', 'worker', worker, 'lease', now + lease_s, 'updated', now)
redis.call('HINCRBY', RECORD .. oldest, 'tries', 1)
return oldest
