"""Work that is handed in, marked, read, or missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.database import Row
from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)


async def assignment(school: School, **values: object) -> tuple[str, str, list[Row]]:
    """An assignment of a course that the student takes: its id, the enrolment's, the lessons."""
    course, lessons, enrollment = await school.taken()
    made = await school.rows.make("assessments", type="assignment", course_id=course["id"], **values)
    return str(made["id"]), enrollment, lessons


@pytest.mark.rule("edupeak-155")
@pytest.mark.rule("edupeak-184")
async def test_work_is_handed_in_marked_read_and_handed_in_again(school: School) -> None:
    made, enrollment, _ = await assignment(school, total_marks=10)
    first = await school.do(school.student, "submit_assignment", assessment_id=made, link="https://example.com/w")
    assert (first["status"], first["submission_count"]) == ("Pending", 1)
    assert await school.activity(enrollment) == ["SubmittedAssignment"]
    asked = {"submission_id": first["submission_id"], "grade": 7, "feedback": "Well tied."}
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "grade_submission", **asked) == "PS105"
    assert await school.refused(school.teacher, "grade_submission", **{**asked, "grade": 11}) == "PS102"
    graded = await school.do(school.teacher, "grade_submission", **asked)
    assert (graded["status"], graded["grade"]) == ("Graded", 7)
    assert await school.value("SELECT graded_by FROM assignment_submissions") == school.teacher.user_id
    assert await school.refused(school.other, "read_feedback", submission_id=first["submission_id"]) == "PS105"
    read = await school.do(school.student, "read_feedback", submission_id=first["submission_id"])
    assert (read["status"], read["feedback"]) == ("Returned", "Well tied.")
    assert await school.refused(school.teacher, "grade_submission", **asked) == "PS504"
    again = await school.do(school.student, "submit_assignment", assessment_id=made, description="Better")
    assert (again["submission_id"], again["status"]) == (first["submission_id"], "Pending")
    assert (again["submission_count"], again["grade"], again["feedback"]) == (2, None, None)
    assert await school.value("SELECT link FROM assignment_submissions") is None


@pytest.mark.parametrize(
    "work",
    [
        {},
        {"description": ""},
        {"link": "javascript:alert(1)"},
        {"link": "www.example.com"},
        {"file_key": "../secrets"},
        {"file_key": "/etc/passwd"},
        {"file_key": "a\nb"},
        {"file_key": "x" * 1025},
    ],
)
async def test_work_that_is_none_is_refused(school: School, work: dict[str, str]) -> None:
    made, _, _ = await assignment(school)
    assert await school.refused(school.student, "submit_assignment", assessment_id=made, **work) == "PS102"
    assert await school.value("SELECT count(*) FROM assignment_submissions") == 0


async def test_work_is_taken_from_students_until_it_is_due(school: School) -> None:
    made, _, _ = await assignment(school, due_date=NOW)
    asked = {"assessment_id": made, "description": "Here"}
    assert await school.refused(school.other, "submit_assignment", now=NOW, **asked) == "PS542"
    assert await school.refused(school.student, "submit_assignment", now=NOW + timedelta(seconds=1), **asked) == "PS548"
    await school.do(school.student, "submit_assignment", now=NOW, **asked)
    quiz = await school.rows.make("assessments", type="quiz")
    assert (
        await school.refused(school.student, "submit_assignment", assessment_id=quiz["id"], description="x") == "PS102"
    )
    for viewer, expected in ((school.student, 1), (school.other, 0), (school.teacher, 1), (school.staff, 1)):
        assert await school.seen(viewer, "assignment_submissions") == expected


@pytest.mark.rule("edupeak-156")
async def test_an_assignment_that_was_missed_is_noted_once(school: School) -> None:
    due = NOW + timedelta(days=1)
    made, enrollment, _ = await assignment(school, due_date=due)
    await school.do(
        school.other, "enroll_in_course", course_id=(await school.column("SELECT course_id FROM enrollments"))[0]
    )
    await school.do(school.other, "submit_assignment", assessment_id=made, description="Mine")
    assert await school.keep(due - timedelta(seconds=1)) == {}
    assert await school.keep(due) == {"assignments missed": 1}
    assert await school.keep(due + timedelta(days=1)) == {}
    assert await school.activity(enrollment) == ["MissedAssignment"]
    await school.rows.connection.execute("UPDATE assessments SET due_date = due_date + interval '1 day'")
    assert await school.keep(due + timedelta(days=2)) == {}
    assert (
        await school.value("SELECT last_activity_at FROM enrollments WHERE user_id = $1", school.student.user_id)
        is None
    )


@pytest.mark.rule("edupeak-179")
@pytest.mark.rule("edupeak-191")
async def test_a_lesson_waits_for_what_it_requires(school: School) -> None:
    made, _, lessons = await assignment(school)
    lesson = lessons[0]["id"]
    await school.rows.connection.execute("UPDATE assessments SET lesson_id = $1", lesson)
    with_nothing = lessons[1]["id"]
    assert (await school.do(school.student, "complete_lesson", lesson_id=with_nothing))["progress"] == 50.0
    assert await school.refused(school.student, "complete_lesson", lesson_id=lesson) == "PS544"
    await school.do(school.student, "submit_assignment", assessment_id=made, description="Done")
    assert (await school.do(school.student, "complete_lesson", lesson_id=lesson))["progress"] == 100.0


@pytest.mark.rule("edupeak-191")
async def test_an_optional_quiz_need_not_be_taken(school: School) -> None:
    course, lessons, _ = await school.taken()
    lesson = lessons[0]["id"]
    await school.rows.make("assessments", type="quiz", course_id=course["id"], lesson_id=lesson, required=False)
    assert (await school.do(school.student, "complete_lesson", lesson_id=lesson))["progress"] == 50.0
