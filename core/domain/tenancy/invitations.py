"""Invitations into a workspace, answered by a mailed secret.

The secret names its workspace, since whoever answers is not in it yet; kept is its digest alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import PEOPLE, Asked, Command, Handler
from core.domain.credentials import canonical_email, digest
from core.domain.invitations import LIFETIME, Email, Token, check_open, unknown
from core.domain.tenancy.access import TenantRole, check_access, decide
from core.domain.tenancy.members import check_giving, find_role
from core.errors import ALREADY_MEMBER, ILLEGAL_MOVE, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.tenancy", "invitations.sql")


# RULES


def check_invitation(row: Row | None, user_id: UUID | None, address: str | None, now: datetime) -> Refusal | None:
    """An invitation is answered by whom it is for, once, in time."""
    is_theirs = row is not None and (
        row["user_id"] == user_id if row["user_id"] else row["email"].lower() == (address or "").lower()
    )
    if row is None or not is_theirs:
        return unknown()
    return check_open(is_pending=row["status"] == "Pending", expires_at=row["expires_at"], now=now)


def tenant_of(token: str) -> UUID:
    """The workspace that a secret names. Raises Refusal BAD_INVITATION."""
    try:
        return UUID(hex=token.partition(".")[0])
    except ValueError:
        raise unknown() from None


# COMMANDS


class InviteMember(Asked, frozen=True):
    """Asks somebody into this workspace for a week: by address, or by account. Asking again replaces what is open."""

    email: Email | None = None
    user_id: UUID | None = None
    role: TenantRole = "Member"


class Invitation(msgspec.Struct, frozen=True):
    """An invitation as it stands."""

    id: UUID
    email: str
    user_id: UUID | None
    role: str
    status: str
    expires_at: datetime


class AcceptInvitation(Asked, frozen=True):
    """Joins the workspace that a mailed invitation is for."""

    token: Token


class DeclineInvitation(Asked, frozen=True):
    """Says no to a mailed invitation."""

    token: Token


class RevokeInvitation(Asked, frozen=True):
    """Takes an invitation into this workspace back."""

    invitation_id: UUID


class WorkspaceInvitationAnswered(msgspec.Struct, frozen=True):
    """The workspace, and what the invitation has become."""

    tenant_id: UUID
    role: str
    status: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "invite_member": Command(InviteMember, Invitation, PEOPLE),
        "accept_invitation": Command(AcceptInvitation, WorkspaceInvitationAnswered, PEOPLE),
        "decline_invitation": Command(DeclineInvitation, WorkspaceInvitationAnswered, PEOPLE),
        "revoke_invitation": Command(RevokeInvitation, Invitation, PEOPLE),
    }
)

# HANDLERS


async def do_invite_member(tx: Tx, viewer: Viewer, asked: InviteMember, now: datetime) -> Invitation:
    """Raises Refusal FORBIDDEN, DENIED_BY_POLICY, NOT_FOUND, ALREADY_MEMBER or about a field."""
    if refusal := check_access(await decide(tx, viewer, "invitations", "create")):
        raise refusal
    if (asked.email is None) == (asked.user_id is None):
        raise bad_field("email", "either an email or a user_id is given")
    email = canonical_email(asked.email) if asked.email is not None else None
    token = f"{viewer.tenant_id.hex}.{secrets.token_urlsafe(32)}"
    async with acting_as_service(tx):
        is_platform = bool(await tx.value(_SQL["inviter_is_platform"], viewer.user_id))
        own_role = await find_role(tx, viewer.user_id) if viewer.user_id else None
        if refusal := check_giving(own_role, asked.role, is_staff=viewer.is_staff, is_platform=is_platform):
            raise refusal
        person = await tx.one(_SQL["invited_person"], asked.user_id, email)
        if person is None and asked.user_id is not None:
            raise Refusal(NOT_FOUND)
        if person is not None and await find_role(tx, person["id"]) is not None:
            raise Refusal(ALREADY_MEMBER)
        to, user_id = (person["email"], person["id"]) if person is not None else (email, None)
        await tx.run(_SQL["invitation_replace"], to)
        row = await tx.one(
            _SQL["invitation_insert"],
            to, user_id, asked.role, digest(token), viewer.user_id, now + LIFETIME, now,
        )  # fmt: skip
        assert row is not None
        workspace = await tx.value(_SQL["workspace_name"])
        if user_id is not None:
            await tx.run(_SQL["invitation_notify"], user_id, workspace)
    payload = {
        "template": "invitation",
        "user_id": user_id,
        "to": to,
        "variables": {"workspace": workspace, "role": asked.role, "token": token},
        "kind": "transactional",
    }
    await emit(tx, "mail.wanted", f"user:{user_id}" if user_id else f"invitation:{row['id']}", payload)
    return Invitation(**dict(row))


async def do_accept_invitation(
    tx: Tx, viewer: Viewer, asked: AcceptInvitation, now: datetime
) -> WorkspaceInvitationAnswered:
    """Raises Refusal BAD_INVITATION, ALREADY_MEMBER, QUOTA_REACHED."""
    tenant_id = tenant_of(asked.token)
    async with acting_as_service(tx):
        await tx.run(_SQL["workspace_enter"], tenant_id)
        row = await _open(tx, viewer, asked.token, now)
        assert viewer.user_id is not None  # a role that may ask has one
        if await find_role(tx, viewer.user_id) is not None:
            raise Refusal(ALREADY_MEMBER)
        await tx.run(_SQL["invitation_accept"], row["id"], viewer.user_id, now)
        await tx.run(_SQL["invited_join"], viewer.user_id, row["role"])
        await emit(tx, "member.joined", f"user:{viewer.user_id}", {"user_id": viewer.user_id, "role": row["role"]})
        await tx.run(_SQL["workspace_enter"], viewer.tenant_id)
    return WorkspaceInvitationAnswered(tenant_id, row["role"], "Accepted")


async def do_decline_invitation(
    tx: Tx, viewer: Viewer, asked: DeclineInvitation, now: datetime
) -> WorkspaceInvitationAnswered:
    """Raises Refusal BAD_INVITATION."""
    tenant_id = tenant_of(asked.token)
    async with acting_as_service(tx):
        await tx.run(_SQL["workspace_enter"], tenant_id)
        row = await _open(tx, viewer, asked.token, now)
        await tx.one(_SQL["invitation_end"], row["id"])
        await tx.run(_SQL["workspace_enter"], viewer.tenant_id)
    return WorkspaceInvitationAnswered(tenant_id, row["role"], "Revoked")


async def do_revoke_invitation(tx: Tx, viewer: Viewer, asked: RevokeInvitation, _: datetime) -> Invitation:
    """Raises Refusal FORBIDDEN, DENIED_BY_POLICY, NOT_FOUND, ILLEGAL_MOVE."""
    if refusal := check_access(await decide(tx, viewer, "invitations", "delete", asked.invitation_id)):
        raise refusal
    async with acting_as_service(tx):
        row = await tx.one(_SQL["invitation_end"], asked.invitation_id)
        if row is None:
            is_there = await tx.value(_SQL["invitation_exists"], asked.invitation_id)
            raise Refusal(ILLEGAL_MOVE, "It has been answered or taken back.") if is_there else Refusal(NOT_FOUND)
    return Invitation(**dict(row))


async def _open(tx: Tx, viewer: Viewer, token: str, now: datetime) -> Row:
    row = await tx.one(_SQL["invitation_lock"], digest(token))
    address = await tx.value(_SQL["address_get"], viewer.user_id)
    if refusal := check_invitation(row, viewer.user_id, address, now):
        raise refusal
    assert row is not None
    return row


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        InviteMember: do_invite_member,
        AcceptInvitation: do_accept_invitation,
        DeclineInvitation: do_decline_invitation,
        RevokeInvitation: do_revoke_invitation,
    }
)
