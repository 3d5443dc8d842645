"""Opening a lesson, taking it along, and opening it before its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from core.viewer import service
from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=5)


async def test_a_lesson_opens_to_whom_it_should(school: School) -> None:
    course, _, lessons = await school.course()
    lesson = lessons[0]["id"]
    await school.do(school.teacher, "write_lesson", lesson_id=lesson, text_content="Over, under.")
    assert await school.refused(school.guest, "view_lesson", lesson_id=lesson) == "PS301"
    assert await school.refused(school.student, "view_lesson", lesson_id=lesson) == "PS542"
    assert await school.refused(school.student, "complete_lesson", lesson_id=lesson) == "PS542"
    assert await school.refused(school.student, "view_lesson", lesson_id=uuid4()) == "PS541"
    await school.do(school.student, "enroll_in_course", course_id=course["id"])
    for viewer in (school.student, school.teacher, school.staff):
        assert (await school.do(viewer, "view_lesson", lesson_id=lesson))["text_content"] == "Over, under."
    assert await school.value("SELECT count(*) FROM lesson_progress") == 1
    await school.rows.change("lessons", lessons[0], is_preview=True)
    for viewer in (school.guest, school.other):
        assert (await school.do(viewer, "view_lesson", lesson_id=lesson))["text_content"] == "Over, under."
    assert await school.refused(school.other, "complete_lesson", lesson_id=lesson) == "PS542"
    assert await school.refused(school.teacher, "complete_lesson", lesson_id=lesson) == "PS542"
    assert await school.value("SELECT count(*) FROM lesson_progress") == 1
    for viewer, expected in ((school.student, 1), (school.other, 0), (school.teacher, 1), (school.staff, 1)):
        assert await school.seen(viewer, "lesson_progress") == expected


async def test_an_archived_course_stays_open_to_who_takes_it(school: School) -> None:
    course, lessons, _ = await school.taken()
    await school.do(school.teacher, "archive_course", course_id=course["id"])
    assert (await school.do(school.student, "view_lesson", lesson_id=lessons[0]["id"]))["completed"] is False
    outline = await school.do(school.student, "course_outline", course_id=course["id"])
    assert outline["status"] == "archived"
    assert await school.refused(school.other, "course_outline", course_id=course["id"]) == "PS540"


@pytest.mark.rule("lms-039")
async def test_only_what_may_be_is_taken_along(school: School) -> None:
    _, lessons, _ = await school.taken()
    lesson, file = lessons[0], await school.rows.make("files")
    content = await school.rows.make("contents", content_type="LESSON", file_id=file["id"])
    lesson = await school.rows.change("lessons", lesson, content_id=content["id"])
    asked = {"lesson_id": lesson["id"]}
    assert await school.refused(school.student, "download_lesson", **asked) == "PS550"
    assert await school.value("SELECT count(*) FROM downloads") == 0
    await school.rows.change("lessons", lesson, is_downloadable=True)
    taken = await school.do(school.student, "download_lesson", now=NOW, **asked)
    row = await school.rows.connection.fetchrow("SELECT * FROM downloads")
    assert row is not None
    assert (row["file_id"], row["user_id"], row["status"]) == (file["id"], school.student.user_id, "pending")
    assert (taken["download_id"], row["expires_at"]) == (str(row["id"]), NOW + timedelta(days=1))
    assert await school.refused(school.other, "download_lesson", **asked) == "PS542"
    await school.rows.change("lessons", lessons[1], is_downloadable=True)
    assert await school.refused(school.student, "download_lesson", lesson_id=lessons[1]["id"]) == "PS550"
    await school.do(school.teacher, "write_lesson", lesson_id=lessons[1]["id"], pdf_url="https://example.com/a.pdf")
    text = await school.do(school.student, "download_lesson", lesson_id=lessons[1]["id"])
    assert (text["download_id"], text["pdf_url"]) == (None, "https://example.com/a.pdf")


@pytest.mark.rule("edupeak-169")
@pytest.mark.rule("edupeak-325")
@pytest.mark.parametrize("part", ["lesson", "chapter"])
async def test_points_open_what_is_not_released_yet(school: School, part: str) -> None:
    course, chapter, _ = await school.course(lessons=1)
    for viewer in (school.student, school.other):
        await school.do(viewer, "enroll_in_course", course_id=course["id"])
    shut = {"status": "scheduled", "release_at": SOON}
    parent = chapter
    if part == "chapter":
        parent = await school.rows.make("chapters", course_id=course["id"], unlock_points=30)
    lesson = await school.rows.make(
        "lessons",
        course_id=course["id"],
        chapter_id=parent["id"],
        unlock_points=30,
        **(shut if part == "lesson" else {"status": "published"}),
    )
    if part == "chapter":
        await school.rows.change("chapters", parent, **shut)
    asked = {f"{part}_id": (lesson if part == "lesson" else parent)["id"]}
    assert await school.refused(school.student, "view_lesson", lesson_id=lesson["id"]) == "PS543"
    assert await school.refused(school.student, "unlock_early", **asked) == "PS517"
    await school.rows.make("point_entries", user_id=school.student.user_id, points=100, reason="gift")
    unlocked = await school.do(school.student, "unlock_early", **asked)
    assert unlocked["points_spent"] == 30
    assert await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id) == 70
    assert await school.refused(school.student, "unlock_early", **asked) == "PS552"
    assert (await school.do(school.student, "view_lesson", lesson_id=lesson["id"]))["lesson_id"] == str(lesson["id"])
    assert await school.refused(school.other, "view_lesson", lesson_id=lesson["id"]) == "PS543"
    shown = "SELECT count(*) FROM lessons WHERE id = $1"
    for viewer, expected in ((school.student, 1), (school.other, int(part == "chapter"))):
        async with school.database.transaction(viewer) as tx:
            assert await tx.connection.fetchval(shown, lesson["id"]) == expected
    for viewer, expected in ((school.student, 30), (school.other, 0), (school.teacher, 30), (school.staff, 30)):
        totals = await school.do(viewer, "unlock_totals", course_id=course["id"])
        assert totals["points_spent"] == expected
        assert await school.seen(viewer, "early_unlocks") == (1 if expected else 0)


async def test_what_cannot_be_unlocked_costs_nothing(school: School) -> None:
    course, lessons, _ = await school.taken()
    await school.rows.make("point_entries", user_id=school.student.user_id, points=100, reason="gift")
    parts = {"course_id": course["id"], "chapter_id": lessons[0]["chapter_id"]}
    shut = await school.rows.make("lessons", **parts, status="scheduled", release_at=SOON)
    draft = await school.rows.make("lessons", **parts, unlock_points=1)
    assert await school.refused(school.student, "unlock_early", lesson_id=shut["id"]) == "PS551"
    assert await school.refused(school.student, "unlock_early", lesson_id=draft["id"]) == "PS551"
    assert await school.refused(school.student, "unlock_early", lesson_id=lessons[0]["id"]) == "PS552"
    assert await school.refused(school.student, "unlock_early") == "PS102"
    both = {"lesson_id": shut["id"], "chapter_id": lessons[0]["chapter_id"]}
    assert await school.refused(school.student, "unlock_early", **both) == "PS102"
    assert await school.refused(school.student, "unlock_early", lesson_id=uuid4()) == "PS105"
    assert await school.refused(school.other, "unlock_early", lesson_id=shut["id"]) == "PS542"
    assert await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id) == 100


async def test_the_product_itself_takes_no_courses(school: School) -> None:
    course, _, _ = await school.course()
    assert await school.refused(service(), "enroll_in_course", course_id=course["id"]) == "PS301"


@pytest.mark.rule("edupeak-098")
async def test_the_database_holds_keys_of_files_and_no_files(school: School) -> None:
    """What is kept as bytes is digests, sealed secrets and answers to be given again."""
    held = await school.column(
        """SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
           WHERE a.atttypid = 'bytea'::regtype AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0
           AND c.relnamespace = 'public'::regnamespace AND c.relname !~ '^pgqueuer'"""
    )
    assert len(held) > 3
    assert [
        name
        for name in held
        if not name.endswith(("_hash", "_digest", "_encrypted", ".sealed", "idempotency_keys.answer"))
    ] == []
    keys = """SELECT count(*) FROM information_schema.columns
              WHERE table_schema = 'public' AND column_name ~ '_keys?$' AND data_type IN ('text', 'ARRAY')"""
    assert await school.value(keys) > 10
