-- Renews the lease of a slice, and writes fields and an event. Returns the state; nil: not its slice any more.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  fence of the slice
-- ARGV[3]  how long the lease lasts, in seconds
-- ARGV[4]  kind of the event; empty for none
-- ARGV[5]  its facts, as JSON
-- ARGV[6]  and on: names and values of fields, in turn

local lease_s, kind, data = ARGV[3], ARGV[4], ARGV[5]
set('lease', now + lease_s, 'progressed', now)
for i = 6, #ARGV, 2 do set(ARGV[i], ARGV[i + 1], 'updated', now) end
if kind ~= '' then event(kind, data) end
return state
