"""What administrators of the installation do to accounts: ban, give a platform role, act in somebody's name, erase.

Decides who may do it to whom. An administrator of one workspace may do none of it: accounts are everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler, Moment
from core.domain.identity.sessions import Opened, Origin, end_sessions, open_session
from core.errors import FORBIDDEN, NOT_FOUND, NOT_PLATFORM_ADMIN, NOT_YOURSELF, Refusal, bad_field
from core.ids import SYSTEM_USER
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.identity", "moderation.sql")

VISIT_LIFETIME = timedelta(minutes=30)
"""How long an administrator acts in somebody's name; refreshing does not make it longer."""
PlatformRole = Literal["user", "student", "teacher", "admin", "super_admin"]
_RANKS: Mapping[str, int] = {"user": 0, "student": 0, "teacher": 0, "admin": 1, "super_admin": 2}

# RULES


def check_moderation(actor_id: UUID | None, actor_role: str, subject_id: UUID, subject: Row | None) -> Refusal | None:
    """Administrators act on people below them, and never on themselves; nobody acts on the product's own account."""
    if _RANKS[actor_role] < 1:
        return Refusal(NOT_PLATFORM_ADMIN)
    if actor_id == subject_id:
        return Refusal(NOT_YOURSELF)
    if subject is None or subject["deleted_at"] is not None or subject_id == SYSTEM_USER:
        return Refusal(NOT_FOUND)
    if _RANKS[subject["role"]] >= _RANKS[actor_role]:
        return Refusal(FORBIDDEN, "That account has as much to say as yours.")
    return None


def check_role(actor_role: str, role: PlatformRole) -> Refusal | None:
    """Nobody gives away more than is below them."""
    if _RANKS[role] < _RANKS[actor_role]:
        return None
    return Refusal(FORBIDDEN, "You may only give roles below your own.")


def check_ban(until: datetime | None, now: datetime) -> Refusal | None:
    """A ban that has an end has it in the future."""
    return bad_field("until", "must lie in the future") if until is not None and until <= now else None


# COMMANDS

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class BanUser(Asked, frozen=True):
    """Keeps somebody out, until a moment or for good: their sessions end, what they are playing stops within a second."""

    user_id: UUID
    reason: Reason
    until: Moment | None = None


class UnbanUser(Asked, frozen=True):
    """Lets somebody in again."""

    user_id: UUID


class SetPlatformRole(Asked, frozen=True):
    """Makes somebody a user, student, teacher, admin or super_admin of the installation."""

    user_id: UUID
    role: PlatformRole


class EraseUser(Asked, frozen=True):
    """Erases a person (GDPR article 17), for good: what is about them goes, what others need stays under a name that says nothing."""

    user_id: UUID


class AccountState(msgspec.Struct, frozen=True):
    """An account after the change."""

    user_id: UUID
    role: str
    status: str
    banned: bool
    ban_reason: str | None
    ban_expires: datetime | None
    deleted_at: datetime | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "ban_user": Command(BanUser, AccountState),
        "unban_user": Command(UnbanUser, AccountState),
        "set_platform_role": Command(SetPlatformRole, AccountState),
        "erase_user": Command(EraseUser, AccountState),
    }
)

# HANDLERS


async def do_ban_user(tx: Tx, viewer: Viewer, asked: BanUser, now: datetime) -> AccountState:
    """Raises Refusal NOT_PLATFORM_ADMIN, NOT_YOURSELF, NOT_FOUND, FORBIDDEN or about a field."""
    if refusal := check_ban(asked.until, now):
        raise refusal
    async with acting_as_service(tx):
        await _admit(tx, viewer, asked.user_id)
        row = await tx.one(_SQL["ban_set"], asked.user_id, asked.reason, asked.until)
        await end_sessions(tx, asked.user_id, asked.user_id, "global", now)
    await emit(tx, "user.banned", f"user:{asked.user_id}", {"user_id": asked.user_id})
    return _state(row)


async def do_unban_user(tx: Tx, viewer: Viewer, asked: UnbanUser, _: datetime) -> AccountState:
    """Raises Refusal as `do_ban_user`."""
    async with acting_as_service(tx):
        await _admit(tx, viewer, asked.user_id)
        row = await tx.one(_SQL["ban_lift"], asked.user_id)
    await emit(tx, "user.unbanned", f"user:{asked.user_id}", {"user_id": asked.user_id})
    return _state(row)


async def do_set_platform_role(tx: Tx, viewer: Viewer, asked: SetPlatformRole, _: datetime) -> AccountState:
    """Raises Refusal as `do_ban_user`."""
    async with acting_as_service(tx):
        actor_role = await _admit(tx, viewer, asked.user_id)
        if refusal := check_role(actor_role, asked.role):
            raise refusal
        return _state(await tx.one(_SQL["role_set"], asked.user_id, asked.role))


async def do_erase_user(tx: Tx, viewer: Viewer, asked: EraseUser, now: datetime) -> AccountState:
    """Raises Refusal as `do_ban_user`. The rest follows from `deleted_at` (db/schema/identity_erasure.sql)."""
    async with acting_as_service(tx):
        await _admit(tx, viewer, asked.user_id)
        row = await tx.one(_SQL["person_erase"], asked.user_id, now)
    await emit(tx, "user.erased", f"user:{asked.user_id}", {"user_id": asked.user_id})
    return _state(row)


async def open_visit(tx: Tx, actor_id: UUID, subject_id: UUID, reason: str, origin: Origin, now: datetime) -> Opened:
    """A short session of `subject_id` in which an administrator acts, noted with its reason. `tx` acts as the service.

    Raises Refusal NOT_PLATFORM_ADMIN, NOT_YOURSELF, NOT_FOUND, FORBIDDEN, BANNED.
    """
    actor_role = await tx.value(_SQL["role_get"], actor_id)
    subject = await tx.one(_SQL["subject_lock"], subject_id)
    if refusal := check_moderation(actor_id, actor_role or "user", subject_id, subject):
        raise refusal
    opened = await open_session(
        tx, subject_id, proof=None, origin=origin, now=now, lifetime=VISIT_LIFETIME, impersonated_by=actor_id
    )
    await tx.run(_SQL["visit_note"], actor_id, subject_id, opened.session_id, reason, origin.address, origin.user_agent)
    return opened


async def _admit(tx: Tx, viewer: Viewer, subject_id: UUID) -> str:
    """The actor's platform role, once they may act on `subject_id`, whose row is locked."""
    role = "super_admin" if viewer.role == "service_role" else await tx.value(_SQL["role_get"], viewer.user_id)
    subject = await tx.one(_SQL["subject_lock"], subject_id)
    if refusal := check_moderation(viewer.user_id, role or "user", subject_id, subject):
        raise refusal
    return str(role)


def _state(row: Row | None) -> AccountState:
    assert row is not None  # its row is locked
    return AccountState(**dict(row))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        BanUser: do_ban_user,
        UnbanUser: do_unban_user,
        SetPlatformRole: do_set_platform_role,
        EraseUser: do_erase_user,
    }
)
