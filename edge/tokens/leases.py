"""Playback sessions and stream places in Redis: opened by first use, kept alive by use, ended at once.

A session's lease survives a long pause. A place among the simultaneous streams is given up much sooner, so a film paused
overnight blocks nobody; coming back takes a place again. What is kept where: names.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple
from uuid import UUID

import msgspec

from edge.redis_client import Breaker, Pipelined, Redis, Script
from edge.tokens.grant import CLOCK_LEEWAY_S, Claims
from edge.tokens.names import owner, places_key, session_key, streams_key

PAUSE_S = 6 * 3600
PLACE_S = 60
SHARED_S = 20
"""A session in use from two networks for longer than this holds a stream's place for each."""

_pack = msgspec.msgpack.Encoder().encode
_ADMIT = Script(files("edge.tokens").joinpath("admission.lua").read_text(encoding="utf-8"))

# KEYS[1] streams; ARGV now, lease end, device, limit, kick oldest
_TAKE_PLACE = Script("""
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
""")


@dataclass(frozen=True, slots=True)
class Place:
    """Whether a stream may start; if not, the devices that hold the places; if others had to go, which."""

    taken: bool
    devices: tuple[str, ...] = ()


class Use(NamedTuple):
    """What came of a use of a session.

    `state`: "o" it goes on; "ask" nothing is remembered of the right to watch, and nothing was done; "denied" by the right;
    "gone", "late" or "x:<reason>" by the session; "full" when all streams are taken. `right` is the entitlement as stored.
    """

    state: str
    right: bytes = b""
    used_from: tuple[str, ...] = ()
    """The places it was used from of late, on all edges together."""


class Leases:
    """The Redis side of playback sessions. Every call raises RedisDown when Redis does not answer in time."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._pipelined = Pipelined(redis, breaker)

    async def grant(self, claims: Claims, first_use_s: int, *, place: str | None = None, now: float = 0.0) -> None:
        """Remembers a session that has been granted and not used yet; `place`, if sessions are bound, is where it was."""
        tag = owner(claims.user_id, claims.content_id)
        granted = self._pipelined.send("SET", session_key(tag, claims.session_id), b"n", "EX", first_use_s + 60)
        if place is None:
            await granted
            return
        key = places_key(tag, claims.session_id)
        await asyncio.gather(
            granted,
            self._pipelined.send("ZADD", key, int(now), place),
            self._pipelined.send("EXPIRE", key, 2 * SHARED_S),
        )

    async def use(
        self,
        claims: Claims,
        key: str,
        *,
        now: float,
        max_streams: int,
        right: bytes = b"",
        is_vouched: bool = False,
        places: Mapping[str, float] | None = None,
        was_crowded: bool = False,
    ) -> Use:
        """Opens or renews a session, with a place among the streams. One round trip.

        `key` is where the right to watch is kept, `right` what PostgreSQL has just said of it; `max_streams` counts when that
        names no limit. `is_vouched`: somebody else knows that the session is running; one that Redis has forgotten is opened
        again. `places`: where it was used from here, and when; of a session that `was_crowded` before, each takes a place.
        """
        tag = owner(claims.user_id, claims.content_id)
        at = int(now)
        told = (
            at,
            claims.first_use_by + CLOCK_LEEWAY_S,
            max(1, min(PAUSE_S, claims.expires_at - at)),
            is_vouched,
            claims.device.hex() if claims.user_id is not None else None,
            max_streams,
            PLACE_S,
            was_crowded,
            [part for place, seen in places.items() for part in (place, int(seen))] if places else (),
            SHARED_S,
        )
        answer = await self._pipelined.run(
            _ADMIT,
            (session_key(tag, claims.session_id), key, streams_key(tag), places_key(tag, claims.session_id)),
            (right, _pack(told)),
        )
        state, *rest = answer
        return Use(
            bytes(state).decode(),
            bytes(rest[0]) if rest else b"",
            tuple(bytes(place).decode() for place in rest[1]) if len(rest) > 1 else (),
        )

    async def end(self, sessions: Sequence[Claims], reason: str) -> None:
        """Ends sessions; whoever asks for them next hears why."""
        await asyncio.gather(
            *(
                self._pipelined.send(
                    "SET",
                    session_key(owner(claims.user_id, claims.content_id), claims.session_id),
                    f"x:{reason}",
                    "EX",
                    24 * 3600,
                )
                for claims in sessions
            )
        )

    async def take_place(self, user_id: UUID, device: str, *, limit: int, now: float, kick_oldest: bool) -> Place:
        """A place among the user's streams for `device`, atomically; the same device keeps the one it has."""
        taken, devices = await self._pipelined.run(
            _TAKE_PLACE,
            (streams_key(user_id.hex),),
            (int(now), int(now) + PLACE_S, device, limit, int(kick_oldest)),
        )
        return Place(bool(taken), tuple(bytes(name).decode("utf-8", "replace") for name in devices))
