-- Says which share of a generation's sampling is done, if there is such a generation.
--
-- KEYS[1]  its record
-- ARGV[1]  the share

if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'progress', ARGV[1]) end
