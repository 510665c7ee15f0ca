-- Adds a piece to the result of a generation, if it is still this worker's. Returns 1 if it was, else 0.
--
-- KEYS[1]  record of the generation
-- KEYS[2]  pieces of the result
-- ARGV[1]  the worker
-- ARGV[2]  the piece
-- ARGV[3]  how many images are sampled with it
-- ARGV[4]  how long pieces are kept, in milliseconds

if redis.call('HGET', KEYS[1], 'status') ~= 'running' or redis.call('HGET', KEYS[1], 'worker') ~= ARGV[1] then
  return 0
end
-- Sent again after its answer was lost, it is there already.
if tonumber(redis.call('HGET', KEYS[1], 'images') or 0) >= tonumber(ARGV[3]) then return 1 end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], 'images', ARGV[3])
return 1
