-- What the scripts of a slice go on with, after shared.lua: refused, by nil, once the slice is not its worker's any more.
--
-- ARGV[1]  id of the job
-- ARGV[2]  fence of the slice

local id, fence = ARGV[1], ARGV[2]
local state = get('state')
if get('fence') ~= fence or (state ~= 'running' and state ~= 'cancelling') then return false end
