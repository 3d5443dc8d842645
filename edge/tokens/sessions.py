"""Playback sessions as one edge process knows them: the check that stands before every byte of media.

A session verified a moment ago is admitted by a dictionary look-up. Every `RECHECK_S` it is checked again, which also
slides its lease; a change announced by the database makes it suspect at once, and the next request waits for the answer.

What is asked of whom, and what happens when they do not answer:

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

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

import structlog

from core.database import DatabaseDown
from core.errors import PLAYBACK_EXPIRED, PLAYBACK_REVOKED, TOO_MANY_STREAMS, UNAVAILABLE, Refusal
from core.redis_client import RedisDown
from edge.tokens.entitlements import Entitlement, Entitlements, Subject
from edge.tokens.grant import CLOCK_LEEWAY_S, Claims, Grants
from edge.tokens.leases import PAUSE_S, Leases
from edge.tokens.networks import network_of, note

log = structlog.get_logger(__name__)

RECHECK_S = 20
GRACE_S = 300
MAX_SESSIONS = 100_000


@dataclass(slots=True, eq=False)
class Session:
    """One token in use. `good_until` is when it must be checked again."""

    token: str
    claims: Claims
    good_until: float = 0.0
    checked_at: float = 0.0
    suspect: bool = False
    max_height: int | None = None
    refusal: Refusal | None = None
    checking: asyncio.Task[None] | None = None
    networks: dict[str, float] = field(default_factory=dict)
    """Where it is used from, and when last; the latest last. Empty unless sessions are bound."""
    was_crowded: bool = False
    """At the last check it was in use from more than one network."""
    content: bytes = b""
    """The 16 bytes of the title's id, for comparisons that must cost nothing."""

    def __post_init__(self) -> None:
        self.content = self.claims.content_id.bytes
        self.max_height = self.claims.max_height

    @property
    def subject(self) -> Subject:
        """Whose right to what this session stands on."""
        return Subject(self.claims.tenant_id, self.claims.user_id, self.claims.content_id)


@dataclass(slots=True)
class Limits:
    """What a plan allows when the entitlement says nothing."""

    max_streams: int = 4


Recorded = Literal["granted", "used"]
AliveInDatabase = Callable[[Claims], Awaitable[Recorded | None]]
"""What PostgreSQL holds of a session that has not ended: granted, or, by its heartbeats, in use; None when it has."""


