-- Gives a worker what it is to do next, the oldest first and together with it what can be sampled with it; interactive
-- generations before bulk ones. Returns 1 where a message must be sent, since there is more than this worker takes, and
-- then id, request and seconds since acceptance of each.
--
-- ARGV[1]  the worker
-- ARGV[2]  images for which there is room
-- ARGV[3]  of them those that bulk generations may have
-- ARGV[4]  how many of those with a result in pieces there is room for
-- ARGV[5]  what all must be sampled together with; empty: whatever the oldest is
-- ARGV[6]  how long the worker may be believed to look again, in milliseconds
-- ARGV[7]  1 if it waits for the bell where there is nothing

local worker, room, bulk_room, places, group, lease_ms, waits = unpack(ARGV)
room, bulk_room, places = tonumber(room), tonumber(bulk_room), tonumber(places)
local MOST_SEEN = 512
local answer = {0}

local function start(id, lane, images)
  local of = redis.call('HMGET', RECORD .. id, 'request', 'created')
  redis.call('ZREM', QUEUED[lane], id)
  redis.call('HSET', RUNNING, id, worker)
  redis.call('HSET', RECORD .. id, 'status', 'running', 'worker', worker)
  redis.call('HINCRBY', RECORD .. id, 'attempts', 1)
  for _, value in ipairs({id, of[1], string.format('%.6f', now - tonumber(of[2]))}) do answer[#answer + 1] = value end
  room = room - images
end

local function look(lane)
  if room <= 0 and places <= 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', QUEUED[lane], 0, MOST_SEEN - 1)) do
    if room <= 0 and places <= 0 then return end
    local of = fields(id, 'status', 'group', 'n', 'in_pieces')
    if of[1] ~= 'queued' then
      redis.call('ZREM', QUEUED[lane], id)  -- it has expired
    elseif of[4] == '1' then
      if places > 0 then
        places = places - 1
        start(id, lane, 0)
      end
    elseif room > 0 and (group == '' or of[2] == group) then
      group = of[2]
      start(id, lane, tonumber(of[3]))
    end
  end
end

look('interactive')
room = math.min(room, bulk_room)
look('bulk')
local waiting = redis.call('ZCARD', QUEUED.interactive) + redis.call('ZCARD', QUEUED.bulk)
redis.call('ZREM', IDLE, worker)
local until_then = now + tonumber(lease_ms) / 1000
redis.call('ZADD', AWAKE, until_then, worker)
if #answer > 1 and waiting > 0 then
  answer[1] = wake()
elseif #answer == 1 and waits == '1' then
  redis.call('ZADD', IDLE, until_then, worker)
end
return answer
