"""Families: who is in one, who is asked in, and the secret by which they answer.

Decides who may ask in and who may answer. The secret goes into the mail and nowhere else; what is kept is its digest.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain import invitations
from core.domain.commands import acting_as_service, emit
from core.domain.context import PEOPLE, Asked, Command, Handler
from core.domain.credentials import canonical_email, digest
from core.domain.invitations import Email, Token
from core.errors import ALREADY_MEMBER, LAST_ADMIN, NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.community", "families.sql")


# RULES


def check_invitation(row: Row | None, address: str | None, now: datetime) -> Refusal | None:
    """An invitation is answered by whom it was sent to, once, in time."""
    if row is None or address is None or row["email"].lower() != address.lower():
        return invitations.unknown()
    return invitations.check_open(is_pending=row["status"] == "pending", expires_at=row["expires_at"], now=now)


def check_leaving(role: str, admins: int, members: int) -> Refusal | None:
    """Whoever is the last in charge does not leave the others alone."""
    return Refusal(LAST_ADMIN) if role == "admin" and admins == 1 and members > 1 else None


# COMMANDS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class CreateFamily(Asked, frozen=True):
    """Begins a family, with you in charge of it."""

    name: Name


class FamilyState(msgspec.Struct, frozen=True):
    """A family, and what you are in it; null: not in it any more."""

    family_id: UUID
    name: str
    role: str | None


class InviteToFamily(Asked, frozen=True):
    """Asks somebody in by mail, for a week; who is in charge of the family may. Asking again replaces an answer that never came, or was no."""

    family_id: UUID
    email: Email


class FamilyInvited(msgspec.Struct, frozen=True):
    """The invitation that was sent."""

    invitation_id: UUID
    email: str
    expires_at: datetime


class AcceptFamilyInvitation(Asked, frozen=True):
    """Joins the family that a mailed invitation is for."""

    token: Token


class DeclineFamilyInvitation(Asked, frozen=True):
    """Says no to a mailed invitation."""

    token: Token


class InvitationAnswered(msgspec.Struct, frozen=True):
    """The invitation after the answer."""

    family_id: UUID
    status: str


class LeaveFamily(Asked, frozen=True):
    """Leaves a family, or (who is in charge of it) takes somebody out of it. The last to leave ends it."""

    family_id: UUID
    user_id: UUID | None = None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "create_family": Command(CreateFamily, FamilyState, PEOPLE),
        "invite_to_family": Command(InviteToFamily, FamilyInvited, PEOPLE),
        "accept_family_invitation": Command(AcceptFamilyInvitation, InvitationAnswered, PEOPLE),
        "decline_family_invitation": Command(DeclineFamilyInvitation, InvitationAnswered, PEOPLE),
        "leave_family": Command(LeaveFamily, FamilyState, PEOPLE),
    }
)

# HANDLERS


async def do_create_family(tx: Tx, viewer: Viewer, asked: CreateFamily, _: datetime) -> FamilyState:
    """A family has somebody in charge from its first moment."""
    family_id = await tx.value(_SQL["family_insert"], asked.name)
    await tx.run(_SQL["membership_insert"], family_id, viewer.user_id, "admin")
    return FamilyState(family_id, asked.name, "admin")


async def do_invite_to_family(tx: Tx, _: Viewer, asked: InviteToFamily, now: datetime) -> FamilyInvited:
    """Raises Refusal NOT_FOUND (also for a family that one is not in charge of), ALREADY_MEMBER or about a field."""
    email = canonical_email(asked.email)
    family = await tx.one(_SQL["family_managed"], asked.family_id)
    if family is None:
        raise Refusal(NOT_FOUND)
    token, expires_at = secrets.token_urlsafe(32), now + invitations.LIFETIME
    async with acting_as_service(tx):
        if await tx.value(_SQL["address_is_member"], asked.family_id, email):
            raise Refusal(ALREADY_MEMBER)
        await tx.run(_SQL["invitation_drop"], asked.family_id, email)
        invitation_id = await tx.value(
            _SQL["invitation_insert"], asked.family_id, email, digest(token), expires_at, now
        )
    payload = {
        "template": "family_invitation",
        "user_id": None,
        "to": email,
        "variables": {"family": family["name"], "token": token},
        "kind": "transactional",
    }
    await emit(tx, "mail.wanted", f"family_invitation:{invitation_id}", payload)
    return FamilyInvited(invitation_id, email, expires_at)


async def do_accept_family_invitation(
    tx: Tx, viewer: Viewer, asked: AcceptFamilyInvitation, now: datetime
) -> InvitationAnswered:
    """Raises Refusal BAD_INVITATION."""
    async with acting_as_service(tx):
        row = await _open(tx, viewer, asked.token, now)
        await tx.run(_SQL["invitation_accept"], row["id"], now)
        await tx.run(_SQL["membership_insert"], row["family_id"], viewer.user_id, "member")
    return InvitationAnswered(row["family_id"], "accepted")


async def do_decline_family_invitation(
    tx: Tx, viewer: Viewer, asked: DeclineFamilyInvitation, now: datetime
) -> InvitationAnswered:
    """Raises Refusal BAD_INVITATION."""
    async with acting_as_service(tx):
        row = await _open(tx, viewer, asked.token, now)
        await tx.run(_SQL["invitation_decline"], row["id"])
    return InvitationAnswered(row["family_id"], "declined")


async def do_leave_family(tx: Tx, viewer: Viewer, asked: LeaveFamily, _: datetime) -> FamilyState:
    """Raises Refusal NOT_FOUND, LAST_ADMIN."""
    leaver = asked.user_id or viewer.user_id
    if leaver != viewer.user_id and await tx.one(_SQL["family_managed"], asked.family_id) is None:
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        # The family's row first: two who leave at once would each count the other.
        family = await tx.one(_SQL["family_lock"], asked.family_id)
        place = await tx.one(_SQL["place_get"], asked.family_id, leaver)
        if family is None or place is None:
            raise Refusal(NOT_FOUND)
        if refusal := check_leaving(place["role"], place["admins"], place["members"]):
            raise refusal
        await tx.run(_SQL["membership_delete"], asked.family_id, leaver)
        if place["members"] == 1:
            await tx.run(_SQL["family_delete"], asked.family_id)
    return FamilyState(asked.family_id, family["name"], None)


async def _open(tx: Tx, viewer: Viewer, token: str, now: datetime) -> Row:
    row = await tx.one(_SQL["invitation_lock"], digest(token))
    address = await tx.value(_SQL["address_get"], viewer.user_id)
    if refusal := check_invitation(row, address, now):
        raise refusal
    assert row is not None
    return row


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        CreateFamily: do_create_family,
        InviteToFamily: do_invite_to_family,
        AcceptFamilyInvitation: do_accept_family_invitation,
        DeclineFamilyInvitation: do_decline_family_invitation,
        LeaveFamily: do_leave_family,
    }
)
