-- Frees a job whose worker is no more. Returns its fence; nil: it was not that worker's job.
--
-- KEYS[1]  record of the job
-- KEYS[2]  stream of its events
-- ARGV[1]  id of the job
-- ARGV[2]  the worker
-- ARGV[3]  what is known of its end

local id, worker, words = ARGV[1], ARGV[2], ARGV[3]
if get('worker') ~= worker or not leased() then return false end
charge(tonumber(get('progressed') or now))
set('lease', 0, 'last_words', words, 'hinted', now)
event('lost', cjson.encode({detail = words}))
return get('fence')
