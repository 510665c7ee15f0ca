-- Records a generation as queued, unless that was done before, and wakes who is to take it.
-- Returns when it was accepted, in seconds since the epoch, and 1 where a message must be sent; a single value where it
-- is not accepted: 'changed' if the catalogue is not the one that was asked, or the load if that is too much.
--
-- ARGV[1]  id of the generation
-- ARGV[2]  its request
-- ARGV[3]  its queue, interactive or bulk
-- ARGV[4]  what it can be sampled together with
-- ARGV[5]  number of images
-- ARGV[6]  1 if its result is kept in pieces
-- ARGV[7]  channel of who waits for it; empty: nobody
-- ARGV[8]  what it adds to the load, in microseconds
-- ARGV[9]  the largest load with which it is accepted; empty: any
-- ARGV[10] version of the catalogue; empty: any
-- ARGV[11] how long it is kept without an end, in milliseconds
-- ARGV[12] its owner; empty: none

local id, request, lane, group, images, in_pieces, channel = unpack(ARGV, 1, 7)
local work, most_load, version, ttl_ms, owner = unpack(ARGV, 8, 12)
local known = redis.call('HGET', RECORD .. id, 'created')
if known then return {known, 0} end
if version ~= '' and version ~= (redis.call('GET', 'fewstep:serving:version') or '0') then return {'changed'} end
if most_load ~= '' then
  local load = redis.call('GET', LOAD)
  if load and tonumber(load) > tonumber(most_load) then return {load} end
end
local created = time[1] .. string.format('.%06d', time[2])
redis.call('HSET', RECORD .. id, 'status', 'queued', 'request', request, 'queue', lane, 'group', group, 'n', images,
  'in_pieces', in_pieces, 'channel', channel, 'created', created, 'attempts', 0, 'work', work)
if owner ~= '' then redis.call('HSET', RECORD .. id, 'owner', owner) end
redis.call('PEXPIRE', RECORD .. id, ttl_ms)
redis.call('ZADD', QUEUED[lane], created, id)
if work ~= '0' then redis.call('INCRBY', LOAD, work) end
return {created, wake()}
