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
from multidict import istr

from core.database import Database
from core.domain.tenancy import IN_CHARGE, find_role, find_tenant
from core.errors import NOT_A_MEMBER, UNKNOWN_TENANT, Fault, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Role, service

HEADER = istr("X-Penstock-Tenant")
MAX_NAME_CHARS = 63
BELIEVED_S = 30.0
"""The oldest answer that is believed; memberships are announced when they change, and forgotten at once."""
REMEMBERED = 50_000
STAFF_ROLES = frozenset({"admin", "super_admin"})
"""The platform roles that are staff of every workspace."""

K = TypeVar("K")
V = TypeVar("V")


def role_in(tenant_id: UUID, platform_role: str | None, tenant_role: str | None) -> Role:
    """What somebody with an account acts as in a workspace; `tenant_role` is of that very one. Raises Refusal NOT_A_MEMBER.

    The default workspace is everybody's who has an account, so a single-tenant installation needs no memberships.
    """
    if platform_role in STAFF_ROLES or tenant_role in IN_CHARGE:
        return "staff"
    if tenant_role is None and tenant_id != DEFAULT_TENANT:
        raise Refusal(NOT_A_MEMBER)
    return "authenticated"


class Tenants:
    """Finds workspaces and memberships, and remembers them for a moment.

    Only what lets somebody in is remembered: a workspace just made and a member just taken in are known at once.
    """

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._ids: _Kept[str, UUID] = _Kept(monotonic)
        self._roles: _Kept[tuple[UUID, UUID], tuple[str, int]] = _Kept(monotonic)
        self._changes = 0
        self._changed: OrderedDict[UUID, int] = OrderedDict()
        self._all_changed = 0

    async def of(self, request: web.BaseRequest) -> UUID:
        """The workspace of `request`. Raises Refusal UNKNOWN_TENANT, DatabaseDown."""
        if HEADER not in request.headers:
            return DEFAULT_TENANT
        named = request.headers.getall(HEADER)
        unknown = Refusal(UNKNOWN_TENANT, faults=(Fault(HEADER, "names no workspace"),))
        if len(named) > 1 or not 0 < len(named[0]) <= MAX_NAME_CHARS or not named[0].isascii():
            raise unknown
        name = named[0].lower()
        if not name.isprintable():
            raise unknown
        found = self._ids.get(name)
        if found is None:
            async with self._database.transaction(service()) as tx:
                found = await find_tenant(tx, name)
            if found is None:
                raise unknown
            self._ids.put(name, found)
        return found

    async def role(self, tenant_id: UUID, user_id: UUID) -> str | None:
        """What a person is in a workspace; None: no member. Raises DatabaseDown."""
        known = self._roles.get((tenant_id, user_id))
        if known is not None and known[1] >= self._changed.get(user_id, self._all_changed):
            return known[0]
        # What is announced during the reading may not be in it: it counts as read before.
        changes = self._changes
        async with self._database.transaction(service(tenant_id)) as tx:
            role = await find_role(tx, user_id)
        if role is not None:
            self._roles.put((tenant_id, user_id), (role, changes))
        return role

    def note_change(self, user_id: UUID) -> None:
        """A person's memberships have changed."""
        self._changes += 1
        self._changed[user_id] = self._changes
        self._changed.move_to_end(user_id)
        if len(self._changed) > REMEMBERED:
            self.forget_roles()

    def forget_roles(self) -> None:
        """Anybody's memberships may have changed."""
        self._changes += 1
        self._all_changed = self._changes
        self._roles.clear()
        self._changed.clear()


class _Kept(Generic[K, V]):
    """What was read a moment ago, the oldest go first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value; None when it is not known."""
        kept = self._kept.get(key)
        return None if kept is None or self._monotonic() - kept[0] > BELIEVED_S else kept[1]

    def put(self, key: K, value: V) -> None:
        """Keeps the value from now on."""
        self._kept.pop(key, None)
        self._kept[key] = (self._monotonic(), value)
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Knows nothing any more."""
        self._kept.clear()
