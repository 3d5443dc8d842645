"""Taking a quiz or an exam: begun, handed in, marked. What answers are worth is scoring's business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, person_of
from core.domain.learning.lessons import opened
from core.domain.learning.questions import read_question
from core.domain.learning.scoring import (
    Answer,
    Score,
    check_answers,
    check_hand_marks,
    order_for,
    points_for,
    score,
)
from core.errors import (
    ALL_GRADED,
    ATTEMPT_CLOSED,
    DUE_DATE_PASSED,
    ENROLLMENT_NEEDED,
    NO_ATTEMPTS_LEFT,
    NOT_FOUND,
    TIME_IS_UP,
    Refusal,
    bad_field,
)
from core.ids import uuid7
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "attempts.sql")

MOST_ANSWERS = 1000

# RULES


def ends_at(started_at: datetime, duration_minutes: int | None) -> datetime | None:
    """When an attempt's time is over; None where it has no limit."""
    return None if duration_minutes is None else started_at + timedelta(minutes=duration_minutes)


def is_over(started_at: datetime, duration_minutes: int | None, now: datetime) -> bool:
    """Answers that come after that moment come too late; in it, they do not."""
    end = ends_at(started_at, duration_minutes)
    return end is not None and now > end


def check_beginning(assessment: Row, taken: int, now: datetime) -> Refusal | None:
    """It is there to be taken, not too late, and not too often."""
    if assessment["type"] == "assignment":
        return bad_field("assessment_id", "is an assignment, which is handed in by submit_assignment")
    if assessment["due_date"] is not None and assessment["due_date"] < now:
        return Refusal(DUE_DATE_PASSED, data={"due_date": assessment["due_date"]})
    if taken >= assessment["max_attempts"]:
        return Refusal(NO_ATTEMPTS_LEFT, data={"max_attempts": assessment["max_attempts"]})
    return None


def check_handing_in(attempt: Row | None, now: datetime) -> Refusal | None:
    """It is open, and its time is not over."""
    if attempt is None:
        return Refusal(NOT_FOUND)
    if attempt["status"] == "in_progress":
        return Refusal(TIME_IS_UP) if is_over(attempt["started_at"], attempt["duration_minutes"], now) else None
    return Refusal(TIME_IS_UP if attempt["status"] == "expired" else ATTEMPT_CLOSED)


# COMMANDS


class StartAttempt(Asked, frozen=True):
    """Begins an attempt, or goes on with the one that is open. Its clock runs from the first call."""

    assessment_id: UUID


class QuestionAsked(msgspec.Struct, frozen=True):
    """A question as it is put: options are answered by their number, from 0."""

    id: UUID
    type: str
    question: str
    options: list[str]
    marks: int


class AttemptBegun(msgspec.Struct, frozen=True):
    """The attempt with its questions in its own order; `ends_at` null: take your time."""

    attempt_id: UUID
    assessment_id: UUID
    number: int
    started_at: datetime
    ends_at: datetime | None
    questions: list[QuestionAsked]


class SubmitAttempt(Asked, frozen=True):
    """Hands in the answers, by question: the number of an option, a list of them, true or false, or a text. What is left out is wrong."""

    attempt_id: UUID
    answers: dict[UUID, Answer]


class GradeAttempt(Asked, frozen=True):
    """Marks what only a teacher can, by question."""

    attempt_id: UUID
    marks: dict[UUID, Annotated[int, msgspec.Meta(ge=0)]]


class AttemptResult(msgspec.Struct, frozen=True):
    """What came of it. `status` submitted: some answers wait for a teacher. Without `is_shown` the teacher keeps the result to themselves."""

    attempt_id: UUID
    status: str
    completed_at: datetime
    is_shown: bool
    total_questions: int
    correct_answers: int | None
    score: float | None
    percentage: float | None
    points_earned: int | None
    passed: bool | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "start_attempt": Command(StartAttempt, AttemptBegun, SIGNED_IN),
        "submit_attempt": Command(SubmitAttempt, AttemptResult, SIGNED_IN),
        "grade_attempt": Command(GradeAttempt, AttemptResult, SIGNED_IN),
    }
)

# HANDLERS


async def may_take_part(tx: Tx, viewer: Viewer, person: UUID, assessment: Row, now: datetime) -> None:
    """Raises Refusal unless they take the course and, where it hangs on a lesson, that is open to them. As the service."""
    if not await tx.value(SQL["takes_course"], person, assessment["course_id"], now):
        raise Refusal(ENROLLMENT_NEEDED)
    if assessment["lesson_id"] is not None:
        await opened(tx, viewer, assessment["lesson_id"], now)


