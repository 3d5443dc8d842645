"""A school: a teacher, students, staff, and courses to try commands on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from core import opening
from core.database import Database, Row, dedicated
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer, service
from tests.conftest import TestDatabase
from tests.core.rows import Rows


@dataclass
class School:
    """`do` gives a command as somebody; `rows` makes what is there before."""

    database: Database
    commands: Commands
    rows: Rows
    teacher: Viewer
    student: Viewer
    other: Viewer
    staff: Viewer
    guest: Viewer = GUEST

    async def do(self, viewer: Viewer, name: str, *, now: datetime | None = None, **body: object) -> Any:
        """The answer, as a client reads it."""
        asked = msgspec.json.decode(msgspec.json.encode(body), type=self.commands.known[name].request)
        done = await self.commands.run(viewer, name, asked, now=now or datetime.now(UTC))
        return msgspec.json.decode(done.body)

    async def refused(self, viewer: Viewer, name: str, *, now: datetime | None = None, **body: object) -> str:
        """The code that says no."""
        with pytest.raises(Refusal) as caught:
            await self.do(viewer, name, now=now, **body)
        return caught.value.code.code

    async def value(self, sql: str, *args: object) -> Any:
        """What the database holds, past all policies."""
        return await self.rows.connection.fetchval(sql, *args)

    async def column(self, sql: str, *args: object) -> list[Any]:
        """The same, of many rows."""
        return [row[0] for row in await self.rows.connection.fetch(sql, *args)]

    async def seen(self, viewer: Viewer, table: str) -> int:
        """How many rows of a table somebody sees."""
        async with self.database.transaction(viewer) as tx:
            number: int = await tx.connection.fetchval(f"SELECT count(*) FROM {table}")
        return number

    async def course(self, lessons: int = 2, **values: object) -> tuple[Row, Row, list[Row]]:
        """A published course of the teacher's, its chapter and its lessons."""
        course = await self.rows.make("courses", teacher_id=self.teacher.user_id, **values)
        chapter = await self.rows.make("chapters", course_id=course["id"], position=1)
        parts = {"course_id": course["id"], "chapter_id": chapter["id"], "status": "published"}
        made = [await self.rows.make("lessons", position=number, **parts) for number in range(1, lessons + 1)]
        chapter = await self.rows.change("chapters", chapter, status="published")
        return await self.rows.change("courses", course, status="published", published_at="now"), chapter, made

    async def taken(self, lessons: int = 2, **values: object) -> tuple[Row, list[Row], str]:
        """A course that the student takes, its lessons, and the enrolment's id."""
        course, _, made = await self.course(lessons, **values)
        answer = await self.do(self.student, "enroll_in_course", course_id=course["id"])
        return course, made, answer["enrollment_id"]

    async def badges(self, enrollment_id: str) -> set[str]:
        """What has been earned."""
        return set(
            await self.column(
                "SELECT badge_type::text FROM student_badges WHERE enrollment_id = $1", UUID(enrollment_id)
            )
        )

    async def activity(self, enrollment_id: str) -> list[str]:
        """What has been noted, in order."""
        return await self.column(
            "SELECT type::text FROM student_activity WHERE enrollment_id = $1 ORDER BY created_at, id",
            UUID(enrollment_id),
        )

    async def keep(self, at: datetime) -> dict[str, int]:
        """What time has brought about by then."""
        async with self.database.transaction(service()) as tx:
            rows = await tx.connection.fetch("SELECT chore, done FROM keep_courses($1)", at)
        return {row["chore"]: row["done"] for row in rows}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a while is no reason to give a command up."""
    monkeypatch.setitem(opening.LIMITS_MS, "statement_timeout", 120_000)
    monkeypatch.setitem(opening.LIMITS_MS, "lock_timeout", 120_000)


@pytest.fixture
async def school(database: Database, database_urls: TestDatabase) -> AsyncIterator[School]:
    """A school in a database of the test's own."""
    connection = await dedicated(database_urls.admin_url)
    rows = Rows(connection, DEFAULT_TENANT)
    people = [(await rows.make("users", role=role))["id"] for role in ("teacher", "student", "student", "admin")]
    teacher, student, other = [Viewer(DEFAULT_TENANT, person, "authenticated") for person in people[:3]]
    staff = Viewer(DEFAULT_TENANT, people[3], "staff")
    try:
        yield School(database, Commands(database, CONTEXTS), rows, teacher, student, other, staff)
    finally:
        await connection.close()
