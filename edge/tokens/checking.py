"""Whether a session may go on: one question to Redis, and what is done when that is not enough.

| Redis | PostgreSQL | a running session                                   | one this process has not seen        |
|-------|------------|-----------------------------------------------------|--------------------------------------|
| up    | up         | lease in Redis, entitlement cached there            | the same                             |
| up    | down       | lease in Redis; entitlement as last known           | the same: the lease proves the grant |
| down  | up         | row and entitlement in PostgreSQL                   | the same                             |
| down  | down       | goes on for GRACE_S after it was last checked       | 503                                  |

A Redis that has come back may have forgotten: a session it does not know is opened again when PostgreSQL knows it as granted
a moment ago or in use. Only such evidence counts, or a token could be first used at any time by emptying Redis.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from core.database import DatabaseDown
from core.errors import PLAYBACK_EXPIRED, PLAYBACK_REVOKED, TOO_MANY_STREAMS, UNAVAILABLE, Refusal
from edge.redis_client import RedisDown
from edge.tokens.entitlements import Entitlement, Entitlements
from edge.tokens.grant import CLOCK_LEEWAY_S, Claims
from edge.tokens.leases import PAUSE_S, Leases, Use
from edge.tokens.places import has_left
from edge.tokens.session import Session

log = structlog.get_logger(__name__)

GRACE_S = 300
DEFAULT_STREAMS = 4
"""Streams at once when the entitlement says nothing."""

# The right to watch is not known, and the lease alone decides.
_UNKNOWN = Entitlement(True, "unknown")

Recorded = Literal["granted", "used"]
AliveInDatabase = Callable[[Claims], Awaitable[Recorded | None]]
"""What PostgreSQL holds of a session that has not ended: granted, or, by its heartbeats, in use; None when it has."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Asks Redis, and PostgreSQL where Redis cannot say."""

    leases: Leases
    entitlements: Entitlements
    alive_in_database: AliveInDatabase

    async def verdict(self, session: Session, now: float, *, fresh: bool) -> float | None:
        """When the right to watch ends, None for never or not known. Raises Refusal when the session may not go on.

        `fresh`: something was announced, and what is remembered of the right counts for nothing.
        """
        if now > session.claims.expires_at:
            raise Refusal(PLAYBACK_EXPIRED)
        right: Entitlement | None = None
        if fresh:
            right = await self._ask(session, fresh=True)
            await self._must_hold(session, right, now)
        try:
            use = await self._use(session, right, now)
            if use.state == "ask":
                right = await self._ask(session)
                use = await self._use(session, right, now)
            elif right is None:
                right = self.entitlements.unpack(use.right)
            if use.state == "gone" and await self._is_running(session, now):
                use = await self._use(session, right, now, is_vouched=True)
        except RedisDown:
            if right is None:
                right = await self._ask(session)
            await self._must_hold(session, right, now)
            await self._without_redis(session, database_down=right is _UNKNOWN, now=now)
        else:
            await self._must_hold(session, right, now)
            _must_go_on(session, use)
            session.checked_at = now
        if right is not _UNKNOWN:
            heights = [height for height in (right.max_height, session.claims.max_height) if height is not None]
            session.max_height = min(heights, default=None)
        return right.until

    async def _ask(self, session: Session, *, fresh: bool = False) -> Entitlement:
        """What PostgreSQL says of the right to watch; _UNKNOWN when it is away."""
        try:
            return await self.entitlements.ask(session.subject, fresh=fresh)
        except DatabaseDown:
            # What was announced is still to be looked at: the first answer there is settles it.
            session.suspect |= fresh
            return _UNKNOWN

    async def _use(self, session: Session, right: Entitlement | None, now: float, *, is_vouched: bool = False) -> Use:
        return await self.leases.use(
            session.claims,
            session.subject.key,
            now=now,
            max_streams=DEFAULT_STREAMS,
            right=b"" if right is None else self.entitlements.pack(right),
            is_vouched=is_vouched,
            places=session.places,
            was_crowded=session.was_crowded,
        )

    async def _must_hold(self, session: Session, right: Entitlement, now: float) -> None:
        """Raises Refusal, and ends the session everywhere, when there is no right to watch any more."""
        if not right.holds_at(now):
            await self.end([session], right.reason)
            raise _revoked(right.reason)

    async def _is_running(self, session: Session, now: float) -> bool:
        """Whether a session that Redis has forgotten may go on. Raises Refusal 503 when nobody can say."""
        seen_here = bool(session.checked_at) and now - session.checked_at < PAUSE_S
        try:
            recorded = await self.alive_in_database(session.claims)
        except DatabaseDown:
            if seen_here:
                return True
            raise Refusal(UNAVAILABLE, retry_after_s=2) from None
        in_time = now <= session.claims.first_use_by + CLOCK_LEEWAY_S
        return recorded == "used" or (recorded == "granted" and (in_time or seen_here))

    async def _without_redis(self, session: Session, *, database_down: bool, now: float) -> None:
        """Redis is away: PostgreSQL vouches for the session; when it is away too, a running one has its grace."""
        try:
            if database_down:
                raise DatabaseDown
            recorded = await self.alive_in_database(session.claims)
        except DatabaseDown:
            if session.checked_at and now - session.checked_at < GRACE_S:
                return
            raise Refusal(UNAVAILABLE, retry_after_s=2) from None
        if recorded is None:
            raise Refusal(PLAYBACK_EXPIRED)
        session.checked_at = now

    async def end(self, sessions: Sequence[Session], reason: str) -> None:
        """Ends these sessions here and, through Redis, on every other edge."""
        for session in sessions:
            session.refusal = _revoked(reason)
            session.good_until = 0.0
        try:
            await self.leases.end([session.claims for session in sessions], reason)
        except RedisDown:
            log.warning("session_end_not_shared", reason=reason, sessions=len(sessions))


def _must_go_on(session: Session, use: Use) -> None:
    """Raises Refusal when Redis says that the session may not."""
    if use.state in ("gone", "late"):
        raise Refusal(PLAYBACK_EXPIRED)
    if use.state.startswith("x"):
        raise _revoked(use.state.partition(":")[2])
    session.was_crowded = len(use.used_from) > 1
    if has_left(session.claims.country, use.used_from):
        # Players ask /play again at a 410, which grants for where they are now, and go on where they were.
        raise Refusal(PLAYBACK_EXPIRED, data={"reason": "country_changed"})
    if use.state == "full":
        raise Refusal(TOO_MANY_STREAMS, data={"reason": "too_many_streams"})


def _revoked(reason: str) -> Refusal:
    return Refusal(PLAYBACK_REVOKED, data={"reason": reason})
