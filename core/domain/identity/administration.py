"""What the holder of the service key does to accounts: look through them, make, change and erase them.

Decides what of an account may be set from outside, and that whoever loses their password or address loses their sessions too.
Knows no HTTP and no hashing. What people in charge do instead are the commands of moderation.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.database import Tx
from core.domain.identity.moderation import (
    BanUser,
    EraseUser,
    PlatformRole,
    SetPlatformRole,
    UnbanUser,
    do_ban_user,
    do_erase_user,
    do_set_platform_role,
    do_unban_user,
)
from core.domain.identity.sessions import Person, end_sessions, find_person, person_of, sign_up
from core.errors import NOT_FOUND, Refusal
from core.ids import SYSTEM_USER
from core.queries import load
from core.viewer import service

_SQL = load("core.domain.identity", "administration.sql")

BAN_REASON = "By the operator"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of an account; None leaves a thing as it is. `banned_until` counts where `bans` is true: None is for good."""

    name: str | None = None
    email: str | None = None
    is_proven: bool | None = None
    """Whether its address counts as proven."""
    password_hash: str | None = None
    role: PlatformRole | None = None
    bans: bool | None = None
    banned_until: datetime | None = None


async def list_people(tx: Tx, page: int, per_page: int) -> tuple[list[Person], int]:
    """One page of the accounts, the newest first, and how many there are. `page` counts from 1."""
    rows = await tx.many(_SQL["people_page"], SYSTEM_USER, per_page, (page - 1) * per_page)
    logins = await tx.many(_SQL["logins_of_many"], [row["id"] for row in rows])
    people = [person_of(row, [login for login in logins if login["user_id"] == row["id"]]) for row in rows]
    return people, int(await tx.value(_SQL["people_count"], SYSTEM_USER))


async def get_person(tx: Tx, user_id: UUID) -> Person:
    """An account that has not been erased. Raises Refusal NOT_FOUND."""
    if user_id == SYSTEM_USER or not await tx.value(_SQL["person_there"], user_id):
        raise Refusal(NOT_FOUND, "User not found.")
    person = await find_person(tx, user_id)
    assert person is not None, "its row was just seen"
    return person


async def make_person(tx: Tx, name: str, email: str, password_hash: str, change: Change, now: datetime) -> Person:
    """A new account, whose person has not been here yet. Raises Refusal EMAIL_TAKEN, FORBIDDEN, or about a field."""
    user_id = await sign_up(tx, name=name, email=email, password_hash=password_hash, now=now)
    await tx.run(_SQL["person_unseen"], user_id)
    person, _ = await change_person(tx, user_id, change, now)
    return person


async def change_person(tx: Tx, user_id: UUID, change: Change, now: datetime) -> tuple[Person, list[UUID]]:
    """The account as it is then, and the sessions that were ended. Raises Refusal NOT_FOUND, EMAIL_TAKEN, FORBIDDEN, or about a field."""
    before = await get_person(tx, user_id)
    await tx.run(_SQL["person_change"], user_id, change.name, change.email, change.is_proven)
    if change.password_hash is not None:
        await tx.run(_SQL["password_set"], user_id, change.password_hash, now)
    if change.role is not None and change.role != before.role:
        await do_set_platform_role(tx, service(), SetPlatformRole(user_id, change.role), now)
    if change.bans:
        await do_ban_user(tx, service(), BanUser(user_id, BAN_REASON, change.banned_until), now)
    elif change.bans is False:
        await do_unban_user(tx, service(), UnbanUser(user_id), now)
    ended: list[UUID] = []
    if change.password_hash is not None or change.email is not None:
        ended = await end_sessions(tx, user_id, user_id, "global", now)
    return await get_person(tx, user_id), ended


async def erase_person(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Erases an account for good. Raises Refusal NOT_FOUND, FORBIDDEN."""
    await get_person(tx, user_id)
    await do_erase_user(tx, service(), EraseUser(user_id), now)
