"""Announcements and requests for help: what is said to many, and what one person asks.

Who an announcement is for is decided by its row (row-level security); here is decided when it goes out, and who has read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, answer, emit
from core.domain.context import PEOPLE, Asked, Command, Handler, Moment
from core.errors import ILLEGAL_MOVE, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

_SQL = load("core.domain.community", "notices.sql")

MAX_TEXT_CHARS = 10_000

# RULES


def check_schedule(at: datetime, now: datetime) -> Refusal | None:
    """What is announced later is announced in the future."""
    return bad_field("scheduled_at", "must lie in the future") if at <= now else None


def check_reply(row: Row | None, viewer: Viewer) -> Refusal | None:
    """The person who asked replies, to an answer, while the request is open."""
    if row is None or row["user_id"] != viewer.user_id:
        return Refusal(NOT_FOUND)
    if row["response"] is None:
        return Refusal(ILLEGAL_MOVE, "It has not been answered yet.")
    if row["status"] == "Closed":
        return Refusal(ILLEGAL_MOVE, "The request is closed.")
    return None


# COMMANDS

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)]


class PublishAnnouncement(Asked, frozen=True):
    """Shows an announcement to whom it is for, now."""

    announcement_id: UUID


class ScheduleAnnouncement(Asked, frozen=True):
    """Notes when an announcement is to be shown."""

    announcement_id: UUID
    scheduled_at: Moment


class ExpireAnnouncement(Asked, frozen=True):
    """Shows an announcement no more."""

    announcement_id: UUID


class AnnouncementState(msgspec.Struct, frozen=True):
    """An announcement after the change."""

    announcement_id: UUID
    status: str
    published_at: datetime | None
    scheduled_at: datetime | None


class ReadAnnouncement(Asked, frozen=True):
    """Notes that you have read an announcement; the first time is the one that counts."""

    announcement_id: UUID


class AnnouncementRead(msgspec.Struct, frozen=True):
    """When you first read it."""

    announcement_id: UUID
    read_at: datetime


class AnswerHelpRequest(Asked, frozen=True):
    """Answers a request for help; who asked is told."""

    help_request_id: UUID
    response: Text
    status: Literal["InProgress", "Resolved", "Closed"] = "Resolved"


class ReplyToHelpRequest(Asked, frozen=True):
    """Says something to the answer that your request for help got."""

    help_request_id: UUID
    reply: Text


class HelpRequestState(msgspec.Struct, frozen=True):
    """A request after the change."""

    help_request_id: UUID
    status: str
    response: str | None
    responded_at: datetime | None
    user_reply: str | None
    user_replied_at: datetime | None


class ReadAllNotifications(Asked, frozen=True):
    """Marks all that you were told as read."""


class NotificationsRead(msgspec.Struct, frozen=True):
    """How many were unread."""

    count: int


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "publish_announcement": Command(PublishAnnouncement, AnnouncementState, PEOPLE),
        "schedule_announcement": Command(ScheduleAnnouncement, AnnouncementState, PEOPLE),
        "expire_announcement": Command(ExpireAnnouncement, AnnouncementState, PEOPLE),
        "read_announcement": Command(ReadAnnouncement, AnnouncementRead, PEOPLE),
        "answer_help_request": Command(AnswerHelpRequest, HelpRequestState),
        "reply_to_help_request": Command(ReplyToHelpRequest, HelpRequestState, PEOPLE),
        "read_all_notifications": Command(ReadAllNotifications, NotificationsRead, PEOPLE),
    }
)

# HANDLERS


async def do_publish_announcement(tx: Tx, _: Viewer, asked: PublishAnnouncement, now: datetime) -> AnnouncementState:
    """Raises Refusal NOT_FOUND (also for one that is not one's own to publish), ILLEGAL_MOVE."""
    state = answer(AnnouncementState, await tx.one(_SQL["announcement_publish"], asked.announcement_id, now))
    subject = f"announcement:{asked.announcement_id}"
    await emit(tx, "announcement.published", subject, {"announcement_id": asked.announcement_id})
    return state


async def do_schedule_announcement(tx: Tx, _: Viewer, asked: ScheduleAnnouncement, now: datetime) -> AnnouncementState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE or about a field."""
    if refusal := check_schedule(asked.scheduled_at, now):
        raise refusal
    return answer(
        AnnouncementState, await tx.one(_SQL["announcement_schedule"], asked.announcement_id, asked.scheduled_at)
    )


async def do_expire_announcement(tx: Tx, _: Viewer, asked: ExpireAnnouncement, __: datetime) -> AnnouncementState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return answer(AnnouncementState, await tx.one(_SQL["announcement_expire"], asked.announcement_id))


async def do_read_announcement(tx: Tx, _: Viewer, asked: ReadAnnouncement, now: datetime) -> AnnouncementRead:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(_SQL["announcement_seen"], asked.announcement_id):
        raise Refusal(NOT_FOUND)
    await tx.run(_SQL["read_insert"], asked.announcement_id, now)
    return AnnouncementRead(asked.announcement_id, await tx.value(_SQL["read_get"], asked.announcement_id))


async def do_answer_help_request(tx: Tx, _: Viewer, asked: AnswerHelpRequest, __: datetime) -> HelpRequestState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    row = await tx.one(_SQL["help_request_answer"], asked.help_request_id, asked.response, asked.status)
    return answer(HelpRequestState, row)


async def do_reply_to_help_request(tx: Tx, viewer: Viewer, asked: ReplyToHelpRequest, _: datetime) -> HelpRequestState:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    if refusal := check_reply(await tx.one(_SQL["help_request_get"], asked.help_request_id), viewer):
        raise refusal
    async with acting_as_service(tx):
        return answer(HelpRequestState, await tx.one(_SQL["help_request_reply"], asked.help_request_id, asked.reply))


async def do_read_all_notifications(tx: Tx, _: Viewer, __: ReadAllNotifications, ___: datetime) -> NotificationsRead:
    """Nothing unread is no mistake."""
    return NotificationsRead(await tx.run(_SQL["notifications_read"]))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        PublishAnnouncement: do_publish_announcement,
        ScheduleAnnouncement: do_schedule_announcement,
        ExpireAnnouncement: do_expire_announcement,
        ReadAnnouncement: do_read_announcement,
        AnswerHelpRequest: do_answer_help_request,
        ReplyToHelpRequest: do_reply_to_help_request,
        ReadAllNotifications: do_read_all_notifications,
    }
)
