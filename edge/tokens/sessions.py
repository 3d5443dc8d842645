"""All playback sessions as one edge process knows them: the look-up that stands before every byte of media.

A session verified a moment ago is admitted by a dictionary look-up. Every `RECHECK_S` it is checked again (checking.py), which
also slides its lease; a change announced by the database makes it suspect at once, and the next request waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from core.errors import TOO_MANY_STREAMS, UNAVAILABLE, Refusal
from edge.tokens.checking import Checks
from edge.tokens.grant import Grants
from edge.tokens.leases import SHARED_S
from edge.tokens.places import network_of, note, place_of
from edge.tokens.session import Session

log = structlog.get_logger(__name__)

# What is seen of a session's places from one check to the next is what counts as "at once".
RECHECK_S = SHARED_S
MAX_SESSIONS = 100_000


@dataclass(slots=True)
class Sessions:
    """All sessions this process has seen, by token."""

    grants: Grants
    checks: Checks
    by_network: bool = False
    """A session in use from two networks for longer than RECHECK_S holds a place for each."""
    by_country: bool = False
    """The same for countries; and one that has left the country it was granted in ends."""
    _by_token: dict[str, Session] = field(default_factory=dict)
    _by_user: defaultdict[UUID, set[Session]] = field(default_factory=lambda: defaultdict(set))
    _by_content: defaultdict[UUID, set[Session]] = field(default_factory=lambda: defaultdict(set))

    def __len__(self) -> int:
        return len(self._by_token)

    @property
    def is_bound(self) -> bool:
        """Whether it matters where a session is used from."""
        return self.by_network or self.by_country

    def session_of(self, token: str) -> Session | None:
        """The session, whatever its state; whoever asks must look at `good_until` and `suspect`."""
        return self._by_token.get(token)

    def known(self, token: str, now: float, address: str | None = None, country: str | None = None) -> Session | None:
        """The session, if it needs no check now. The hot path: no await, no parsing."""
        session = self._by_token.get(token)
        if session is None:
            return None
        if self.by_network or self.by_country:
            self._note(session, address, country, now)
        return session if now < session.good_until and not session.suspect else None

    async def admit(self, token: str, now: float, address: str | None = None, country: str | None = None) -> Session:
        """The session of `token`, checked; `address` and `country` are the client's, as far as they are known.

        Raises Refusal: 401, 403 with `reason`, 410, 503.
        """
        session = self.known(token, now, address, country)
        if session is None:
            session = self._by_token.get(token)
            if session is None:
                session = self._remember(Session(token, self.grants.verify(token, now)), now)
                self._note(session, address, country, now)
            # Shielded: one viewer's disconnect must not abort the check for the segments it asked for in parallel.
            await asyncio.shield(self._checking(session, now))
        if session.refusal is not None:
            raise session.refusal
        return session

    def begin_check(self, token: str, now: float) -> asyncio.Task[None] | None:
        """The check of a token's session, for who cannot wait for it; afterwards `session_of` tells.

        None where a check would change nothing: the token is not ours, the session has just been refused, or who asks must
        say from where.
        """
        session = self._by_token.get(token)
        if self.is_bound or (session is not None and session.refusal is not None):
            return None
        if session is None:
            try:
                session = self._remember(Session(token, self.grants.verify(token, now)), now)
            except Refusal:
                return None
        return self._checking(session, now)

    def place_of(self, address: str | None, country: str | None) -> str | None:
        """Where a use is from, as far as sessions are bound to that; None when they are not, or it is not known."""
        network = network_of(address) if self.by_network and address is not None else None
        return place_of(network, country if self.by_country else None)

    def _note(self, session: Session, address: str | None, country: str | None, now: float) -> None:
        place = self.place_of(address, country)
        if place is not None and note(session.places, place, now):
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

    def _checking(self, session: Session, now: float) -> asyncio.Task[None]:
        """The check that is under way, or a new one."""
        if session.checking is None:
            session.checking = asyncio.create_task(self._check(session, now))
        return session.checking

    async def _check(self, session: Session, now: float) -> None:
        """Settles whether `session` may go on, and until when that need not be asked again."""
        try:
            session.refusal = None
            was_suspect, session.suspect = session.suspect, False
            if was_suspect:
                # Until the answer is here nobody is admitted by what was true before.
                session.good_until = 0.0
            until = await self.checks.verdict(session, now, fresh=was_suspect)
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

    async def changed(self, change: dict[str, object]) -> None:
        """Takes in one announcement of the database (db/schema/announce.sql): what it touches becomes suspect."""
        user, content, ended = (UUID(str(change[key])) if change.get(key) else None for key in ("u", "c", "s"))
        touched = set(self._by_token.values()) if change.get("all") else self._touched(user, content, ended)
        for session in touched:
            session.suspect = True
        if ended is not None:
            await self.checks.end(list(touched), "ended")
        else:
            await self.checks.entitlements.forget(user, content)

    def _touched(self, user: UUID | None, content: UUID | None, ended: UUID | None) -> set[Session]:
        if ended is not None:
            among = self._by_user.get(user, set()) if user else self._by_token.values()
            return {session for session in among if session.claims.session_id == ended}
        if user is not None and content is not None:
            return self._by_user.get(user, set()) & self._by_content.get(content, set())
        if user is not None:
            return set(self._by_user.get(user, ()))
        return set(self._by_content.get(content, ())) if content is not None else set()

    def all_suspect(self) -> None:
        """After a gap in what was heard: everything is asked again when it is next used."""
        for session in self._by_token.values():
            session.suspect = True
