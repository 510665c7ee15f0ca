-- Asks for the end of a job; at once where nobody works on it. Returns where it stands then; nil: no such job.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  how long events of an ended job are kept, in seconds

local id, ttl_s = ARGV[1], ARGV[2]
local state = get('state')
if state == 'queued' or (state == 'running' and not leased()) then finish(id, 'cancelled', ttl_s)
elseif state == 'running' then move('cancelling') end
return get('state')
