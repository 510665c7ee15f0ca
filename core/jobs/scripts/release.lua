-- Ends a slice whose job goes on. Returns the state; nil: not its slice any more.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  fence of the slice

charge(now)
set('lease', 0, 'hinted', now, 'released', fence)
return state
