-- Adds a piece to the result of a generation, if it is still this worker's. Returns 1 if it was, else 0.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  the worker
-- ARGV[3]  the piece
-- ARGV[4]  how many images are sampled with it
-- ARGV[5]  how long pieces are kept, in milliseconds
-- ARGV[6]  1 if the piece is the key of a file in the artifact store

local id, worker, piece, images, ttl_ms, is_stored = unpack(ARGV)
local of = redis.call('HMGET', RECORD .. id, 'status', 'worker', 'images')
if of[1] ~= 'running' or of[2] ~= worker then return 0 end
-- Sent again after its answer was lost, it is there already.
if tonumber(of[3] or 0) >= tonumber(images) then return 1 end
redis.call('RPUSH', PIECES .. id, piece)
redis.call('PEXPIRE', PIECES .. id, ttl_ms)
redis.call('HSET', RECORD .. id, 'images', images, 'stored', is_stored)
if is_stored == '1' then redis.call('SADD', 'fewstep:generate:stored', id) end
return 1
