-- Notes that a worker looks for nothing by itself any more, unless something waits. Returns 1 if it may sleep, else 0.
--
-- ARGV[1]  the worker

if redis.call('ZCARD', QUEUED.interactive) + redis.call('ZCARD', QUEUED.bulk) > 0 then return 0 end
redis.call('ZREM', IDLE, ARGV[1])
redis.call('ZREM', AWAKE, ARGV[1])
return 1
