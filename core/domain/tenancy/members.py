"""Workspaces and their members: who makes one, who is what in it, who leaves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler
from core.domain.tenancy.access import TenantRole, check_access, decide
from core.errors import FORBIDDEN, LAST_ADMIN, NOT_FOUND, NOT_PLATFORM_ADMIN, Refusal
from core.queries import load
from core.viewer import Role, Viewer

_SQL = load("core.domain.tenancy", "members.sql")

_PEOPLE: frozenset[Role] = frozenset({"authenticated", "staff", "service_role"})
IN_CHARGE = frozenset({"Admin", "SuperAdmin"})

# RULES


def check_giving(actor_role: str | None, role: str, *, is_staff: bool, is_platform: bool) -> Refusal | None:
    """Nobody makes or unmakes what is above them, whatever else a permission or a policy lets them do.

    A SuperAdmin is the business of SuperAdmins and of the installation's administrators, an Admin that of staff.
    """
    if is_platform or actor_role == "SuperAdmin" or role == "Member" or (role == "Admin" and is_staff):
        return None
    return Refusal(FORBIDDEN, "You may neither give nor take a role above your own.")


def check_staying_led(role: str, becomes: str | None, leaders: int) -> Refusal | None:
    """A workspace that had somebody in charge keeps somebody in charge."""
    return Refusal(LAST_ADMIN) if role in IN_CHARGE and becomes not in IN_CHARGE and leaders == 1 else None


# COMMANDS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Slug = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class CreateWorkspace(Asked, frozen=True):
    """Makes a workspace, you in charge of it. Without name and slug it is the default one of a single-tenant installation."""

    name: Name | None = None
    slug: Slug | None = None
    description: str | None = None


class Workspace(msgspec.Struct, frozen=True):
    """A workspace."""

    id: UUID
    name: str
    slug: str
    description: str | None


class UpdateWorkspace(Asked, frozen=True):
    """Another name or description for the workspace you are in."""

    name: Name
    description: str | None = None


class SetMemberRole(Asked, frozen=True):
    """Makes a member of this workspace a Member, Admin or SuperAdmin of it."""

    user_id: UUID
    role: TenantRole


class RemoveMember(Asked, frozen=True):
    """Takes somebody out of this workspace; oneself anybody may."""

    user_id: UUID


class MemberState(msgspec.Struct, frozen=True):
    """What somebody is in this workspace now; null: no member."""

    user_id: UUID
    role: str | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "create_workspace": Command(CreateWorkspace, Workspace),
        "update_workspace": Command(UpdateWorkspace, Workspace),
        "set_member_role": Command(SetMemberRole, MemberState, _PEOPLE),
        "remove_member": Command(RemoveMember, MemberState, _PEOPLE),
    }
)

# HANDLERS


async def do_create_workspace(tx: Tx, viewer: Viewer, asked: CreateWorkspace, _: datetime) -> Workspace:
    """Raises Refusal NOT_PLATFORM_ADMIN, CONFLICT when the slug is taken."""
    async with acting_as_service(tx):
        if not await _is_platform(tx, viewer):
            raise Refusal(NOT_PLATFORM_ADMIN)
        row = await tx.one(_SQL["tenant_insert"], asked.name, asked.slug, asked.description)
        assert row is not None
        if viewer.user_id is not None:
            await tx.run(_SQL["tenant_enter"], row["id"])
            await tx.run(_SQL["member_insert"], viewer.user_id, "SuperAdmin")
            await tx.run(_SQL["tenant_enter"], viewer.tenant_id)
    await emit(tx, "workspace.created", f"tenant:{row['id']}", {"tenant_id": row["id"]})
    return Workspace(**dict(row))


async def do_update_workspace(tx: Tx, viewer: Viewer, asked: UpdateWorkspace, _: datetime) -> Workspace:
    """Raises Refusal FORBIDDEN, DENIED_BY_POLICY."""
    if refusal := check_access(await decide(tx, viewer, "tenants", "update", viewer.tenant_id)):
        raise refusal
    async with acting_as_service(tx):
        row = await tx.one(_SQL["tenant_update"], viewer.tenant_id, asked.name, asked.description)
    assert row is not None
    return Workspace(**dict(row))


async def do_set_member_role(tx: Tx, viewer: Viewer, asked: SetMemberRole, _: datetime) -> MemberState:
    """Raises Refusal FORBIDDEN, DENIED_BY_POLICY, NOT_FOUND, LAST_ADMIN."""
    if refusal := check_access(await decide(tx, viewer, "memberships", "update", asked.user_id)):
        raise refusal
    async with acting_as_service(tx):
        place = await _place(tx, viewer, asked.user_id, asked.role)
        if refusal := check_staying_led(place["role"], asked.role, place["leaders"]):
            raise refusal
        await tx.run(_SQL["member_update"], asked.user_id, asked.role)
    return MemberState(asked.user_id, asked.role)


async def do_remove_member(tx: Tx, viewer: Viewer, asked: RemoveMember, _: datetime) -> MemberState:
    """Raises Refusal FORBIDDEN, DENIED_BY_POLICY, NOT_FOUND, LAST_ADMIN."""
    if asked.user_id != viewer.user_id and (
        refusal := check_access(await decide(tx, viewer, "memberships", "delete", asked.user_id))
    ):
        raise refusal
    async with acting_as_service(tx):
        place = await _place(tx, viewer, asked.user_id, None)
        if refusal := check_staying_led(place["role"], None, place["leaders"]):
            raise refusal
        await tx.run(_SQL["member_delete"], asked.user_id)
    await emit(tx, "member.removed", f"user:{asked.user_id}", {"user_id": asked.user_id})
    return MemberState(asked.user_id, None)


async def find_tenant(tx: Tx, named: str) -> UUID | None:
    """The workspace of that slug or id. `tx` acts as the service."""
    id_: UUID | None = await tx.value(_SQL["tenant_find"], named)
    return id_


async def find_role(tx: Tx, user_id: UUID) -> str | None:
    """What somebody is in the present workspace; None: no member."""
    role: str | None = await tx.value(_SQL["role_get"], user_id)
    return role


async def _place(tx: Tx, viewer: Viewer, user_id: UUID, becomes: str | None) -> Row:
    """What a member is, and how many are in charge; both kept until the transaction ends."""
    await tx.run(_SQL["members_lock"])
    place = await tx.one(_SQL["place_get"], user_id)
    if place is None:
        raise Refusal(NOT_FOUND)
    if user_id != viewer.user_id or becomes is not None:
        actor_role, is_platform = (
            await find_role(tx, viewer.user_id) if viewer.user_id else None,
            await _is_platform(tx, viewer),
        )
        for role in (place["role"], becomes or "Member"):
            if refusal := check_giving(actor_role, role, is_staff=viewer.is_staff, is_platform=is_platform):
                raise refusal
    return place


async def _is_platform(tx: Tx, viewer: Viewer) -> bool:
    return viewer.role == "service_role" or bool(await tx.value(_SQL["platform_admin"], viewer.user_id))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        CreateWorkspace: do_create_workspace,
        UpdateWorkspace: do_update_workspace,
        SetMemberRole: do_set_member_role,
        RemoveMember: do_remove_member,
    }
)
