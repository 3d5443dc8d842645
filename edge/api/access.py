"""The gate: who a request comes from, and whether they are still welcome.

Decides the Viewer of every request. A token is proof for an hour, so what ended since (a session, a person's good
standing) is looked up once per session and remembered until the database announces a change. Knows no SQL.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from aiohttp import hdrs, web

from core.database import Database, DatabaseDown
from core.domain.identity import Standing, check_standing, find_standing
from core.errors import BAD_ACCESS_TOKEN, NOT_PLATFORM_ADMIN, SIGN_IN_NEEDED, TIMEOUT, UNAVAILABLE, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer, service
from edge.api.access_keys import LEEWAY_S, LIFETIME, Access, AccessKeys
from edge.api.tenants import HEADER, STAFF_ROLES, Tenants, role_in

__all__ = ["Access", "AccessKeys", "DatabaseSessions", "Gate", "Sessions", "SignedIn"]

log = structlog.get_logger(__name__)

REMEMBERED_SESSIONS = 50_000
RECHECK_AFTER_S = 30.0
"""The oldest standing that is believed without an announcement; the net below the announcements."""
LOOKUP_TIMEOUT_S = 1.5
AWAY_S = 1.0
"""How long PostgreSQL is left alone after it did not answer."""
DOUBT_S = LIFETIME.total_seconds() + LEEWAY_S
"""After this long no token from before a change is in date."""


class Sessions(Protocol):
    """Where standings come from."""

    async def standing(self, session_id: UUID, user_id: UUID) -> Standing | None:
        """How a session stands; None when it is gone. Raises DatabaseDown, or Refusal TIMEOUT."""


class DatabaseSessions:
    """Standings from PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, session_id: UUID, user_id: UUID) -> Standing | None:
        """See Sessions."""
        async with self._database.transaction(service()) as tx:
            return await find_standing(tx, session_id, user_id)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person's request: who they act as, and the session it came by."""

    viewer: Viewer
    user_id: UUID
    session_id: UUID
    access: Access


@dataclass(slots=True)
class _Known:
    """What was last read of a session, when by either clock, and whether nothing was announced since."""

    user_id: UUID
    standing: Standing | None
    read_s: float
    read_at: datetime
    sure: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """A look-up under way."""

    user_id: UUID
    task: asyncio.Task[_Known]


