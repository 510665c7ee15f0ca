-- Sets the load to nothing where nothing waits or runs.
--
-- KEYS[1]  what is queued
-- KEYS[2]  what is running
-- KEYS[3]  sum of the work of what has not ended

if redis.call('ZCARD', KEYS[1]) == 0 and redis.call('HLEN', KEYS[2]) == 0 then redis.call('DEL', KEYS[3]) end
