-- Queues again what a worker has left. Returns nil where it was not that worker's, else 1.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  the worker
-- ARGV[3]  what this adds to its attempts

local id, worker, attempts = unpack(ARGV)
local of = fields(id, 'status', 'worker', 'queue', 'created')
if of[1] ~= 'running' or of[2] ~= worker then
  if not of[1] then redis.call('HDEL', RUNNING, id) end
  return false
end
redis.call('HDEL', RUNNING, id)
redis.call('DEL', PIECES .. id)
redis.call('HSET', RECORD .. id, 'status', 'queued', 'images', 0, 'progress', 0, 'stored', 0)
redis.call('HINCRBY', RECORD .. id, 'attempts', attempts)
redis.call('ZADD', QUEUED[of[3]], of[4], id)
wake()
return 1
