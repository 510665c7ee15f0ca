-- Says which share of a generation's sampling is done, if there is such a generation: else it would come back, without
-- an end.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  the share

if redis.call('EXISTS', RECORD .. ARGV[1]) == 1 then redis.call('HSET', RECORD .. ARGV[1], 'progress', ARGV[2]) end
