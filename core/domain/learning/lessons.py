"""A student at a lesson: the outline of the course, opening, completing, downloading and unlocking what is in it.

What follows from a completed lesson (progress, badges, certificate) the database does, so that a heartbeat leads to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.context import ANYONE, Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, person_of
from core.errors import (
    ALREADY_OPEN,
    ASSESSMENT_NEEDED,
    ENROLLMENT_NEEDED,
    LESSON_NOT_FOUND,
    NOT_DOWNLOADABLE,
    NOT_FOUND,
    NOT_RELEASED,
    NOT_UNLOCKABLE,
    SIGN_IN_NEEDED,
    Refusal,
    bad_field,
)
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "lessons.sql")

DOWNLOAD_LASTS = timedelta(days=1)

# RULES


def check_opening(lesson: Row | None, *, is_staff: bool, is_guest: bool) -> Refusal | None:
    """Its teacher and staff always; anyone a preview; who takes the course what is released, or what they unlocked."""
    if lesson is None:
        return Refusal(LESSON_NOT_FOUND)
    if is_staff or lesson["is_teacher"] or (lesson["is_preview"] and lesson["is_released"]):
        return None
    if is_guest:
        return Refusal(SIGN_IN_NEEDED)
    if not lesson["takes"]:
        return Refusal(ENROLLMENT_NEEDED)
    if lesson["is_released"] or lesson["is_unlocked"]:
        return None
    return Refusal(NOT_RELEASED)


def check_unlocking(part: Row | None) -> Refusal | None:
    """A scheduled part that is not open yet and that its teacher put a price in points on."""
    if part is None:
        return Refusal(NOT_FOUND)
    if not part["takes"]:
        return Refusal(ENROLLMENT_NEEDED)
    if part["is_released"] or part["is_unlocked"]:
        return Refusal(ALREADY_OPEN)
    if part["status"] != "scheduled" or part["unlock_points"] is None:
        return Refusal(NOT_UNLOCKABLE)
    return None


# COMMANDS


class ViewLesson(Asked, frozen=True):
    """Opens a lesson: what it plays, says and asks for. A student's visit is noted."""

    lesson_id: UUID


class LessonOpened(msgspec.Struct, frozen=True):
    """A lesson as it is studied; `content_id` is played by `/play`, `assessment_id` taken or handed in."""

    lesson_id: UUID
    course_id: UUID
    title: str
    description: str | None
    content_type: str
    content_id: UUID | None
    text_content: str | None
    pdf_url: str | None
    is_downloadable: bool
    completed: bool
    assessment_id: UUID | None


class CompleteLesson(Asked, frozen=True):
    """Says that a lesson is done, as watching its video to the end does. A required quiz or assignment is to be handed in first."""

    lesson_id: UUID


class LessonDone(msgspec.Struct, frozen=True):
    """How the course stands after it; `progress` in percent, and what the student now has for it."""

    lesson_id: UUID
    course_id: UUID
    completed_at: datetime
    progress: float
    status: str
    badges: list[str]
    certificate_code: str | None


class DownloadLesson(Asked, frozen=True):
    """Takes a lesson along, where its teacher allows it."""

    lesson_id: UUID


class LessonTaken(msgspec.Struct, frozen=True):
    """The row of `downloads` that follows the file (null: the lesson has none), and the address of its PDF."""

    lesson_id: UUID
    download_id: UUID | None
    expires_at: datetime | None
    pdf_url: str | None


class UnlockEarly(Asked, frozen=True):
    """Spends points to open a scheduled chapter or lesson (one of the two) before its release."""

    chapter_id: UUID | None = None
    lesson_id: UUID | None = None


class Unlocked(msgspec.Struct, frozen=True):
    """What it cost."""

    id: UUID
    points_spent: int


class UnlockTotals(Asked, frozen=True):
    """What students of a course have spent on opening its parts early."""

    course_id: UUID


class PointsSpent(msgspec.Struct, frozen=True):
    """How often, and how many points in all."""

    unlocks: int
    points_spent: int


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "view_lesson": Command(ViewLesson, LessonOpened, ANYONE),
        "complete_lesson": Command(CompleteLesson, LessonDone, SIGNED_IN),
        "download_lesson": Command(DownloadLesson, LessonTaken, SIGNED_IN),
        "unlock_early": Command(UnlockEarly, Unlocked, SIGNED_IN),
        "unlock_totals": Command(UnlockTotals, PointsSpent, SIGNED_IN, is_read=True),
    }
)

# HANDLERS


async def opened(tx: Tx, viewer: Viewer, lesson_id: UUID, now: datetime) -> Row:
    """The lesson with its access, if the viewer may open it; to be called as the service. Raises as check_opening says."""
    lesson = await tx.one(SQL["lesson_get"], lesson_id, viewer.user_id, now)
    if refusal := check_opening(lesson, is_staff=viewer.is_staff, is_guest=viewer.user_id is None):
        if lesson is not None and refusal.code is NOT_RELEASED:
            refusal.data = {"release_at": lesson["release_at"], "unlock_points": lesson["unlock_points"]}
        raise refusal
    assert lesson is not None
    return lesson


