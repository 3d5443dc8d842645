"""API keys at the door: whose one is, for how long it is believed, and what is written of its use.

Knows no SQL. A key that has been looked up is believed for a while, and no longer than until the database announces a
change of it or of its person.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

import structlog
from aiohttp import hdrs, web

from core.database import Database, DatabaseDown
from core.domain.identity import KeyHolder, check_account, find_key_holder
from core.domain.identity.api_keys import MARK, Use, check_key, write_uses
from core.errors import BAD_ACCESS_TOKEN, Refusal
from core.viewer import Viewer, service
from edge.api.access import RECHECK_AFTER_S
from edge.api.observe import ANSWERED
from edge.api.tenants import Tenants, role_in

log = structlog.get_logger(__name__)

LONGEST_KEY_CHARS = 64
REMEMBERED_KEYS = 10_000
FLUSH_S = 1.0
AT_ONCE = 1_000
MOST_WAITING = 50_000
"""Uses that are not written yet; while PostgreSQL is away for longer, the oldest go, and their number is logged."""


def key_of(request: web.BaseRequest) -> str | None:
    """The API key that a request comes with, be it as bearer or as `apikey`; None when it comes with something else."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if not scheme:
        token = request.headers.get("apikey", "")
    elif scheme.lower() != "bearer":
        return None
    return token if token.startswith(MARK) else None


@dataclass(slots=True)
class KeyUses:
    """What was done with keys, written in batches."""

    database: Database
    waiting: deque[Use] = field(default_factory=deque)
    dropped: int = 0

    def add(self, use: Use) -> None:
        """One answered request."""
        self.waiting.append(use)
        if len(self.waiting) > MOST_WAITING:
            self.waiting.popleft()
            self.dropped += 1

    async def run(self) -> None:
        """For ever, until it is cancelled; `flush` then writes the rest."""
        while True:
            await asyncio.sleep(FLUSH_S)
            with suppress(DatabaseDown, Refusal):
                await self.flush()

    async def flush(self) -> None:
        """Writes what is waiting. Raises DatabaseDown, Refusal; what was not written goes on waiting."""
        while self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(AT_ONCE, len(self.waiting)))]
            left = {tenant_id: list(uses) for tenant_id, uses in groupby(sorted(batch, key=_tenant_of), _tenant_of)}
            try:
                # A transaction each: those of a tenant before the one that failed are written, and not written again.
                for tenant_id in list(left):
                    async with self.database.transaction(service(tenant_id)) as tx:
                        await write_uses(tx, left[tenant_id])
                    del left[tenant_id]
            finally:
                self.waiting.extendleft(reversed([use for uses in left.values() for use in uses]))
        if self.dropped:
            log.warning("key_uses_dropped", count=self.dropped)
            self.dropped = 0


def _tenant_of(use: Use) -> UUID:
    return use.tenant_id


@dataclass(frozen=True, slots=True)
class _Known:
    holder: KeyHolder
    read_s: float


@dataclass(slots=True)
class ApiKeys:
    """The keys that one web process has met."""

    database: Database
    uses: KeyUses
    tenants: Tenants
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict)
    _changes: int = 0

    async def viewer(self, request: web.Request, key: str) -> tuple[Viewer, UUID]:
        """Who acts by `key`, and the key's id. A key is good in the workspace it was made in, and is unknown in any other.

        Raises Refusal BAD_ACCESS_TOKEN, ACCESS_TOKEN_EXPIRED, BANNED, UNKNOWN_TENANT, NOT_A_MEMBER; DatabaseDown.
        From here on the request is a use of the key, whatever its answer will be.
        """
        credentials = max(len(request.headers.getall(name, ())) for name in (hdrs.AUTHORIZATION, "apikey"))
        if len(key) > LONGEST_KEY_CHARS or credentials > 1:
            raise Refusal(BAD_ACCESS_TOKEN)
        holder = await self._find(key, await self.tenants.of(request))
        if holder is not None:
            self._note_use(request, holder)
        refusal = check_key(holder.key if holder else None, self.clock())
        if refusal is None and holder is not None:
            refusal = check_account(holder.account, self.clock())
        if refusal is not None or holder is None:
            raise refusal or Refusal(BAD_ACCESS_TOKEN)
        found = holder.key
        role = role_in(found.tenant_id, holder.role, holder.tenant_role)
        return Viewer(found.tenant_id, found.user_id, role, found.scopes), found.id

    async def _find(self, key: str, tenant_id: UUID) -> KeyHolder | None:
        known = self._known.get(key)
        if known is not None and known.holder.key.tenant_id != tenant_id:
            return None
        if known is not None and self.monotonic() - known.read_s < RECHECK_AFTER_S:
            return known.holder
        changes, read_s = self._changes, self.monotonic()
        async with self.database.transaction(service(tenant_id)) as tx:
            holder = await find_key_holder(tx, key)
        # What was announced during the reading may not be in it: it serves this one request and is forgotten.
        if holder is not None and changes == self._changes:
            self._known[key] = _Known(holder, read_s)
            self._known.move_to_end(key)
            if len(self._known) > REMEMBERED_KEYS:
                self._known.popitem(last=False)
        return holder

    def _note_use(self, request: web.Request, holder: KeyHolder) -> None:
        resource = request.match_info.route.resource
        endpoint, method = resource.canonical if resource else request.path, request.method
        key, at = holder.key, self.clock()

        def answered(status: int, seconds: float) -> None:
            self.uses.add(Use(key.id, key.tenant_id, endpoint, method, status, round(seconds * 1000), at))

        request[ANSWERED] = answered

    def note_change(self, payload: Mapping[str, object]) -> None:
        """One announcement of db/schema/announce.sql."""
        if payload.get("t") not in ("api_keys", "users", "memberships"):
            return
        self._changes += 1
        person = str(payload.get("u"))
        for key, known in list(self._known.items()):
            if payload.get("all") or str(known.holder.key.user_id) == person:
                del self._known[key]

    def forget_all(self) -> None:
        """Announcements were missed."""
        self._changes += 1
        self._known.clear()
