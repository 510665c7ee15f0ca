-- Notes that a worker looks for nothing by itself any more, unless something waits. Returns 1 if nothing does, else 0.
--
-- ARGV[1]  the worker
-- ARGV[2]  1 if it looks for nothing any more whatever waits

local waits = redis.call('ZCARD', QUEUED.interactive) + redis.call('ZCARD', QUEUED.bulk) > 0
if waits and ARGV[2] ~= '1' then return 0 end
redis.call('ZREM', IDLE, ARGV[1])
redis.call('ZREM', AWAKE, ARGV[1])
return waits and 0 or 1