async def do_view_lesson(tx: Tx, viewer: Viewer, asked: ViewLesson, now: datetime) -> LessonOpened:
    """Raises Refusal LESSON_NOT_FOUND, SIGN_IN_NEEDED, ENROLLMENT_NEEDED, NOT_RELEASED."""
    async with acting_as_service(tx):
        lesson = await opened(tx, viewer, asked.lesson_id, now)
        if lesson["takes"] and viewer.user_id is not None:
            await tx.run(SQL["lesson_progress_begin"], viewer.user_id, asked.lesson_id)
            await tx.run(SQL["lesson_note_view"], lesson["enrollment_id"], asked.lesson_id, now)
    return LessonOpened(
        asked.lesson_id,
        lesson["course_id"],
        lesson["title"],
        lesson["description"],
        lesson["content_type"],
        lesson["content_id"],
        lesson["text_content"],
        lesson["pdf_url"],
        lesson["is_downloadable"],
        lesson["completed"],
        lesson["assessment_id"],
    )


async def do_complete_lesson(tx: Tx, viewer: Viewer, asked: CompleteLesson, now: datetime) -> LessonDone:
    """Raises Refusal LESSON_NOT_FOUND, ENROLLMENT_NEEDED, NOT_RELEASED, ASSESSMENT_NEEDED."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        lesson = await opened(tx, viewer, asked.lesson_id, now)
        if not lesson["takes"]:
            raise Refusal(ENROLLMENT_NEEDED)
        if missing := await tx.value(SQL["lesson_requirement"], person, asked.lesson_id):
            raise Refusal(ASSESSMENT_NEEDED, data={"assessment_id": str(missing)})
        completed_at = await tx.value(SQL["lesson_complete"], person, asked.lesson_id, now)
        stands = await tx.one(SQL["course_standing"], person, lesson["course_id"])
    return LessonDone(
        asked.lesson_id,
        lesson["course_id"],
        completed_at,
        float(stands["progress"]) if stands else 0.0,
        stands["status"] if stands else "subscription",
        list(stands["badges"]) if stands else [],
        stands["certificate_code"] if stands else None,
    )


async def do_download_lesson(tx: Tx, viewer: Viewer, asked: DownloadLesson, now: datetime) -> LessonTaken:
    """Raises Refusal LESSON_NOT_FOUND, ENROLLMENT_NEEDED, NOT_RELEASED, NOT_DOWNLOADABLE."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        lesson = await opened(tx, viewer, asked.lesson_id, now)
        if not lesson["is_downloadable"]:
            raise Refusal(NOT_DOWNLOADABLE)
        download_id, until = None, now + DOWNLOAD_LASTS
        if lesson["file_id"] is not None:
            kind = "audio" if lesson["content_type"] == "audio" else "video"
            download_id = await tx.value(SQL["download_begin"], person, lesson["file_id"], kind, until)
        if download_id is None and lesson["pdf_url"] is None:
            raise Refusal(NOT_DOWNLOADABLE)
        await tx.run(SQL["lesson_note_download"], lesson["enrollment_id"], asked.lesson_id, now)
    return LessonTaken(asked.lesson_id, download_id, until if download_id else None, lesson["pdf_url"])


async def do_unlock_early(tx: Tx, viewer: Viewer, asked: UnlockEarly, now: datetime) -> Unlocked:
    """Raises Refusal NOT_FOUND, ENROLLMENT_NEEDED, ALREADY_OPEN, NOT_UNLOCKABLE, POINTS_SHORT or about a field."""
    person = person_of(viewer)
    if (asked.chapter_id is None) == (asked.lesson_id is None):
        raise bad_field("chapter_id", "give either chapter_id or lesson_id")
    name = "chapter_to_unlock" if asked.lesson_id is None else "lesson_to_unlock"
    async with acting_as_service(tx):
        part = await tx.one(SQL[name], asked.lesson_id or asked.chapter_id, person, now)
        if refusal := check_unlocking(part):
            raise refusal
        assert part is not None
        points = part["unlock_points"]
        unlock_id = await tx.value(SQL["unlock"], person, asked.chapter_id, asked.lesson_id, points, now)
    return Unlocked(unlock_id, points)


async def do_unlock_totals(tx: Tx, _: Viewer, asked: UnlockTotals, _now: datetime) -> PointsSpent:
    """Of what the viewer may see: a student's own, a teacher's whole course."""
    row = await tx.one(SQL["unlock_totals"], asked.course_id)
    assert row is not None
    return PointsSpent(row["unlocks"], row["points_spent"])


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        ViewLesson: do_view_lesson,
        CompleteLesson: do_complete_lesson,
        DownloadLesson: do_download_lesson,
        UnlockEarly: do_unlock_early,
        UnlockTotals: do_unlock_totals,
    }
)
