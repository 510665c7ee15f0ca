-- Ends generations that are still a worker's. Who waits for one gets the end with its message, and then no record stays;
-- where nobody listens, or the result is large, the record has it. Returns, in turn, 1 for each that was the worker's,
-- else 0.
--
-- ARGV[1]  the worker
-- ARGV[2]  how long the end is kept where nobody waits, in milliseconds
-- ARGV[3]  bytes of the largest result that goes with a message
-- ARGV[4]  and on: of each id, status, what is to be said of it and result

local worker, ttl_ms, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local answer = {}
for i = 4, #ARGV, 4 do
  local id, status, facts, result = unpack(ARGV, i, i + 3)
  local of = fields(id, 'status', 'worker', 'channel', 'webhook')
  local is_its = of[1] == 'running' and of[2] == worker
  answer[#answer + 1] = is_its and 1 or 0
  if is_its then
    leave(id)
    if of[4] then post(of[4], 'generation', id, status) end
    local channel, heard = of[3], 0
    if channel ~= '' and #result <= most then
      heard = redis.call('PUBLISH', channel, id .. '\n' .. status .. '\n' .. facts .. '\n' .. result)
    end
    if heard > 0 then
      redis.call('UNLINK', RECORD .. id)
    else
      if status ~= 'succeeded' then redis.call('DEL', PIECES .. id) end
      redis.call('HSET', RECORD .. id, 'status', status, 'facts', facts, 'result', result)
      if channel == '' then
        redis.call('PEXPIRE', RECORD .. id, ttl_ms)
        redis.call('PEXPIRE', PIECES .. id, ttl_ms)
      else
        redis.call('PUBLISH', channel, id)
      end
    end
  end
end
return answer