@dataclass(slots=True)
class Sessions:
    """All sessions this process has seen, by token."""

    grants: Grants
    leases: Leases
    entitlements: Entitlements
    alive_in_database: AliveInDatabase
    limits: Limits = field(default_factory=Limits)
    is_bound: bool = False
    """A session in use from two networks for longer than RECHECK_S holds a place for each."""
    _by_token: dict[str, Session] = field(default_factory=dict)
    _by_user: defaultdict[UUID, set[Session]] = field(default_factory=lambda: defaultdict(set))
    _by_content: defaultdict[UUID, set[Session]] = field(default_factory=lambda: defaultdict(set))

    def __len__(self) -> int:
        return len(self._by_token)

    def session_of(self, token: str) -> Session | None:
        """The session, whatever its state; whoever asks must look at `good_until` and `suspect`."""
        return self._by_token.get(token)

    def known(self, token: str, now: float, address: str | None = None) -> Session | None:
        """The session, if it needs no check now. The hot path: no await, no parsing."""
        session = self._by_token.get(token)
        if self.is_bound and session is not None and address is not None:
            self._note_network(session, address, now)
        if session is not None and now < session.good_until and not session.suspect:
            return session
        return None

    async def admit(self, token: str, now: float, address: str | None = None) -> Session:
        """The session of `token`, checked. Raises Refusal: 401, 403 with `reason`, 410, 503."""
        session = self.known(token, now, address)
        if session is None:
            session = self._by_token.get(token)
            if session is None:
                session = self._remember(Session(token, self.grants.verify(token, now)), now)
                if self.is_bound and address is not None:
                    self._note_network(session, address, now)
            if session.checking is None:
                session.checking = asyncio.create_task(self._check(session, now))
            # Shielded: one viewer's disconnect must not abort the check for the segments it asked for in parallel.
            await asyncio.shield(session.checking)
        if session.refusal is not None:
            raise session.refusal
        return session

    def _note_network(self, session: Session, address: str, now: float) -> None:
        network = network_of(address)
        if network is not None and note(session.networks, network, now):
            session.suspect = True

    def _remember(self, session: Session, now: float) -> Session:
        if len(self._by_token) >= MAX_SESSIONS:
            self._forget_idle(now)
        self._by_token[session.token] = session
        if session.claims.user_id is not None:
            self._by_user[session.claims.user_id].add(session)
        self._by_content[session.claims.content_id].add(session)
        return session

    def _forget_idle(self, now: float) -> None:
        idle = sorted(self._by_token.values(), key=lambda session: session.good_until)
        for session in idle[: MAX_SESSIONS // 10]:
            self._drop(session)
        log.info("sessions_trimmed", kept=len(self._by_token), now=int(now))

    def _drop(self, session: Session) -> None:
        # Connections of the fast lane hold on to it.
        session.good_until = 0.0
        self._by_token.pop(session.token, None)
        for index, key in ((self._by_user, session.claims.user_id), (self._by_content, session.claims.content_id)):
            if key is not None:
                index[key].discard(session)
                if not index[key]:
                    del index[key]

    async def _check(self, session: Session, now: float) -> None:
        """Settles whether `session` may go on, and until when that need not be asked again."""
        try:
            session.refusal = None
            was_suspect, session.suspect = session.suspect, False
            if was_suspect:
                # Until the answer is here nobody is admitted by what was true before.
                session.good_until = 0.0
            until = await self._verdict(session, now, fresh=was_suspect)
            # A change heard while we asked is newer than what we were told: stay suspect.
            session.good_until = min(now + RECHECK_S, session.claims.expires_at, until or now + RECHECK_S)
        except Refusal as refusal:
            session.refusal = refusal
            session.good_until = 0.0
            if refusal.code not in (UNAVAILABLE, TOO_MANY_STREAMS):
                # The next request with this token starts over and hears the same, without a place in our tables.
                self._drop(session)
        finally:
            session.checking = None

    async def _verdict(self, session: Session, now: float, *, fresh: bool) -> float | None:
        """When the entitlement ends, None for never. Raises Refusal."""
        claims = session.claims
        if now > claims.expires_at:
            raise Refusal(PLAYBACK_EXPIRED)
        entitlement: Entitlement | None = None
        try:
            entitlement = await self.entitlements.of(session.subject, fresh=fresh)
        except DatabaseDown:
            # What was announced is still to be looked at: the first answer there is settles it.
            session.suspect |= fresh
        if entitlement is not None and not entitlement.holds_at(now):
            await self.end([session], entitlement.reason)
            raise _revoked(entitlement.reason)
        try:
            await self._use_lease(session, entitlement, now)
            session.checked_at = now
        except RedisDown:
            await self._without_redis(session, database_down=entitlement is None, now=now)
        if entitlement is not None:
            heights = [h for h in (entitlement.max_height, claims.max_height) if h is not None]
            session.max_height = min(heights, default=None)
            return entitlement.until
        return None

    async def _use_lease(self, session: Session, entitlement: Entitlement | None, now: float) -> None:
        claims = session.claims
        life_left_s = int(claims.expires_at - now)
        state = await self.leases.use(
            claims.session_id, now=now, first_use_by=claims.first_use_by, life_left_s=life_left_s
        )
        if state == "gone" and await self._is_running(session, now):
            state = await self.leases.use(
                claims.session_id, now=now, first_use_by=claims.first_use_by, life_left_s=life_left_s, is_vouched=True
            )
        if state in ("gone", "late"):
            raise Refusal(PLAYBACK_EXPIRED)
        if state.startswith("x"):
            raise _revoked(state.partition(":")[2])
        if claims.user_id is not None:
            limit = (entitlement.max_streams if entitlement else None) or self.limits.max_streams
            device = claims.device.hex()
            for number in range(await self._places(session, now)):
                place = await self.leases.take_place(
                    claims.user_id, f"{device}+{number}" if number else device, limit=limit, now=now, kick_oldest=False
                )
                if not place.taken:
                    raise Refusal(TOO_MANY_STREAMS, data={"reason": "too_many_streams"})

    async def _places(self, session: Session, now: float) -> int:
        """How many places the session holds. Who moves to another network is in two only once; who shares, each time."""
        if not session.networks:
            return 1
        count = await self.leases.seen_from(session.claims.session_id, session.networks, now=now, within_s=RECHECK_S)
        was_crowded, session.was_crowded = session.was_crowded, count > 1
        return count if was_crowded and count > 1 else 1

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

    async def end(self, sessions: list[Session], reason: str) -> None:
        """Ends these sessions here and, through Redis, on every other edge."""
        for session in sessions:
            session.refusal = _revoked(reason)
            session.good_until = 0.0
        try:
            await self.leases.end([session.claims.session_id for session in sessions], reason)
        except RedisDown:
            log.warning("session_end_not_shared", reason=reason, sessions=len(sessions))

    async def changed(self, change: dict[str, object]) -> None:
        """Takes in one announcement of the database (db/schema/announce.sql): what it touches becomes suspect."""
        user, content, ended = (UUID(str(change[key])) if change.get(key) else None for key in ("u", "c", "s"))
        if change.get("all"):
            touched: set[Session] = set(self._by_token.values())
        elif ended is not None:
            touched = (
                {s for s in self._by_user.get(user, ()) if s.claims.session_id == ended}
                if user
                else {s for s in self._by_token.values() if s.claims.session_id == ended}
            )
        elif user is not None and content is not None:
            touched = self._by_user.get(user, set()) & self._by_content.get(content, set())
        elif user is not None:
            touched = set(self._by_user.get(user, ()))
        elif content is not None:
            touched = set(self._by_content.get(content, ()))
        else:
            touched = set()
        for session in touched:
            session.suspect = True
        if ended is not None:
            await self.end(list(touched), "ended")
        else:
            await self.entitlements.forget(user, content)

    def all_suspect(self) -> None:
        """After a gap in what was heard: everything is asked again when it is next used."""
        for session in self._by_token.values():
            session.suspect = True


def _revoked(reason: str) -> Refusal:
    return Refusal(PLAYBACK_REVOKED, data={"reason": reason})
