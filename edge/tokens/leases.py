"""Playback sessions and stream places in Redis: opened by first use, kept alive by use, ended at once.

    ps:{session}      "n" granted, "o" opened, "x:<reason>" ended; its TTL is the lease
    nets:{session}    sorted set of the networks it is used from, by when that was; only where sessions are bound to them
    streams:{user}    sorted set of devices by the end of their lease; what counts against a plan's limit

A session's lease survives a long pause. A place among the simultaneous streams is given up much sooner, so a film paused
overnight blocks nobody; coming back takes a place again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.redis_client import Breaker, Redis

PAUSE_S = 6 * 3600
PLACE_S = 60

# KEYS[1] streams:{user}; ARGV now, lease end, device, limit, kick oldest
_TAKE_PLACE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
local kicked = {}
if not redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  local taken = redis.call('ZCARD', KEYS[1])
  if taken >= tonumber(ARGV[4]) then
    if ARGV[5] ~= '1' then
      return {0, redis.call('ZRANGE', KEYS[1], 0, -1)}
    end
    kicked = redis.call('ZRANGE', KEYS[1], 0, taken - tonumber(ARGV[4]))
    for _, device in ipairs(kicked) do redis.call('ZREM', KEYS[1], device) end
  end
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], 3600)
return {1, kicked}
"""

# KEYS[1] ps:{session}; ARGV now, first use by, lease seconds, is vouched for. Opens a granted session, renews an open one.
_USE = """
local state = redis.call('GET', KEYS[1])
if not state then
  if ARGV[4] ~= '1' then return 'gone' end
  state = 'o'
end
if string.sub(state, 1, 1) == 'x' then return state end
if state == 'n' and tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 'late' end
redis.call('SET', KEYS[1], 'o', 'EX', ARGV[3])
return 'o'
"""


# KEYS[1] nets:{session}; ARGV now, how far back counts, then network and when it was seen, in turn. How many are in use.
_SEEN_FROM = """
for n = 3, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'GT', ARGV[n + 1], ARGV[n]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2] * 2)
return redis.call('ZCARD', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Whether a stream may start; if not, the devices that hold the places; if others had to go, which."""

    taken: bool
    devices: tuple[str, ...] = ()


class Leases:
    """The Redis side of playback sessions. Every call raises RedisDown when Redis does not answer in time."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker
        self._take_place = redis.register_script(_TAKE_PLACE)
        self._use = redis.register_script(_USE)
        self._seen_from = redis.register_script(_SEEN_FROM)

    async def grant(self, session_id: UUID, first_use_s: int) -> None:
        """Remembers a session that has been granted and not used yet."""
        await self._breaker.call(lambda: self._redis.set(_session_key(session_id), b"n", ex=first_use_s + 60))

    async def use(
        self, session_id: UUID, *, now: float, first_use_by: int, life_left_s: int, is_vouched: bool = False
    ) -> str:
        """Opens or renews; "o" when it may go on, "late", "gone", or "x:<reason>" when it may not.

        `is_vouched`: somebody else knows that it is running; one that Redis has forgotten is opened again.
        """
        lease_s = max(1, min(PAUSE_S, life_left_s))
        state = await self._breaker.call(
            lambda: self._use(
                keys=[_session_key(session_id)], args=[int(now), first_use_by + 5, lease_s, int(is_vouched)]
            )
        )
        return bytes(state).decode()

    async def end(self, session_ids: Sequence[UUID], reason: str) -> None:
        """Ends sessions; whoever asks for them next hears why."""

        async def send() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                for session_id in session_ids:
                    pipe.set(_session_key(session_id), f"x:{reason}", ex=24 * 3600)
                await pipe.execute()

        if session_ids:
            await self._breaker.call(send)

    async def take_place(self, user_id: UUID, device: str, *, limit: int, now: float, kick_oldest: bool) -> Place:
        """A place among the user's streams for `device`, atomically; the same device keeps the one it has."""
        taken, devices = await self._breaker.call(
            lambda: self._take_place(
                keys=[f"streams:{user_id.hex}"], args=[int(now), int(now) + PLACE_S, device, limit, int(kick_oldest)]
            )
        )
        return Place(bool(taken), tuple(bytes(name).decode("utf-8", "replace") for name in devices))

    async def seen_from(self, session_id: UUID, networks: Mapping[str, float], *, now: float, within_s: int) -> int:
        """Notes when a session was used from which networks; from how many in the last `within_s`, all edges together."""
        pairs = [part for network, at in networks.items() for part in (network, int(at))]
        count = await self._breaker.call(
            lambda: self._seen_from(keys=[f"nets:{session_id.hex}"], args=[int(now), within_s, *pairs])
        )
        return int(count)

    async def give_up_place(self, user_id: UUID, device: str) -> None:
        """Frees the device's place, when a stream is known to have ended."""
        await self._breaker.call(lambda: self._redis.zrem(f"streams:{user_id.hex}", device))


def _session_key(session_id: UUID) -> str:
    return f"ps:{session_id.hex}"