async def do_start_attempt(tx: Tx, viewer: Viewer, asked: StartAttempt, now: datetime) -> AttemptBegun:
    """Raises Refusal NOT_FOUND, ENROLLMENT_NEEDED, NOT_RELEASED, DUE_DATE_PASSED, NO_ATTEMPTS_LEFT."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        assessment = await tx.one(SQL["assessment_get"], asked.assessment_id)
        if assessment is None:
            raise Refusal(NOT_FOUND)
        await may_take_part(tx, viewer, person, assessment, now)
        # Two tabs begin one attempt, not two.
        await tx.run(SQL["attempt_begin_lock"], person, asked.assessment_id)
        last = await tx.one(SQL["attempt_last"], person, asked.assessment_id)
        if last is not None and last["status"] == "in_progress":
            if not is_over(last["started_at"], assessment["duration_minutes"], now):
                return await _begun(tx, last, assessment)
            await tx.run(SQL["attempt_expire"], last["id"])
        taken = last["number"] if last is not None else 0
        if refusal := check_beginning(assessment, taken, now):
            raise refusal
        ids = [row["id"] for row in await tx.many(SQL["question_ids"], asked.assessment_id)]
        attempt_id = uuid7()
        order = order_for(attempt_id, ids, shuffled=assessment["shuffle_questions"])
        begun = await tx.one(SQL["attempt_insert"], attempt_id, asked.assessment_id, person, taken + 1, order, now)
        assert begun is not None
        return await _begun(tx, begun, assessment)


async def _begun(tx: Tx, attempt: Row, assessment: Row) -> AttemptBegun:
    rows = await tx.many(SQL["question_asked_many"], attempt["question_order"])
    return AttemptBegun(
        attempt["id"],
        assessment["id"],
        attempt["number"],
        attempt["started_at"],
        ends_at(attempt["started_at"], assessment["duration_minutes"]),
        [QuestionAsked(row["id"], row["type"], row["question"], list(row["options"]), row["marks"]) for row in rows],
    )


async def do_submit_attempt(tx: Tx, viewer: Viewer, asked: SubmitAttempt, now: datetime) -> AttemptResult:
    """Raises Refusal NOT_FOUND, ATTEMPT_CLOSED, TIME_IS_UP or about an answer."""
    person = person_of(viewer)
    if len(asked.answers) > MOST_ANSWERS:
        raise bad_field("answers", f"must be at most {MOST_ANSWERS}")
    async with acting_as_service(tx):
        attempt = await tx.one(SQL["attempt_lock"], asked.attempt_id)
        if attempt is not None and attempt["user_id"] != person:
            attempt = None
        if refusal := check_handing_in(attempt, now):
            raise refusal
        assert attempt is not None
        questions = [read_question(row) for row in await tx.many(SQL["question_many"], attempt["question_order"])]
        if refusal := check_answers(questions, asked.answers):
            raise refusal
        reached = score(questions, asked.answers)
        text = msgspec.json.encode(asked.answers).decode()
        result = await _store(tx, attempt, reached, now, answers=text, hand_marks="{}")
    return result if result.is_shown else _kept(result)


async def do_grade_attempt(tx: Tx, _: Viewer, asked: GradeAttempt, now: datetime) -> AttemptResult:
    """Raises Refusal NOT_FOUND, ALL_GRADED or about a mark."""
    if not await tx.value(SQL["attempt_is_taught"], asked.attempt_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        attempt = await tx.one(SQL["attempt_lock"], asked.attempt_id)
        if attempt is None or attempt["status"] != "submitted":
            raise Refusal(ALL_GRADED)
        questions = [read_question(row) for row in await tx.many(SQL["question_many"], attempt["question_order"])]
        answers = msgspec.json.decode(attempt["answers"], type=dict[UUID, Answer])
        if refusal := check_hand_marks(questions, answers, asked.marks):
            raise refusal
        reached = score(questions, answers, asked.marks)
        text = msgspec.json.encode(asked.marks).decode()
        return await _store(tx, attempt, reached, attempt["completed_at"], answers=attempt["answers"], hand_marks=text)


async def _store(
    tx: Tx, attempt: Row, reached: Score, completed_at: datetime, *, answers: str, hand_marks: str
) -> AttemptResult:
    status = "graded" if reached.is_final else "submitted"
    points = points_for(reached, attempt["total_marks"]) if reached.is_final else 0
    passed = reached.marks >= attempt["passing_marks"] if reached.is_final else None
    before = await tx.value(SQL["points_before"], attempt["user_id"], attempt["assessment_id"], attempt["id"])
    await tx.run(
        SQL["attempt_store"],
        attempt["id"],
        status,
        answers,
        hand_marks,
        reached.total_questions,
        reached.correct_answers,
        reached.marks,
        reached.possible,
        points,
        passed,
        completed_at,
    )
    # A second attempt earns what it is better by. Points of a result that is kept back would give it away.
    if attempt["show_result"] and points > before:
        await tx.value(SQL["points_earn"], attempt["user_id"], points - before, attempt["type"], attempt["id"])
    told = {"attempt_id": attempt["id"], "user_id": attempt["user_id"], "assessment_id": attempt["assessment_id"]}
    await emit(tx, f"attempt.{status}", f"attempt:{attempt['id']}", told)
    return AttemptResult(
        attempt["id"],
        status,
        completed_at,
        attempt["show_result"],
        reached.total_questions,
        reached.correct_answers,
        float(reached.marks),
        reached.percentage,
        points,
        passed,
    )


def _kept(result: AttemptResult) -> AttemptResult:
    return msgspec.structs.replace(
        result, correct_answers=None, score=None, percentage=None, points_earned=None, passed=None
    )


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {StartAttempt: do_start_attempt, SubmitAttempt: do_submit_attempt, GradeAttempt: do_grade_attempt}
)
