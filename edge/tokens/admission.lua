-- One use of a playback session, in one piece: is the right to watch remembered and does it hold, may the session go on, is
-- there a place for it among the streams? The lease slides with use also where there is no place.
--
-- KEYS  1 session  2 entitlement  3 streams  4 places of use
-- ARGV  1 what PostgreSQL has just said of the right to watch; '' to look here
--       2 the rest, as one msgpack array: each argument of its own would cost the caller a microsecond
-- The answer is a word, the right to watch, and the places of use: 'o' goes on; 'ask' the right is not here, nothing was done;
-- 'denied' by the right; 'gone', 'late' or 'x:<reason>' by the session; 'full' no place.
local now, first_use_by, lease_s,
  is_vouched,           -- somebody else knows that the session is running, should it not be here
  device,               -- nil for a guest
  most_streams,         -- at once, when the right names no limit
  stream_s,             -- how long a stream keeps its place
  was_crowded, places,  -- at its last use; where it has been used from, and when, in turn
  place_s               -- how far back a place of use counts
  = unpack(cmsgpack.unpack(ARGV[2]), 1, 10)

local right = ARGV[1]
if right == '' then
  right = redis.call('GET', KEYS[2])
  if not right then return {'ask'} end
end
local said = cmsgpack.unpack(right)
local is_allowed, ends, limit = said[1], said[3], said[5] or most_streams
if not is_allowed or (ends and now >= ends) then return {'denied', right} end

local state = redis.call('GET', KEYS[1]) or (is_vouched and 'o' or 'gone')
if state == 'n' and now > first_use_by then state = 'late' end
if state ~= 'n' and state ~= 'o' then return {state, right} end
redis.call('SET', KEYS[1], 'o', 'EX', lease_s)

local used_from = {}
if #places > 0 then
  for at = 1, #places, 2 do redis.call('ZADD', KEYS[4], 'GT', places[at + 1], places[at]) end
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - place_s)
  redis.call('EXPIRE', KEYS[4], place_s * 2)
  used_from = redis.call('ZRANGE', KEYS[4], 0, -1)
end

if device then
  -- Who moves to another network is in two only once; who shares, each time, and then each of them is a stream.
  local streams = was_crowded and math.max(1, #used_from) or 1
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. now)
  for number = 0, streams - 1 do
    local stream = number == 0 and device or device .. '+' .. number
    if not redis.call('ZSCORE', KEYS[3], stream) and redis.call('ZCARD', KEYS[3]) >= limit then
      return {'full', right, used_from}
    end
    redis.call('ZADD', KEYS[3], now + stream_s, stream)
  end
  redis.call('EXPIRE', KEYS[3], 3600)
end
return {'o', right, used_from}
