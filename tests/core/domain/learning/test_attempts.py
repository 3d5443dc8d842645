"""Quizzes and exams as they are taken."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.database import Row
from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)
KNOTS = [
    {"question": "Which holds?", "options": ["Granny", "Reef", "Bowline"], "correct_answer": 2, "marks": 2},
    {"question": "Which slips?", "options": ["Granny", "Reef"], "correct_answer": 0},
    {"question": "A rope has ends.", "type": "true_false", "correct_answer": True},
]


async def quiz(
    school: School, questions: list[dict[str, Any]] | None = None, **values: object
) -> tuple[str, list[str], Row]:
    """A quiz of a course that the student takes: its id, its questions' ids, the course."""
    course, _, _ = await school.taken()
    wanted = {"type": "quiz", "total_marks": 12, "passing_marks": 3, "course_id": course["id"], **values}
    made = await school.rows.make("assessments", **wanted)
    added = await school.do(school.teacher, "add_questions", assessment_id=made["id"], questions=questions or KNOTS)
    return str(made["id"]), added["ids"], course


@pytest.mark.rule("edupeak-195")
@pytest.mark.rule("edupeak-196")
@pytest.mark.rule("edupeak-198")
@pytest.mark.rule("edupeak-200")
@pytest.mark.rule("lms-060")
@pytest.mark.rule("lms-061")
@pytest.mark.rule("lms-063")
async def test_a_quiz_is_taken_and_marked_by_itself(school: School) -> None:
    made, ids, _ = await quiz(school)
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    assert [question["id"] for question in begun["questions"]] == ids
    assert "correct_answer" not in begun["questions"][0]
    assert begun["ends_at"] is None
    answers = {ids[0]: 2, ids[1]: 1, ids[2]: True}
    done = await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers=answers)
    told = {
        name: done[name]
        for name in ("status", "total_questions", "correct_answers", "score", "percentage", "passed", "points_earned")
    }
    assert told == {
        "status": "graded",
        "total_questions": 3,
        "correct_answers": 2,
        "score": 3.0,
        "percentage": 75.0,
        "passed": True,
        "points_earned": 9,
    }
    assert done["completed_at"] is not None
    stored = await school.value("SELECT answers ->> $1 FROM attempts", ids[0])
    assert stored == "2"
    assert await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id) == 9
    assert await school.refused(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers={}) == "PS547"


@pytest.mark.rule("lms-060")
async def test_one_mark_less_than_needed_fails(school: School) -> None:
    made, ids, _ = await quiz(school)
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    done = await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers={ids[0]: 2})
    assert (done["score"], done["passed"]) == (2.0, False)


async def test_an_attempt_that_is_open_is_gone_on_with_and_two_at_once_are_one(school: School) -> None:
    made, _, _ = await quiz(school, shuffle_questions=True, max_attempts=3)
    begun = await asyncio.gather(*(school.do(school.student, "start_attempt", assessment_id=made) for _ in range(4)))
    assert len({one["attempt_id"] for one in begun}) == 1
    assert all(one == begun[0] for one in begun)
    assert await school.value("SELECT count(*) FROM attempts") == 1


@pytest.mark.rule("lms-064")
async def test_a_shuffled_order_is_stored_and_varies_between_attempts(school: School) -> None:
    many = [{"question": f"{number}?", "type": "true_false", "correct_answer": True} for number in range(12)]
    made, ids, _ = await quiz(school, many, shuffle_questions=True, max_attempts=4)
    orders = []
    for _ in range(4):
        begun = await school.do(school.student, "start_attempt", assessment_id=made)
        orders.append(tuple(question["id"] for question in begun["questions"]))
        stored = await school.value(
            "SELECT question_order::text[] FROM attempts WHERE id = $1", UUID(begun["attempt_id"])
        )
        assert tuple(stored) == orders[-1]
        await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers={})
    assert all(sorted(order) == sorted(ids) for order in orders)
    assert len(set(orders)) > 1


async def test_attempts_are_counted_and_only_what_is_better_earns_more(school: School) -> None:
    made, ids, _ = await quiz(school, max_attempts=3)
    points = []
    for answers in ({ids[0]: 2}, {}, {ids[0]: 2, ids[1]: 0, ids[2]: True}):
        begun = await school.do(school.student, "start_attempt", assessment_id=made)
        await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers=answers)
        points.append(await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id))
    assert points == [6, 6, 12]
    assert await school.refused(school.student, "start_attempt", assessment_id=made) == "PS545"


