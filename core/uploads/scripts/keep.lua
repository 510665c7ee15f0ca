-- Renews what a worker has taken to look at. Returns 1; nil: it is not that worker's any more.
--
-- ARGV[1]  id of the upload
-- ARGV[2]  the worker
-- ARGV[3]  how long it is believed to look without a sign, in seconds

local of = redis.call('HMGET', RECORD .. ARGV[1], 'state', 'worker')
if of[1] ~= 'looking' or of[2] ~= ARGV[2] then return false end
redis.call('HSET', RECORD .. ARGV[1], 'lease', now + tonumber(ARGV[3]))
return 1
