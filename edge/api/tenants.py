"""Which workspace a request is for, and what the person who asks is there.

A request says its workspace in `X-Penstock-Tenant`, by slug or id; one that says none is for the default one and costs nothing here.
A proxy in front of several shops sets the header by the host's name.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

from aiohttp import web

from core.database import Database
from core.domain.tenancy import find_role, find_tenant
from core.errors import UNKNOWN_TENANT, Fault, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import service

HEADER = "X-Penstock-Tenant"
MAX_NAME_CHARS = 63
BELIEVED_S = 30.0
"""The oldest answer that is believed; memberships are announced when they change, and forgotten at once."""
REMEMBERED = 50_000

K = TypeVar("K")
V = TypeVar("V")


class Tenants:
    """Finds workspaces and memberships, and remembers them for a moment."""

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._ids: _Kept[str, UUID | None] = _Kept(monotonic)
        self._roles: _Kept[tuple[UUID, UUID], str | None] = _Kept(monotonic)
        self._epoch = 0

    async def of(self, request: web.BaseRequest) -> UUID:
        """The workspace of `request`. Raises Refusal UNKNOWN_TENANT, DatabaseDown."""
        named = request.headers.getall(HEADER, [])
        if not named:
            return DEFAULT_TENANT
        unknown = Refusal(UNKNOWN_TENANT, faults=(Fault(HEADER, "names no workspace"),))
        if len(named) > 1 or not 0 < len(named[0]) <= MAX_NAME_CHARS or not named[0].isprintable():
            raise unknown
        name = named[0].lower()
        known = self._ids.get(name)
        if known is None:
            async with self._database.transaction(service()) as tx:
                known = (await find_tenant(tx, name),)
            self._ids.put(name, known[0])
        if known[0] is None:
            raise unknown
        return known[0]

    async def role(self, tenant_id: UUID, user_id: UUID) -> str | None:
        """What a person is in a workspace; None: no member. Raises DatabaseDown."""
        known = self._roles.get((tenant_id, user_id))
        if known is None:
            epoch = self._epoch
            async with self._database.transaction(service(tenant_id)) as tx:
                known = (await find_role(tx, user_id),)
            # What was announced during the reading makes its result worthless to the next who ask.
            if epoch == self._epoch:
                self._roles.put((tenant_id, user_id), known[0])
        return known[0]

    def forget_roles(self) -> None:
        """Somebody's membership has changed, or may have."""
        self._epoch += 1
        self._roles.clear()


class _Kept(Generic[K, V]):
    """What was read a moment ago, the oldest go first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> tuple[V] | None:
        """The value, in a tuple; None when it is not known."""
        kept = self._kept.get(key)
        if kept is None or self._monotonic() - kept[0] > BELIEVED_S:
            return None
        return (kept[1],)

    def put(self, key: K, value: V) -> None:
        """Keeps the value from now on."""
        self._kept.pop(key, None)
        self._kept[key] = (self._monotonic(), value)
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Knows nothing any more."""
        self._kept.clear()
