"""Chapters and lessons: published one by one or at a time to come, and what a lesson plays or says."""

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
from core.domain.learning.acting import SIGNED_IN, check_move
from core.domain.learning.states import STATES
from core.errors import CONTENT_NOT_FOUND, LESSON_NOT_FOUND, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "parts.sql")

Kind = Literal["chapter", "lesson"]
LONGEST_TEXT = 200_000

# RULES


def check_lesson_content(content: Row | None, *, is_staff: bool) -> Refusal | None:
    """Staff hang any lesson or recording on a lesson; a teacher what is registered as their own."""
    if content is None or not (is_staff or content["is_own"]):
        return Refusal(CONTENT_NOT_FOUND)
    if content["content_type"] not in ("LESSON", "LIVE_RECORDING"):
        return bad_field("content_id", "must be a LESSON or a LIVE_RECORDING")
    return None


def check_address(field: str, address: str | None) -> Refusal | None:
    """A web address, or nothing."""
    if address is None or (
        address.startswith(("https://", "http://")) and len(address) <= 2000 and address.isprintable()
    ):
        return None
    return bad_field(field, "must be an http or https address of at most 2000 characters")


# COMMANDS


class PublishChapter(Asked, frozen=True):
    """Opens a chapter to students, now or (`release_at`) later. Its lessons are published by themselves."""

    chapter_id: UUID
    release_at: Moment | None = None


class UnpublishChapter(Asked, frozen=True):
    """Makes a chapter a draft again, and hides its lessons with it."""

    chapter_id: UUID


class PublishLesson(Asked, frozen=True):
    """Opens a lesson to students, now or (`release_at`) later."""

    lesson_id: UUID
    release_at: Moment | None = None


class UnpublishLesson(Asked, frozen=True):
    """Makes a lesson a draft again."""

    lesson_id: UUID


class PartStands(msgspec.Struct, frozen=True):
    """Where a chapter or lesson stands; `release_at` is when a scheduled one opens."""

    id: UUID
    status: str
    release_at: datetime | None


class SetLessonContent(Asked, frozen=True):
    """What a lesson plays (a content of type LESSON or LIVE_RECORDING, or null for nothing)."""

    lesson_id: UUID
    content_id: UUID | None


class WriteLesson(Asked, frozen=True):
    """What a lesson says: its text, and the address of its PDF. What is left out is taken away."""

    lesson_id: UUID
    text_content: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)] | None = None
    pdf_url: str | None = None


class LessonHolds(msgspec.Struct, frozen=True):
    """What is in a lesson."""

    lesson_id: UUID
    content_id: UUID | None
    has_text: bool
    pdf_url: str | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "publish_chapter": Command(PublishChapter, PartStands, SIGNED_IN),
        "unpublish_chapter": Command(UnpublishChapter, PartStands, SIGNED_IN),
        "publish_lesson": Command(PublishLesson, PartStands, SIGNED_IN),
        "unpublish_lesson": Command(UnpublishLesson, PartStands, SIGNED_IN),
        "set_lesson_content": Command(SetLessonContent, LessonHolds, SIGNED_IN),
        "write_lesson": Command(WriteLesson, LessonHolds, SIGNED_IN),
    }
)

# HANDLERS

_NAMED: Mapping[Kind, tuple[str, str]] = {
    "chapter": ("chapter_lock", "chapter_move"),
    "lesson": ("lesson_lock", "lesson_move"),
}


async def _move(tx: Tx, kind: Kind, id_: UUID, status: str, release_at: datetime | None) -> PartStands:
    lock, move = _NAMED[kind]
    row = await tx.one(SQL[lock], id_)
    if row is None:
        raise Refusal(LESSON_NOT_FOUND if kind == "lesson" else NOT_FOUND)
    if (row["status"], row["release_at"]) == (status, release_at):
        return PartStands(id_, status, release_at)
    if row["status"] != status and (refusal := check_move(STATES[f"{kind}s"], row["status"], status)):
        raise refusal
    await tx.run(SQL[move], id_, status, release_at)
    await emit(tx, f"{kind}.{status}", f"course:{row['course_id']}", {f"{kind}_id": id_, "release_at": release_at})
    return PartStands(id_, status, release_at)


def _opening(release_at: datetime | None, now: datetime) -> tuple[str, datetime | None]:
    """A moment that has passed is now."""
    return ("published", None) if release_at is None or release_at <= now else ("scheduled", release_at)


async def do_publish_chapter(tx: Tx, _: Viewer, asked: PublishChapter, now: datetime) -> PartStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE, NOTHING_TO_PUBLISH."""
    return await _move(tx, "chapter", asked.chapter_id, *_opening(asked.release_at, now))


async def do_unpublish_chapter(tx: Tx, _: Viewer, asked: UnpublishChapter, _now: datetime) -> PartStands:
    """Raises Refusal NOT_FOUND."""
    return await _move(tx, "chapter", asked.chapter_id, "draft", None)


async def do_publish_lesson(tx: Tx, _: Viewer, asked: PublishLesson, now: datetime) -> PartStands:
    """Raises Refusal LESSON_NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, "lesson", asked.lesson_id, *_opening(asked.release_at, now))


async def do_unpublish_lesson(tx: Tx, _: Viewer, asked: UnpublishLesson, _now: datetime) -> PartStands:
    """Raises Refusal LESSON_NOT_FOUND."""
    return await _move(tx, "lesson", asked.lesson_id, "draft", None)


def _holds(row: Row | None) -> LessonHolds:
    if row is None:
        raise Refusal(LESSON_NOT_FOUND)
    return LessonHolds(row["id"], row["content_id"], row["has_text"], row["pdf_url"])


async def do_set_lesson_content(tx: Tx, viewer: Viewer, asked: SetLessonContent, _now: datetime) -> LessonHolds:
    """Raises Refusal LESSON_NOT_FOUND, CONTENT_NOT_FOUND or about a field."""
    if await tx.one(SQL["lesson_lock"], asked.lesson_id) is None:
        raise Refusal(LESSON_NOT_FOUND)
    if asked.content_id is not None:
        async with acting_as_service(tx):
            content = await tx.one(SQL["lesson_content_get"], asked.content_id, viewer.user_id)
        if refusal := check_lesson_content(content, is_staff=viewer.is_staff):
            raise refusal
    return _holds(await tx.one(SQL["lesson_content_set"], asked.lesson_id, asked.content_id))


async def do_write_lesson(tx: Tx, _: Viewer, asked: WriteLesson, _now: datetime) -> LessonHolds:
    """Raises Refusal LESSON_NOT_FOUND or about a field."""
    if refusal := check_address("pdf_url", asked.pdf_url):
        raise refusal
    return _holds(await tx.one(SQL["lesson_write"], asked.lesson_id, asked.text_content, asked.pdf_url))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        PublishChapter: do_publish_chapter,
        UnpublishChapter: do_unpublish_chapter,
        PublishLesson: do_publish_lesson,
        UnpublishLesson: do_unpublish_lesson,
        SetLessonContent: do_set_lesson_content,
        WriteLesson: do_write_lesson,
    }
)
