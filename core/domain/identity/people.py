"""What people do about themselves: whom they follow, where they are signed in, what they ask to be told or rid of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import PEOPLE, Asked, Command, Handler
from core.errors import NOT_FOUND, NOT_YOURSELF, SIGN_IN_NEEDED, Refusal
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.identity", "people.sql")


# RULES


def check_follow(viewer: Viewer, user_id: UUID) -> Refusal | None:
    """Somebody who is signed in follows somebody else."""
    if viewer.user_id is None:
        return Refusal(SIGN_IN_NEEDED)
    return Refusal(NOT_YOURSELF) if viewer.user_id == user_id else None


# COMMANDS


class FollowUser(Asked, frozen=True):
    """Lists you among somebody's followers. Done twice, it is done once."""

    user_id: UUID


class UnfollowUser(Asked, frozen=True):
    """Takes you off somebody's followers."""

    user_id: UUID


class Following(msgspec.Struct, frozen=True):
    """Whether you follow somebody now, and how many do."""

    user_id: UUID
    is_following: bool
    followers: int


class EndSession(Asked, frozen=True):
    """Signs one of your sessions out, wherever it is open."""

    session_id: UUID


class SessionEnded(msgspec.Struct, frozen=True):
    """The session that is over."""

    session_id: UUID


class RequestPrivacy(Asked, frozen=True):
    """Asks for a copy of your data, its correction, less use of it, or its erasure (GDPR articles 15 to 18). Asked twice, it is one request."""

    request_type: Literal["access", "erasure", "rectification", "restriction"]
    notes: str | None = None


class PrivacyRequested(msgspec.Struct, frozen=True):
    """The request, as it waits for the administrators."""

    id: UUID
    request_type: str
    status: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "follow_user": Command(FollowUser, Following, PEOPLE),
        "unfollow_user": Command(UnfollowUser, Following, PEOPLE),
        "end_session": Command(EndSession, SessionEnded, PEOPLE),
        "request_privacy": Command(RequestPrivacy, PrivacyRequested, PEOPLE),
    }
)

# HANDLERS


async def do_follow_user(tx: Tx, viewer: Viewer, asked: FollowUser, now: datetime) -> Following:
    """Raises Refusal NOT_YOURSELF, NOT_FOUND."""
    if refusal := check_follow(viewer, asked.user_id):
        raise refusal
    if not await tx.value(_SQL["profile_seen"], asked.user_id):
        raise Refusal(NOT_FOUND)
    await tx.run(_SQL["follow_insert"], viewer.user_id, asked.user_id, now)
    return Following(asked.user_id, True, await tx.value(_SQL["followers_count"], asked.user_id))


async def do_unfollow_user(tx: Tx, viewer: Viewer, asked: UnfollowUser, _: datetime) -> Following:
    """Nothing to take away is no mistake."""
    await tx.run(_SQL["follow_delete"], viewer.user_id, asked.user_id)
    return Following(asked.user_id, False, await tx.value(_SQL["followers_count"], asked.user_id))


async def do_end_session(tx: Tx, viewer: Viewer, asked: EndSession, now: datetime) -> SessionEnded:
    """Raises Refusal NOT_FOUND: for a session that is over, or somebody else's."""
    if not await tx.value(_SQL["session_end"], asked.session_id, viewer.user_id, now):
        raise Refusal(NOT_FOUND)
    return SessionEnded(asked.session_id)


async def do_request_privacy(tx: Tx, viewer: Viewer, asked: RequestPrivacy, _: datetime) -> PrivacyRequested:
    """The one that waits already is answered again."""
    row = await tx.one(_SQL["gdpr_request_open"], viewer.user_id, asked.request_type)
    if row is None:
        row = await tx.one(_SQL["gdpr_request_insert"], viewer.user_id, asked.request_type, asked.notes)
    assert row is not None
    return PrivacyRequested(row["id"], row["request_type"], row["status"])


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        FollowUser: do_follow_user,
        UnfollowUser: do_unfollow_user,
        EndSession: do_end_session,
        RequestPrivacy: do_request_privacy,
    }
)


async def turn_off_mail(tx: Tx, user_id: UUID, kind: Literal["marketing", "product", "security"]) -> None:
    """Notes that a person wants no more mail of that kind; who is gone wants none."""
    await tx.run(_SQL["mail_turn_off"], user_id, kind)
