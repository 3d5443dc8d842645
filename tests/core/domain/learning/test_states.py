"""What this context says of its states is what the schema's triggers do, and who sees the rest of its rows."""

from __future__ import annotations

import re

from core.domain.learning import CONTEXT
from tests.core.domain.learning.conftest import School
from tests.core.rows import Rows
from tests.core.test_schema import tables_by_file


async def test_states_move_as_the_schema_has_it(rows: Rows) -> None:
    for table, moves in CONTEXT.states.items():
        trigger = await rows.connection.fetchval(
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgfoid = 'allow_transitions'::regproc",
            table,
        )
        said = {(was, becomes) for was, nexts in moves.items() for becomes in nexts}
        assert said == set(re.findall(r"'(\w+)>(\w+)'", trigger)), table
        states = await rows.connection.fetchval(
            """SELECT array_agg(e.enumlabel::text) FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid
               WHERE a.attrelid = $1::text::regclass AND a.attname = 'status'""",
            table,
        )
        assert states is None or set(moves) == set(states), table


def test_every_table_of_the_context_is_served() -> None:
    """The files of the schema that begin with its name make them."""
    made = {table for stem, tables in tables_by_file().items() if stem.startswith("learning_") for table in tables}
    assert {table.name for table in CONTEXT.tables} == made | {"attempt_results"}


async def test_the_other_rows_are_seen_by_whom_they_should(school: School) -> None:
    """A student's own, a teacher's course, the tenant's for staff; a guest none."""
    course, lessons, _ = await school.taken()
    mine = {"user_id": school.student.user_id}
    await school.rows.make("lesson_watch_analytics", **mine, lesson_id=lessons[0]["id"], total_duration=60)
    await school.rows.make("support_calls", course_id=course["id"], created_by=school.teacher.user_id)
    await school.rows.make("course_reviews", **mine, course_id=course["id"])
    await school.rows.make("teacher_applications", **mine)
    quiz = await school.rows.make("assessments", type="quiz", course_id=course["id"])
    attempt = await school.rows.make("attempts", **mine, assessment_id=quiz["id"])
    await school.rows.make("proctoring_sessions", attempt_id=attempt["id"])
    expected = {
        "lesson_watch_analytics": (1, 0, 1, 1, 0),
        "support_calls": (1, 0, 1, 1, 0),
        "course_reviews": (1, 1, 1, 1, 1),
        "teacher_applications": (1, 0, 0, 1, 0),
        "proctoring_sessions": (1, 0, 1, 1, 0),
        "assessments": (1, 0, 1, 1, 0),
    }
    viewers = (school.student, school.other, school.teacher, school.staff, school.guest)
    for table, numbers in expected.items():
        assert tuple([await school.seen(viewer, table) for viewer in viewers]) == numbers, table
