"""Who takes a course: comes in, leaves, is kept out, is marked. What they do in it is lessons' and attempts' business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler, Moment
from core.domain.learning.acting import SIGNED_IN, check_move, person_of
from core.domain.learning.states import STATES
from core.errors import COURSE_BAN, COURSE_NOT_FOUND, NOT_FOUND, SUBSCRIPTION_NEEDED, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "enrollments.sql")

Tag = Literal["TopPerformer", "NeedsHelp", "SlowLearner", "ActiveCommunicator"]

# RULES


def check_entry(course: Row | None, *, is_subscribed: bool) -> Refusal | None:
    """The course takes students, and a subscribers' one only those. Whether a paid one is paid, the database says."""
    if course is None or course["status"] != "published":
        return Refusal(COURSE_NOT_FOUND)
    if course["is_banned"]:
        return Refusal(COURSE_BAN)
    if course["pricing_type"] == "subscription" and not is_subscribed:
        return Refusal(SUBSCRIPTION_NEEDED)
    return None


# COMMANDS


class EnrollInCourse(Asked, frozen=True):
    """Takes a course that costs nothing, one of the viewer's subscription, or again one that they had left. Others are bought."""

    course_id: UUID


class DropCourse(Asked, frozen=True):
    """Leaves a course. What was done in it is kept, for whoever comes back."""

    course_id: UUID


class BanStudent(Asked, frozen=True):
    """Keeps a student out of one course, until a moment or for good; whatever they are watching of it stops."""

    enrollment_id: UUID
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    until: Moment | None = None


class UnbanStudent(Asked, frozen=True):
    """Lets a student into the course again."""

    enrollment_id: UUID


class TagStudent(Asked, frozen=True):
    """What the teacher notes of a student; replaces what was noted."""

    enrollment_id: UUID
    tags: list[Tag]


class Enrolled(msgspec.Struct, frozen=True):
    """An enrolment as it stands; `progress` in percent."""

    enrollment_id: UUID
    course_id: UUID
    user_id: UUID
    status: str
    progress: float
    enrolled_at: datetime | None
    completed_at: datetime | None
    expiry_date: datetime | None
    banned: bool
    ban_until: datetime | None
    tags: list[str]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "enroll_in_course": Command(EnrollInCourse, Enrolled, SIGNED_IN),
        "drop_course": Command(DropCourse, Enrolled, SIGNED_IN),
        "ban_student": Command(BanStudent, Enrolled, SIGNED_IN),
        "unban_student": Command(UnbanStudent, Enrolled, SIGNED_IN),
        "tag_student": Command(TagStudent, Enrolled, SIGNED_IN),
    }
)

# HANDLERS


def enrolled(row: Row | None) -> Enrolled:
    """The answer for a row of `enrollment_get`. Raises Refusal NOT_FOUND where there is none."""
    if row is None:
        raise Refusal(NOT_FOUND)
    return Enrolled(
        row["id"],
        row["course_id"],
        row["user_id"],
        row["status"],
        float(row["progress"]),
        row["enrolled_at"],
        row["completed_at"],
        row["expiry_date"],
        row["banned"],
        row["ban_until"],
        list(row["tags"]),
    )


async def do_enroll_in_course(tx: Tx, viewer: Viewer, asked: EnrollInCourse, now: datetime) -> Enrolled:
    """Raises Refusal COURSE_NOT_FOUND, COURSE_BAN, SUBSCRIPTION_NEEDED, PAYMENT_NEEDED, COURSE_FULL."""
    person = person_of(viewer)
    course = await tx.one(SQL["course_entry"], asked.course_id, person, now)
    async with acting_as_service(tx):
        is_subscribed = bool(await tx.value(SQL["is_subscribed"], person, now))
        if refusal := check_entry(course, is_subscribed=is_subscribed):
            raise refusal
        enrollment_id = await tx.value(SQL["enroll"], person, asked.course_id)
        return enrolled(await tx.one(SQL["enrollment_get"], enrollment_id))


async def do_drop_course(tx: Tx, viewer: Viewer, asked: DropCourse, _now: datetime) -> Enrolled:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        row = await tx.one(SQL["enrollment_lock"], person, asked.course_id)
        if row is None:
            raise Refusal(NOT_FOUND)
        if row["status"] != "dropped":
            if refusal := check_move(STATES["enrollments"], row["status"], "dropped"):
                raise refusal
            await tx.run(SQL["enrollment_drop"], row["id"])
            told = {"enrollment_id": row["id"], "user_id": person, "course_id": asked.course_id}
            await emit(tx, "enrollment.dropped", f"enrollment:{row['id']}", told)
        return enrolled(await tx.one(SQL["enrollment_get"], row["id"]))


async def _taught(tx: Tx, enrollment_id: UUID) -> None:
    """The viewer teaches that course, or is staff: a student sees their own enrolment and changes nothing on it."""
    if not await tx.value(SQL["enrollment_is_taught"], enrollment_id):
        raise Refusal(NOT_FOUND)


async def do_ban_student(tx: Tx, _: Viewer, asked: BanStudent, now: datetime) -> Enrolled:
    """Raises Refusal NOT_FOUND or about a field."""
    if asked.until is not None and asked.until <= now:
        raise bad_field("until", "must lie ahead")
    await _taught(tx, asked.enrollment_id)
    async with acting_as_service(tx):
        await tx.run(SQL["enrollment_ban"], asked.enrollment_id, asked.reason, asked.until)
        row = enrolled(await tx.one(SQL["enrollment_get"], asked.enrollment_id))
        told = {
            "enrollment_id": row.enrollment_id,
            "user_id": row.user_id,
            "course_id": row.course_id,
            "until": asked.until,
        }
        await emit(tx, "enrollment.banned", f"enrollment:{row.enrollment_id}", told)
        return row


async def do_unban_student(tx: Tx, _: Viewer, asked: UnbanStudent, _now: datetime) -> Enrolled:
    """Raises Refusal NOT_FOUND."""
    await _taught(tx, asked.enrollment_id)
    async with acting_as_service(tx):
        await tx.run(SQL["enrollment_unban"], asked.enrollment_id)
        return enrolled(await tx.one(SQL["enrollment_get"], asked.enrollment_id))


async def do_tag_student(tx: Tx, _: Viewer, asked: TagStudent, _now: datetime) -> Enrolled:
    """Raises Refusal NOT_FOUND."""
    await _taught(tx, asked.enrollment_id)
    async with acting_as_service(tx):
        await tx.run(SQL["enrollment_tag"], asked.enrollment_id, sorted(set(asked.tags)))
        return enrolled(await tx.one(SQL["enrollment_get"], asked.enrollment_id))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        EnrollInCourse: do_enroll_in_course,
        DropCourse: do_drop_course,
        BanStudent: do_ban_student,
        UnbanStudent: do_unban_student,
        TagStudent: do_tag_student,
    }
)
