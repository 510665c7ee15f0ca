-- Records a generation as queued, unless that was done before, and wakes who is to take it.
-- Returns when it was accepted, in seconds since the epoch, and 1 where a message must be sent; or why it was not: 'used',
-- 1 if it was the same request and the id, where its idempotency key stands for another generation; 'changed' where the
-- catalogue is not the one that was asked; 'load' and the load where that is too much; 'quota', and the seconds left of
-- this day, where its owner would have more images than allowed.
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
-- ARGV[13] most images of that owner in a day; empty: any number
-- ARGV[14] what its idempotency key is in Redis; empty: it has none
-- ARGV[15] fingerprint of the request under that key
-- ARGV[16] how long the key is remembered, in milliseconds
-- ARGV[17] where its end is to be told; empty: nowhere

local id, request, lane, group, images, in_pieces, channel = unpack(ARGV, 1, 7)
local work, most_load, version, ttl_ms, owner = unpack(ARGV, 8, 12)
local quota, key, fingerprint, key_ttl_ms, webhook = unpack(ARGV, 13, 17)
local known = redis.call('HGET', RECORD .. id, 'created')
if known then return {known, 0} end
if key ~= '' then
  local used = redis.call('HMGET', key, 'fingerprint', 'id')
  if used[1] then return {'used', used[1] == fingerprint and 1 or 0, used[2]} end
end
if version ~= '' and version ~= (redis.call('GET', 'fewstep:serving:version') or '0') then return {'changed'} end
if most_load ~= '' then
  local load = redis.call('GET', LOAD)
  if load and tonumber(load) > tonumber(most_load) then return {'load', load} end
end
if quota ~= '' then
  local used = 'fewstep:access:images:' .. owner .. ':' .. math.floor(now / 86400)
  if tonumber(redis.call('GET', used) or '0') + tonumber(images) > tonumber(quota) then
    return {'quota', 86400 - math.floor(now % 86400)}
  end
  redis.call('INCRBY', used, images)
  redis.call('EXPIRE', used, 2 * 86400)
end
local created = time[1] .. string.format('.%06d', time[2])
redis.call('HSET', RECORD .. id, 'status', 'queued', 'request', request, 'queue', lane, 'group', group, 'n', images,
  'in_pieces', in_pieces, 'channel', channel, 'created', created, 'attempts', 0, 'work', work)
if owner ~= '' then redis.call('HSET', RECORD .. id, 'owner', owner) end
if webhook ~= '' then redis.call('HSET', RECORD .. id, 'webhook', webhook) end
if key ~= '' then
  redis.call('HSET', key, 'fingerprint', fingerprint, 'id', id)
  redis.call('PEXPIRE', key, key_ttl_ms)
end
redis.call('PEXPIRE', RECORD .. id, ttl_ms)
redis.call('ZADD', QUEUED[lane], created, id)
if work ~= '0' then redis.call('INCRBY', LOAD, work) end
return {created, wake()}
