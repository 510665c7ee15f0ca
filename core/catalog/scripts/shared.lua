-- What scripts begin with that change what serves: the promotions in each place, as family/steps, last one in force.

local function promotions(place) return cjson.decode(redis.call('HGET', 'fewstep:serving:promoted', place) or '[]') end

local function promote(place, stack)
  -- An empty table would be encoded as an object.
  if #stack == 0 then redis.call('HDEL', 'fewstep:serving:promoted', place)
  else redis.call('HSET', 'fewstep:serving:promoted', place, cjson.encode(stack)) end
end

local function changed() redis.call('INCR', 'fewstep:serving:version') end
