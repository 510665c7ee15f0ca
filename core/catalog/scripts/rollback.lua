-- Undoes the last promotion in a place. Returns its document; nil where there is none.
--
-- ARGV[1]  the place, family/steps

local stack = promotions(ARGV[1])
if #stack == 0 then return false end
local undone = table.remove(stack)
promote(ARGV[1], stack)
changed()
return cjson.encode(undone)