class Gate:
    """Turns requests into viewers.

    PostgreSQL away: a valid token is taken at its word, except where the last thing heard of its session or person was
    bad, or was that something changed.
    """

    def __init__(
        self,
        access_keys: AccessKeys,
        sessions: Sessions,
        *,
        tenants: Tenants | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        seen: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        self._keys = access_keys
        self._sessions = sessions
        self._tenants = tenants
        self._clock = clock
        self._monotonic = monotonic
        self._seen = seen
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._sessions_of: dict[UUID, set[UUID]] = {}
        self._reading: dict[UUID, _Reading] = {}
        self._doubted: OrderedDict[UUID, float] = OrderedDict()
        self._away_until_s = 0.0

    async def viewer(self, request: web.BaseRequest) -> Viewer:
        """Who `request` comes from, and for which workspace.

        Raises Refusal BAD_ACCESS_TOKEN, ACCESS_TOKEN_EXPIRED, BANNED, UNKNOWN_TENANT, NOT_A_MEMBER.
        """
        access = self._presented(request)
        tenant_id = await self._tenant(request)
        if access is None or access.role == "anon":
            return GUEST if tenant_id == DEFAULT_TENANT else Viewer(tenant_id, None, "anon")
        if access.role == "service_role":
            return service(tenant_id)
        return (await self._admit(access, tenant_id)).viewer

    async def require_user(self, request: web.BaseRequest) -> SignedIn:
        """The person `request` comes from. Raises as `viewer`, and SIGN_IN_NEEDED for a guest or the service key."""
        access = self._presented(request)
        if access is None or access.role != "authenticated":
            raise Refusal(SIGN_IN_NEEDED)
        return await self._admit(access, await self._tenant(request))

    async def require_account(self, request: web.BaseRequest) -> SignedIn:
        """The same for what is about the account itself, which belongs to no workspace: none is looked at."""
        access = self._presented(request)
        if access is None or access.role != "authenticated":
            raise Refusal(SIGN_IN_NEEDED)
        return await self._admit(access, DEFAULT_TENANT)

    def require_service(self, request: web.BaseRequest) -> None:
        """The service key and nothing else. Raises as `viewer`, SIGN_IN_NEEDED for a guest, NOT_PLATFORM_ADMIN for a person."""
        access = self._presented(request)
        if access is None or access.role == "anon":
            raise Refusal(SIGN_IN_NEEDED)
        if access.role != "service_role":
            raise Refusal(NOT_PLATFORM_ADMIN, "Only the service key may do that.")

    def note_change(self, payload: Mapping[str, object]) -> None:
        """Takes one announcement of db/schema/announce.sql; those that are not about people or sessions do nothing."""
        source = payload.get("t")
        if source not in ("users", "sessions", "memberships"):
            return
        if payload.get("all"):
            self.forget_all()
            return
        subject = payload.get("s" if source == "sessions" else "u")
        try:
            subject_id = UUID(str(subject))
        except ValueError:
            log.warning("announcement_not_understood", source=source)
            return
        if source == "memberships" and self._tenants is not None:
            self._tenants.note_change(subject_id)
        self._doubted[subject_id] = self._monotonic()
        self._doubted.move_to_end(subject_id)
        if len(self._doubted) > REMEMBERED_SESSIONS:
            self._doubted.popitem(last=False)
        session_ids = {subject_id} if source == "sessions" else self._sessions_of.get(subject_id, set())
        for session_id in session_ids:
            if session_id in self._known:
                self._known[session_id].sure = False
        # A reading that is under way may have seen the state before: nobody may take its result, nor join it.
        for session_id, reading in list(self._reading.items()):
            if subject_id in (session_id, reading.user_id):
                del self._reading[session_id]

    def forget_all(self) -> None:
        """Announcements were missed (the listener reconnected): every session is looked up again when next seen."""
        for known in self._known.values():
            known.sure = False
        self._reading.clear()
        if self._tenants is not None:
            self._tenants.forget_roles()

    async def _tenant(self, request: web.BaseRequest) -> UUID:
        # Nearly every request: not even a coroutine is made for it.
        if self._tenants is None or HEADER not in request.headers:
            return DEFAULT_TENANT
        return await self._tenants.of(request)

    def _presented(self, request: web.BaseRequest) -> Access | None:
        credentials = request.headers.getall(hdrs.AUTHORIZATION, [])
        now = self._clock()
        if not credentials:
            keys = request.headers.getall("apikey", [])
            if len(keys) > 1:
                raise Refusal(BAD_ACCESS_TOKEN, "Exactly one `apikey` is taken.")
            key = keys[0] if keys else None
            if key is None and (key := request.query.get("apikey")) is not None:
                access = self._keys.verify(key, now)
                # Addresses end up in logs and histories: one never carries more than a guest's key.
                if access.role != "anon":
                    raise Refusal(BAD_ACCESS_TOKEN, "Only the anon key may be sent in the address.")
                return access
            return None if key is None else self._keys.verify(key, now)
        scheme, _, token = credentials[0].partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer":
            raise Refusal(BAD_ACCESS_TOKEN, "Exactly one `Authorization: Bearer <access token>` is taken.")
        return self._keys.verify(token.strip(), now)

    async def _admit(self, access: Access, tenant_id: UUID) -> SignedIn:
        assert access.user_id is not None
        assert access.session_id is not None
        known: _Known | None = self._known.get(access.session_id)
        if known is None or known.user_id != access.user_id or not self._is_fresh(known):
            known = await self._look_up(access.session_id, access.user_id)
        platform_role, tenant_role = access.platform_role, None
        if known is not None:
            refusal = check_standing(known.standing, self._clock())
            if refusal:
                raise refusal
            assert known.standing is not None
            platform_role, tenant_role = known.standing.role, known.standing.tenant_role
        if tenant_id != DEFAULT_TENANT:
            # What was read with the session is of the default workspace and counts for no other.
            tenant_role = None
            if self._tenants is not None and platform_role not in STAFF_ROLES:
                tenant_role = await self._tenants.role(tenant_id, access.user_id)
        role = role_in(tenant_id, platform_role, tenant_role)
        self._seen(access.session_id)
        return SignedIn(Viewer(tenant_id, access.user_id, role), access.user_id, access.session_id, access)

    async def _look_up(self, session_id: UUID, user_id: UUID) -> _Known | None:
        """What is known of the session; None when PostgreSQL is away and nothing speaks against it."""
        try:
            return await self._read(session_id, user_id)
        except (DatabaseDown, Refusal) as error:
            if isinstance(error, Refusal) and error.code is not TIMEOUT:
                raise
            known = self._known.get(session_id)
            now_s = self._monotonic()
            if now_s >= self._away_until_s:
                log.warning("standing_not_known", error=str(error))
                self._away_until_s = now_s + AWAY_S
            if known is not None and check_standing(known.standing, self._clock()):
                return known
            if self._is_doubted(session_id, known) or self._is_doubted(user_id, known):
                raise Refusal(UNAVAILABLE, "Your session cannot be checked right now.", retry_after_s=1) from error
            return known

    def _is_doubted(self, subject_id: UUID, known: _Known | None) -> bool:
        """Whether a change of `subject_id` was announced that has not been looked at."""
        noted_s = self._doubted.get(subject_id)
        if noted_s is None or self._monotonic() - noted_s > DOUBT_S:
            return False
        return known is None or known.read_s < noted_s

    def _is_fresh(self, known: _Known) -> bool:
        if known.standing is not None and known.read_at < known.standing.expires_at <= self._clock():
            return False  # it may have been extended since
        return known.sure and self._monotonic() - known.read_s < RECHECK_AFTER_S

    async def _read(self, session_id: UUID, user_id: UUID) -> _Known:
        """What is known, or else is read: once for all who wait, and again when a change is announced meanwhile."""
        while True:
            known = self._known.get(session_id)
            if known is not None and known.user_id == user_id and self._is_fresh(known):
                return known
            if self._monotonic() < self._away_until_s:
                raise DatabaseDown("did not answer a moment ago")
            reading = self._reading.get(session_id)
            if reading is None or reading.user_id != user_id:
                reading = _Reading(user_id, asyncio.create_task(self._fetch(session_id, user_id)))
                self._reading[session_id] = reading
                reading.task.add_done_callback(partial(self._keep, session_id, reading))
            # wait() and not wait_for(): a waiter who gives up or hangs up must not take the answer from the others.
            await asyncio.wait({reading.task}, timeout=LOOKUP_TIMEOUT_S)
            if not reading.task.done():
                raise DatabaseDown(f"no answer within {LOOKUP_TIMEOUT_S} s")
            known = reading.task.result()
            if known.sure:
                return known

    async def _fetch(self, session_id: UUID, user_id: UUID) -> _Known:
        read_s, read_at = self._monotonic(), self._clock()
        try:
            standing = await self._sessions.standing(session_id, user_id)
        except OSError as error:  # TimeoutError is one
            raise DatabaseDown(str(error)) from error
        return _Known(user_id, standing, read_s, read_at)

    def _keep(self, session_id: UUID, reading: _Reading, task: asyncio.Task[_Known]) -> None:
        """Runs before any waiter of `task` does: what was announced during the reading makes its result worthless."""
        is_current = self._reading.get(session_id) is reading
        if is_current:
            del self._reading[session_id]
        if task.cancelled() or task.exception() is not None:
            return
        if is_current:
            self._remember(session_id, task.result())
        else:
            task.result().sure = False

    def _remember(self, session_id: UUID, known: _Known) -> None:
        self._forget(session_id)
        self._known[session_id] = known
        self._sessions_of.setdefault(known.user_id, set()).add(session_id)
        if len(self._known) > REMEMBERED_SESSIONS:
            self._forget(next(iter(self._known)))

    def _forget(self, session_id: UUID) -> None:
        known = self._known.pop(session_id, None)
        if known is None:
            return
        theirs = self._sessions_of.get(known.user_id, set())
        theirs.discard(session_id)
        if not theirs:
            self._sessions_of.pop(known.user_id, None)