@pytest.mark.rule("lms-062")
async def test_answers_that_come_too_late_are_refused(school: School) -> None:
    made, ids, _ = await quiz(school, duration_minutes=10, max_attempts=2)
    begun = await school.do(school.student, "start_attempt", now=NOW, assessment_id=made)
    end = NOW + timedelta(minutes=10)
    assert datetime.fromisoformat(begun["ends_at"]) == end
    late = {"attempt_id": begun["attempt_id"], "answers": {ids[0]: 2}}
    assert await school.refused(school.student, "submit_attempt", now=end + timedelta(seconds=1), **late) == "PS546"
    assert await school.value("SELECT status FROM attempts") == "in_progress"
    assert (await school.do(school.student, "submit_attempt", now=end, **late))["score"] == 2.0
    second = await school.do(school.student, "start_attempt", now=end, assessment_id=made)
    assert await school.keep(end + timedelta(minutes=10)) == {}
    assert await school.keep(end + timedelta(minutes=11)) == {"attempts expired": 1}
    code = await school.refused(school.student, "submit_attempt", now=end, attempt_id=second["attempt_id"], answers={})
    assert code == "PS546"


async def test_time_that_ran_out_is_an_attempt(school: School) -> None:
    made, _, _ = await quiz(school, duration_minutes=10)
    await school.do(school.student, "start_attempt", now=NOW, assessment_id=made)
    assert (
        await school.refused(school.student, "start_attempt", now=NOW + timedelta(hours=1), assessment_id=made)
        == "PS545"
    )


@pytest.mark.rule("lms-065")
async def test_a_result_that_is_kept_back_is_seen_by_the_teacher_alone(school: School) -> None:
    made, ids, _ = await quiz(school, show_result=False)
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    done = await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers={ids[0]: 2})
    assert done["is_shown"] is False
    assert {done[name] for name in ("score", "percentage", "passed", "correct_answers", "points_earned")} == {None}
    for viewer, expected in ((school.student, 0), (school.teacher, 1), (school.staff, 1), (school.other, 0)):
        assert await school.seen(viewer, "attempt_results") == expected
    assert await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id) == 0
    await school.rows.connection.execute("UPDATE assessments SET show_result = true")
    assert await school.seen(school.student, "attempt_results") == 1


async def test_essays_wait_for_the_teacher(school: School) -> None:
    essay = {"question": "Why?", "type": "long_answer", "marks": 4}
    made, ids, _ = await quiz(school, [*KNOTS, essay], passing_marks=7)
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    answers = {ids[0]: 2, ids[1]: 0, ids[2]: True, ids[3]: "Because."}
    done = await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers=answers)
    assert (done["status"], done["score"], done["passed"], done["points_earned"]) == ("submitted", 4.0, None, 0)
    asked = {"attempt_id": begun["attempt_id"], "marks": {ids[3]: 3}}
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "grade_attempt", **asked) == "PS105"
    assert await school.refused(school.teacher, "grade_attempt", **{**asked, "marks": {ids[3]: 5}}) == "PS102"
    assert await school.refused(school.teacher, "grade_attempt", **{**asked, "marks": {}}) == "PS102"
    graded = await school.do(school.teacher, "grade_attempt", **asked)
    assert (graded["status"], graded["score"], graded["passed"], graded["points_earned"]) == ("graded", 7.0, True, 10)
    assert await school.value("SELECT points FROM users WHERE id = $1", school.student.user_id) == 10
    assert await school.refused(school.teacher, "grade_attempt", **asked) == "PS559"


async def test_a_quiz_is_for_those_who_take_the_course(school: School) -> None:
    made, ids, course = await quiz(school)
    assert await school.refused(school.other, "start_attempt", assessment_id=made) == "PS542"
    assert await school.refused(school.student, "start_attempt", assessment_id=uuid4()) == "PS105"
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    await school.do(school.other, "enroll_in_course", course_id=course["id"])
    foreign = {"attempt_id": begun["attempt_id"], "answers": {ids[0]: 2}}
    assert await school.refused(school.other, "submit_attempt", **foreign) == "PS105"
    for answers in ({str(uuid4()): 1}, {ids[0]: 3}, {ids[2]: 1}):
        assert (
            await school.refused(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers=answers)
            == "PS102"
        )
    assert await school.value("SELECT status FROM attempts") == "in_progress"


