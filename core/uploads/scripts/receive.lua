-- Gives an upload, whose file has come whole, its name, in place of one that had it before.
-- Returns what came of it (received, same, other, used, taken or full), and the id that it is about.
--
-- ARGV[1]  id of the upload
-- ARGV[2]  its place among uploads: kind/name
-- ARGV[3]  what it takes of the names of jobs; empty: nothing
-- ARGV[4]  its owner
-- ARGV[5]  1 if its owner may replace what belongs to others
-- ARGV[6]  most uploads that there may be
-- ARGV[7]  SHA-256 of the file
-- ARGV[8]  how it is to be read, as JSON
-- ARGV[9]  and on: names and values of further fields, in turn

local id, place, job_name, owner, sees_all, most, sha256, asked = unpack(ARGV, 1, 8)
local known = redis.call('HGET', NAMES, place)
if known then
  local of = redis.call('HMGET', RECORD .. known, 'owner', 'sha256', 'asked', 'state')
  if of[1] ~= owner and sees_all ~= '1' then return {'other', ''} end
  if of[2] == sha256 and of[3] == asked and of[4] ~= 'refused' then return {'same', known} end
  local job = user_of(known)
  if job then return {'used', job} end
elseif redis.call('HLEN', NAMES) >= tonumber(most) then
  return {'full', ''}
end
if job_name ~= '' then
  local holder = redis.call('HGET', JOB_NAMES, job_name)
  if holder and holder ~= 'uploads' then return {'taken', ''} end
  redis.call('HSET', JOB_NAMES, job_name, 'uploads')
end
if known then drop(place, known) end
redis.call('HSET', NAMES, place, id)
redis.call('HSET', RECORD .. id, 'id', id, 'owner', owner, 'sha256', sha256, 'asked', asked, 'state', 'received',
  'created', now, 'updated', now, 'tries', 0, 'lease', 0, unpack(ARGV, 9))
redis.call('SADD', WAITING, id)
redis.call('ZREM', PENDING, id)
return {'received', id}
