-- Records a generation as queued, unless that was done before. Returns when it was accepted, in seconds since the epoch.
-- Time is Redis's own, so that machines need not agree.
--
-- KEYS[1]  record of the generation
-- KEYS[2]  what is queued
-- KEYS[3]  sum of the work of what has not ended
-- ARGV[1]  id of the generation
-- ARGV[2]  its request
-- ARGV[3]  what it adds to the work, in microseconds
-- ARGV[4]  how long it is kept without an end, in milliseconds

local record, queued, load = KEYS[1], KEYS[2], KEYS[3]
local id, request, work, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = redis.call('HGET', record, 'created')
if known then return known end
local now = redis.call('TIME')
local created = now[1] .. string.format('.%06d', now[2])
redis.call('HSET', record, 'status', 'queued', 'request', request, 'created', created, 'attempts', 0, 'work', work)
redis.call('PEXPIRE', record, ttl_ms)
redis.call('ZADD', queued, created, id)
if work ~= '0' then redis.call('INCRBY', load, work) end
return created
