-- Forgets what expired in the queues, and sets the load to nothing where nothing waits or runs.

local MOST_SEEN = 512
local left = redis.call('HLEN', RUNNING)
for _, name in pairs(QUEUED) do
  for _, id in ipairs(redis.call('ZRANGE', name, 0, MOST_SEEN - 1)) do
    if redis.call('EXISTS', RECORD .. id) == 0 then redis.call('ZREM', name, id) end
  end
  left = left + redis.call('ZCARD', name)
end
if left == 0 then redis.call('DEL', LOAD) end
