-- One use of a playback session, in one piece: is the right to watch remembered and does it hold, may the session go on, is
-- there a place for it among the streams? The lease slides with use also where there is no place.
--
-- KEYS  1 session  2 entitlement  3 streams  4 places of use
-- ARGV  1 now  2 first use by  3 lease, seconds  4 '1' when somebody vouches for a session that is not here
--       5 what PostgreSQL has just said of the right to watch; '' to look here
--       6 device, '' for a guest  7 streams at once when the right names no limit  8 how long a stream's place lasts, seconds
--       9 how far back a place of use counts, seconds  10 '1' when the session was crowded at its last use
--       11... a place of use and when that was, in turn
-- The answer is a word, the right to watch, and the places of use: 'o' goes on; 'ask' the right is not here, nothing was done;
-- 'denied' by the right; 'gone', 'late' or 'x:<reason>' by the session; 'full' no place.
local now = tonumber(ARGV[1])

local right = ARGV[5]
if right == '' then
  right = redis.call('GET', KEYS[2])
  if not right then return {'ask'} end
end
local said = cmsgpack.unpack(right)
local is_allowed, ends, limit = said[1], said[3], said[5] or tonumber(ARGV[7])
if not is_allowed or (ends and now >= ends) then return {'denied', right} end

local state = redis.call('GET', KEYS[1]) or (ARGV[4] == '1' and 'o' or 'gone')
if state == 'n' and now > tonumber(ARGV[2]) then state = 'late' end
if state ~= 'n' and state ~= 'o' then return {state, right} end
redis.call('SET', KEYS[1], 'o', 'EX', ARGV[3])

local used_from = {}
if ARGV[11] then
  for at = 11, #ARGV, 2 do redis.call('ZADD', KEYS[4], 'GT', ARGV[at + 1], ARGV[at]) end
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ARGV[9])
  redis.call('EXPIRE', KEYS[4], ARGV[9] * 2)
  used_from = redis.call('ZRANGE', KEYS[4], 0, -1)
end

if ARGV[6] ~= '' then
  -- Who moves to another network is in two only once; who shares, each time, and then each of them is a stream.
  local streams = ARGV[10] == '1' and math.max(1, #used_from) or 1
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[1])
  for number = 0, streams - 1 do
    local device = number == 0 and ARGV[6] or ARGV[6] .. '+' .. number
    if not redis.call('ZSCORE', KEYS[3], device) and redis.call('ZCARD', KEYS[3]) >= limit then
      return {'full', right, used_from}
    end
    redis.call('ZADD', KEYS[3], now + ARGV[8], device)
  end
  redis.call('EXPIRE', KEYS[3], 3600)
end
return {'o', right, used_from}
