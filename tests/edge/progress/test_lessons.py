"""Watching a lesson's video: what it leaves in the course, and only there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from core.database import Database, dedicated
from core.ids import DEFAULT_TENANT
from edge.progress.fold import DEFAULT_RULES
from tests.core.rows import Rows
from tests.edge.progress.test_drain import a_beat, a_session, rows, write_beats
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast

pytestmark = pytest.mark.usefixtures("patient")


@dataclass(frozen=True)
class Course:
    """A course with one published lesson, whose video is `film`, and Vera's enrolment in it."""

    lesson: UUID
    enrollment: UUID
    film: UUID


@pytest.fixture
async def course(cast: Cast) -> AsyncIterator[Course]:
    connection = await dedicated(cast.admin_url)
    await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
    make = Rows(connection, DEFAULT_TENANT)
    made = await make.make("courses")
    chapter = await make.make("chapters", course_id=made["id"])
    lesson = await make.make(
        "lessons", course_id=made["id"], chapter_id=chapter["id"], content_id=cast.free_film, status="published"
    )
    enrollment = await make.make(
        "enrollments", course_id=made["id"], user_id=cast.vera, status="active", last_activity_at=None
    )
    yield Course(lesson["id"], enrollment["id"], cast.free_film)
    await connection.close()


async def one(cast: Cast, sql: str, *args: object) -> tuple[Any, ...]:
    (row,) = await rows(cast, sql, *args)
    return tuple(row)


@pytest.mark.rule("edupeak-275")
@pytest.mark.rule("edupeak-277")
async def test_time_watched_grows_with_every_session(database: Database, cast: Cast, course: Course) -> None:
    asked = "SELECT watch_duration, total_duration, completion_rate, last_watched_at FROM lesson_watch_analytics WHERE lesson_id = $1"
    first = await a_session(cast, cast.vera, course.film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, first, 1, 6, 5.6)])
    watched, total, rate, at = await one(cast, asked, course.lesson)
    assert (watched, total, round(rate, 1)) == (5, 60, 8.3)
    # Parts of seconds are not lost from batch to batch, and what is told twice adds nothing.
    second = await a_session(cast, cast.vera, course.film)
    again = [a_beat(cast, second, 5, 12, 6.6)]
    for _ in range(2):
        await write_beats(database, DEFAULT_RULES, again)
    assert (await one(cast, asked, course.lesson))[0] == 12
    assert (await one(cast, asked, course.lesson))[3] > at


@pytest.mark.rule("edupeak-148")
@pytest.mark.rule("edupeak-150")
async def test_a_lesson_is_begun_then_completed_and_stays_so(database: Database, cast: Cast, course: Course) -> None:
    asked = "SELECT completed, completed_at IS NOT NULL FROM lesson_progress WHERE lesson_id = $1 AND user_id = $2"
    session = await a_session(cast, cast.vera, course.film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 6)])
    assert await one(cast, asked, course.lesson, cast.vera) == (False, False)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 2, 59, event="ended")])
    assert await one(cast, asked, course.lesson, cast.vera) == (True, True)
    again = await a_session(cast, cast.vera, course.film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, again, 1, 2)])
    assert await one(cast, asked, course.lesson, cast.vera) == (True, True)
    assert (await one(cast, "SELECT progress FROM enrollments WHERE id = $1", course.enrollment))[0] == 100


@pytest.mark.rule("edupeak-147")
async def test_watching_is_being_active_in_the_course(database: Database, cast: Cast, course: Course) -> None:
    asked = "SELECT last_activity_at FROM enrollments WHERE id = $1"
    session = await a_session(cast, cast.vera, course.film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 6)])
    (begun,) = await one(cast, asked, course.enrollment)
    assert begun is not None
    later = a_beat(cast, session, 2, 7, at_ms=int(begun.timestamp() * 1000) + 300_000)
    await write_beats(database, DEFAULT_RULES, [later])
    (active,) = await one(cast, asked, course.enrollment)
    assert (active - begun).total_seconds() >= 299


async def test_who_does_not_take_the_course_leaves_nothing_in_it(
    database: Database, cast: Cast, course: Course
) -> None:
    await cast.change(
        "UPDATE enrollments SET banned = true, ban_type = 'Permanent', ban_reason = 'x' WHERE id = $1",
        course.enrollment,
    )
    for person in (cast.otto, cast.vera, None):
        session = await a_session(cast, person, course.film)
        await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 59, 40, user_id=person, event="ended")])
    for table in ("lesson_progress", "lesson_watch_analytics"):
        assert await rows(cast, f"SELECT 1 FROM {table}") == []
    assert len(await rows(cast, "SELECT 1 FROM watch_progress WHERE is_completed")) == 2


async def test_two_drains_at_one_lesson_do_not_wait_for_each_other_for_ever(
    database: Database, cast: Cast, course: Course
) -> None:
    sessions = [await a_session(cast, person, course.film) for person in (cast.vera, cast.otto)]
    people = [cast.vera, cast.otto]

    async def drain(turn: int) -> int:
        order = (0, 1) if turn % 2 else (1, 0)
        return await write_beats(
            database,
            DEFAULT_RULES,
            [a_beat(cast, sessions[n], turn, turn % 50, 1, user_id=people[n]) for n in order],
        )

    assert sum(await asyncio.gather(*(drain(turn) for turn in range(1, 21)))) == 40
    (watched,) = await one(
        cast, "SELECT watch_duration FROM lesson_watch_analytics WHERE lesson_id = $1", course.lesson
    )
    assert watched == 20
