-- Takes an upload's name back, and its files. Returns what came of it (deleted, none or used), and the id that it is
-- about.
--
-- ARGV[1]  its place among uploads: kind/name
-- ARGV[2]  what it takes of the names of jobs; empty: nothing

local place, job_name = ARGV[1], ARGV[2]
local id = redis.call('HGET', NAMES, place)
if not id then return {'none', ''} end
local job = user_of(id)
if job then return {'used', job} end
drop(place, id)
if job_name == '' then return {'deleted', id} end
for _, other in ipairs(redis.call('HKEYS', NAMES)) do
  if begins(other, 'models/' .. job_name .. '/') then return {'deleted', id} end  -- the family has more
end
redis.call('HDEL', JOB_NAMES, job_name)
for _, key in ipairs(redis.call('HKEYS', 'fewstep:serving:promoted')) do
  if begins(key, job_name .. '/') then redis.call('HDEL', 'fewstep:serving:promoted', key) end
end
return {'deleted', id}