async def test_questions_are_seen_once_the_clock_runs(school: School) -> None:
    made, _, course = await quiz(school)
    assert await school.seen(school.student, "questions") == 0
    assert await school.seen(school.student, "assessments") == 1
    await school.do(school.student, "start_attempt", assessment_id=made)
    await school.do(school.other, "enroll_in_course", course_id=course["id"])
    for viewer, expected in ((school.student, 3), (school.other, 0), (school.teacher, 3), (school.guest, 0)):
        assert await school.seen(viewer, "questions") == expected
    for viewer, expected in ((school.student, 1), (school.other, 0), (school.teacher, 1)):
        assert await school.seen(viewer, "attempts") == expected


async def test_what_is_over_is_not_begun(school: School) -> None:
    made, _, _ = await quiz(school, due_date=NOW)
    assert (
        await school.refused(school.student, "start_attempt", now=NOW + timedelta(seconds=1), assessment_id=made)
        == "PS548"
    )
    assert (await school.do(school.student, "start_attempt", now=NOW, assessment_id=made))["number"] == 1


@pytest.mark.rule("edupeak-323")
async def test_a_teacher_writes_a_quiz_and_reads_its_answers(school: School) -> None:
    _, _, lessons = await school.course()
    made = await school.rows.make(
        "assessments", course_id=lessons[0]["course_id"], lesson_id=lessons[0]["id"], type="quiz"
    )
    asked = {"assessment_id": made["id"], "questions": KNOTS}
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "add_questions", **asked) == "PS105"
        assert await school.refused(viewer, "answer_key", assessment_id=made["id"]) == "PS105"
    broken = [*KNOTS, {"question": "?", "options": ["a", "b"], "correct_answer": 2}]
    assert await school.refused(school.teacher, "add_questions", assessment_id=made["id"], questions=broken) == "PS102"
    await school.do(school.teacher, "add_questions", **asked)
    await school.do(school.teacher, "add_questions", assessment_id=made["id"], questions=KNOTS[:1])
    key = await school.do(school.teacher, "answer_key", assessment_id=made["id"])
    assert [entry["position"] for entry in key["questions"]] == [1, 2, 3, 4]
    assert [entry["correct_answer"] for entry in key["questions"]] == [2, 0, True, 2]


async def test_a_final_exam_is_what_a_course_is_completed_by(school: School) -> None:
    made, ids, course = await quiz(school, type="final_exam", max_attempts=2)
    for lesson in await school.column("SELECT id FROM lessons WHERE course_id = $1", course["id"]):
        done = await school.do(school.student, "complete_lesson", lesson_id=lesson)
    assert (done["progress"], done["status"]) == (100.0, "active")
    states = []
    for answers in ({}, {ids[0]: 2, ids[2]: True}):
        begun = await school.do(school.student, "start_attempt", assessment_id=made)
        await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers=answers)
        states.append(await school.value("SELECT status::text FROM enrollments"))
    assert states == ["active", "completed"]
    assert await school.value("SELECT count(*) FROM certificates") == 1


async def test_an_exam_is_watched_over(school: School) -> None:
    made, _, _ = await quiz(school)
    begun = await school.do(school.student, "start_attempt", assessment_id=made)
    asked = {"attempt_id": begun["attempt_id"]}
    assert await school.refused(school.other, "start_proctoring", **asked) == "PS105"
    watched = await school.do(school.student, "start_proctoring", **asked)
    assert await school.do(school.student, "start_proctoring", **asked) == watched
    seen = {"session_id": watched["session_id"], "type": "tab_switch"}
    assert await school.refused(school.other, "report_violation", **seen) == "PS105"
    noted = await school.do(school.student, "report_violation", **seen, details={"tab": [1, "x"]})
    assert noted["violations"] == 1
    assert await school.refused(school.student, "report_violation", **seen, details={"a": "x" * 9000}) == "PS102"
    for viewer, expected in ((school.student, 1), (school.other, 0), (school.teacher, 1), (school.staff, 1)):
        assert await school.seen(viewer, "proctoring_violations") == expected
    ended = await school.do(school.student, "end_proctoring", session_id=watched["session_id"])
    assert ended["ended_at"] is not None
    assert await school.refused(school.student, "report_violation", **seen) == "PS547"
