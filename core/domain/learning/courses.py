"""A course as a whole: submitted, published, archived, set aside. Knows nothing of what is in it, nor of who takes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import STAFF, Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, check_move
from core.domain.learning.states import STATES
from core.errors import COURSE_NOT_FOUND, COURSE_SET_ASIDE, UNDER_REVIEW, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "courses.sql")

# RULES


def check_publishing(status: str, *, is_staff: bool, is_deleted: bool, is_reviewed: bool) -> Refusal | None:
    """Who teaches a course publishes it, unless staff have it for review or (`is_reviewed`) want to see every one first."""
    if is_deleted:
        return Refusal(COURSE_SET_ASIDE)
    if not is_staff and (status == "under_review" or (status == "draft" and is_reviewed)):
        return Refusal(UNDER_REVIEW)
    return check_move(STATES["courses"], status, "published")


# COMMANDS


class SubmitCourse(Asked, frozen=True):
    """Hands a draft to staff for review."""

    course_id: UUID


class ReturnCourse(Asked, frozen=True):
    """Makes a course a draft again: staff give it back with a `reason`, or its teacher takes it back."""

    course_id: UUID
    reason: str | None = None


class PublishCourse(Asked, frozen=True):
    """Shows a course to students. Its chapters and lessons are published one by one."""

    course_id: UUID


class ArchiveCourse(Asked, frozen=True):
    """Takes a published course out of the catalogue; whoever takes it keeps it."""

    course_id: UUID


class DeleteCourse(Asked, frozen=True):
    """Sets a course aside: nobody finds it any more, enrolments stay, and `restore_course` brings it back as it was archived."""

    course_id: UUID


class RestoreCourse(Asked, frozen=True):
    """Brings back a course that was deleted."""

    course_id: UUID


class FeatureCourse(Asked, frozen=True):
    """Puts a course on the front page, or takes it off."""

    course_id: UUID
    is_featured: bool = True


class CourseStands(msgspec.Struct, frozen=True):
    """Where a course stands, and since when it was first published."""

    course_id: UUID
    status: str
    published_at: datetime | None
    deleted_at: datetime | None
    is_featured: bool


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "submit_course": Command(SubmitCourse, CourseStands, SIGNED_IN),
        "return_course": Command(ReturnCourse, CourseStands, SIGNED_IN),
        "publish_course": Command(PublishCourse, CourseStands, SIGNED_IN),
        "archive_course": Command(ArchiveCourse, CourseStands, SIGNED_IN),
        "delete_course": Command(DeleteCourse, CourseStands, SIGNED_IN),
        "restore_course": Command(RestoreCourse, CourseStands, SIGNED_IN),
        "feature_course": Command(FeatureCourse, CourseStands, STAFF),
    }
)

# HANDLERS


async def _locked(tx: Tx, course_id: UUID) -> Row:
    """The course, kept from others; only who may change it is given the lock."""
    row = await tx.one(SQL["course_lock"], course_id)
    if row is None:
        raise Refusal(COURSE_NOT_FOUND)
    return row


async def _move(tx: Tx, course: Row, status: str, now: datetime, topic: str, **told: object) -> CourseStands:
    if course["status"] != status:
        if refusal := check_move(STATES["courses"], course["status"], status):
            raise refusal
        moved = await tx.one(SQL["course_move"], course["id"], status, now)
        assert moved is not None
        await emit(tx, topic, f"course:{course['id']}", {"course_id": course["id"], **told})
        course = moved
    return _stands(course)


def _stands(course: Row) -> CourseStands:
    return CourseStands(
        course["id"], course["status"], course["published_at"], course["deleted_at"], course["is_featured"]
    )


async def do_submit_course(tx: Tx, _: Viewer, asked: SubmitCourse, now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, await _locked(tx, asked.course_id), "under_review", now, "course.submitted")


async def do_return_course(tx: Tx, _: Viewer, asked: ReturnCourse, now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, await _locked(tx, asked.course_id), "draft", now, "course.returned", reason=asked.reason)


async def do_publish_course(tx: Tx, viewer: Viewer, asked: PublishCourse, now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND, UNDER_REVIEW, COURSE_SET_ASIDE, ILLEGAL_MOVE, NOTHING_TO_PUBLISH."""
    course = await _locked(tx, asked.course_id)
    if course["status"] != "published":
        async with acting_as_service(tx):
            is_reviewed = bool(await tx.value(SQL["review_wanted"]))
        is_deleted = course["deleted_at"] is not None
        if refusal := check_publishing(
            course["status"], is_staff=viewer.is_staff, is_deleted=is_deleted, is_reviewed=is_reviewed
        ):
            raise refusal
    return await _move(tx, course, "published", now, "course.published")


async def do_archive_course(tx: Tx, _: Viewer, asked: ArchiveCourse, now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, await _locked(tx, asked.course_id), "archived", now, "course.archived")


async def do_delete_course(tx: Tx, _: Viewer, asked: DeleteCourse, now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND."""
    course = await _locked(tx, asked.course_id)
    if course["status"] == "published":
        await _move(tx, course, "archived", now, "course.archived")
    return await _set_aside(tx, asked.course_id, course["deleted_at"] or now)


async def do_restore_course(tx: Tx, _: Viewer, asked: RestoreCourse, _now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND."""
    await _locked(tx, asked.course_id)
    return await _set_aside(tx, asked.course_id, None)


async def _set_aside(tx: Tx, course_id: UUID, since: datetime | None) -> CourseStands:
    row = await tx.one(SQL["course_set_aside"], course_id, since)
    assert row is not None
    return _stands(row)


async def do_feature_course(tx: Tx, _: Viewer, asked: FeatureCourse, _now: datetime) -> CourseStands:
    """Raises Refusal COURSE_NOT_FOUND."""
    row = await tx.one(SQL["course_feature"], asked.course_id, asked.is_featured)
    if row is None:
        raise Refusal(COURSE_NOT_FOUND)
    return _stands(row)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        SubmitCourse: do_submit_course,
        ReturnCourse: do_return_course,
        PublishCourse: do_publish_course,
        ArchiveCourse: do_archive_course,
        DeleteCourse: do_delete_course,
        RestoreCourse: do_restore_course,
        FeatureCourse: do_feature_course,
    }
)
