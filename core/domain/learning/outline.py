"""What a course holds, in order, and what of it is open to whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.context import ANYONE, Asked, Command, Handler
from core.errors import COURSE_NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "outline.sql")

# COMMANDS


class CourseOutline(Asked, frozen=True):
    """The chapters and lessons of a course in their order; its teacher sees drafts too, students what is announced."""

    course_id: UUID


class LessonEntry(msgspec.Struct, frozen=True):
    """A lesson; `is_open`: the viewer may open it now. `assessment_id`: it has a quiz or an assignment."""

    id: UUID
    title: str
    position: int
    status: str
    content_type: str
    is_preview: bool
    is_downloadable: bool
    release_at: datetime | None
    unlock_points: int | None
    is_open: bool
    completed: bool
    assessment_id: UUID | None


class ChapterEntry(msgspec.Struct, frozen=True):
    """A chapter with its lessons."""

    id: UUID
    title: str
    position: int
    status: str
    release_at: datetime | None
    unlock_points: int | None
    lessons: list[LessonEntry]


class Outline(msgspec.Struct, frozen=True):
    """The course; `progress` in percent, null for who does not take it."""

    course_id: UUID
    title: str
    status: str
    progress: float | None
    chapters: list[ChapterEntry]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {"course_outline": Command(CourseOutline, Outline, ANYONE, is_read=True)}
)

# HANDLERS


def _lesson(row: Row, *, sees_all: bool) -> LessonEntry:
    is_open = (
        sees_all
        or (row["is_released"] and row["is_preview"])
        or (row["takes"] and (row["is_released"] or row["is_unlocked"]))
    )
    return LessonEntry(
        row["id"],
        row["title"],
        row["position"],
        row["status"],
        row["content_type"],
        row["shows_preview"],
        row["is_downloadable"],
        row["release_at"],
        row["unlock_points"],
        is_open,
        row["completed"],
        row["assessment_id"],
    )


async def do_course_outline(tx: Tx, viewer: Viewer, asked: CourseOutline, now: datetime) -> Outline:
    """Raises Refusal COURSE_NOT_FOUND."""
    async with acting_as_service(tx):
        course = await tx.one(SQL["course_get"], asked.course_id, viewer.user_id)
        if course is None:
            raise Refusal(COURSE_NOT_FOUND)
        sees_all = viewer.is_staff or course["is_teacher"]
        # Who takes a course keeps it when it is archived.
        if not (sees_all or course["status"] == "published" or course["takes"]):
            raise Refusal(COURSE_NOT_FOUND)
        chapters = await tx.many(SQL["chapter_many"], asked.course_id, sees_all)
        lessons = await tx.many(SQL["lesson_many"], asked.course_id, sees_all, viewer.user_id, now)
    by_chapter: dict[UUID, list[LessonEntry]] = {row["id"]: [] for row in chapters}
    for row in lessons:
        if row["chapter_id"] in by_chapter:
            by_chapter[row["chapter_id"]].append(_lesson(row, sees_all=sees_all))
    return Outline(
        asked.course_id,
        course["title"],
        course["status"],
        None if course["progress"] is None else float(course["progress"]),
        [
            ChapterEntry(
                row["id"],
                row["title"],
                row["position"],
                row["status"],
                row["release_at"],
                row["unlock_points"],
                by_chapter[row["id"]],
            )
            for row in chapters
        ],
    )


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType({CourseOutline: do_course_outline})
