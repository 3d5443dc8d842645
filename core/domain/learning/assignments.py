"""Assignments: handed in, handed in again, marked by a teacher, read by the student."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, check_move, person_of
from core.domain.learning.attempts import may_take_part
from core.domain.learning.parts import check_address
from core.domain.learning.states import STATES
from core.errors import DUE_DATE_PASSED, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "assignments.sql")

_KEY = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,1023}")

# RULES


def check_work(asked: SubmitAssignment) -> Refusal | None:
    """There is something, and it is where it says."""
    if asked.file_key is None and not asked.description and asked.link is None:
        return bad_field("description", "give a file_key, a description or a link")
    if asked.file_key is not None and _KEY.fullmatch(asked.file_key) is None:
        return bad_field("file_key", "must be an object key")
    return check_address("link", asked.link)


def check_due(assignment: Row | None, now: datetime) -> Refusal | None:
    """It is an assignment, and not too late."""
    if assignment is None:
        return Refusal(NOT_FOUND)
    if assignment["type"] != "assignment":
        return bad_field("assessment_id", "is not an assignment; it is taken by start_attempt")
    if assignment["due_date"] is not None and assignment["due_date"] < now:
        return Refusal(DUE_DATE_PASSED, data={"due_date": assignment["due_date"]})
    return None


def check_grade(submission: Row | None, grade: int) -> Refusal | None:
    """It waits to be marked, and gets no more than there is to get."""
    if submission is None:
        return Refusal(NOT_FOUND)
    if grade > submission["total_marks"]:
        return bad_field("grade", f"must be at most {submission['total_marks']}")
    return check_move(STATES["assignment_submissions"], submission["status"], "Graded")


# COMMANDS


class SubmitAssignment(Asked, frozen=True):
    """Hands in work: a file, a text, a link, or several of them. Handing in again replaces it, and it is marked anew."""

    assessment_id: UUID
    file_key: str | None = None
    description: Annotated[str, msgspec.Meta(max_length=50_000)] | None = None
    link: str | None = None


class GradeSubmission(Asked, frozen=True):
    """Marks work, with or without a word about it."""

    submission_id: UUID
    grade: Annotated[int, msgspec.Meta(ge=0)]
    feedback: Annotated[str, msgspec.Meta(max_length=50_000)] | None = None


class ReadFeedback(Asked, frozen=True):
    """What the teacher made of the viewer's work; it then counts as returned."""

    submission_id: UUID


class Submission(msgspec.Struct, frozen=True):
    """Work as it stands; `submission_count` says how often it was handed in."""

    submission_id: UUID
    assessment_id: UUID
    status: str
    submission_count: int
    submitted_at: datetime
    grade: int | None
    feedback: str | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "submit_assignment": Command(SubmitAssignment, Submission, SIGNED_IN),
        "grade_submission": Command(GradeSubmission, Submission, SIGNED_IN),
        "read_feedback": Command(ReadFeedback, Submission, SIGNED_IN),
    }
)

# HANDLERS


def _submission(row: Row | None) -> Submission:
    assert row is not None
    return Submission(
        row["id"],
        row["assessment_id"],
        row["status"],
        row["submission_count"],
        row["submitted_at"],
        row["grade"],
        row["feedback"],
    )


async def do_submit_assignment(tx: Tx, viewer: Viewer, asked: SubmitAssignment, now: datetime) -> Submission:
    """Raises Refusal NOT_FOUND, ENROLLMENT_NEEDED, NOT_RELEASED, DUE_DATE_PASSED or about a field."""
    person = person_of(viewer)
    if refusal := check_work(asked):
        raise refusal
    async with acting_as_service(tx):
        assignment = await tx.one(SQL["assignment_get"], asked.assessment_id)
        if refusal := check_due(assignment, now):
            raise refusal
        assert assignment is not None
        await may_take_part(tx, viewer, person, assignment, now)
        row = await tx.one(
            SQL["submission_put"],
            asked.assessment_id,
            person,
            asked.file_key,
            asked.description,
            asked.link,
            now,
        )
        await tx.run(SQL["submission_note"], person, assignment["course_id"], asked.assessment_id, now)
        done = _submission(row)
        told = {"submission_id": done.submission_id, "user_id": person, "assessment_id": asked.assessment_id}
        await emit(tx, "assignment.submitted", f"submission:{done.submission_id}", told)
    return done


async def do_grade_submission(tx: Tx, viewer: Viewer, asked: GradeSubmission, _now: datetime) -> Submission:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE or about a field."""
    if not await tx.value(SQL["submission_is_taught"], asked.submission_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        submission = await tx.one(SQL["submission_lock"], asked.submission_id)
        if refusal := check_grade(submission, asked.grade):
            raise refusal
        assert submission is not None
        row = await tx.one(SQL["submission_grade"], asked.submission_id, asked.grade, asked.feedback, viewer.user_id)
        told = {"submission_id": asked.submission_id, "user_id": submission["user_id"], "grade": asked.grade}
        await emit(tx, "assignment.graded", f"submission:{asked.submission_id}", told)
    return _submission(row)


async def do_read_feedback(tx: Tx, viewer: Viewer, asked: ReadFeedback, _now: datetime) -> Submission:
    """Raises Refusal NOT_FOUND."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        submission = await tx.one(SQL["submission_lock"], asked.submission_id)
        if submission is None or submission["user_id"] != person:
            raise Refusal(NOT_FOUND)
        if submission["status"] == "Graded":
            submission = await tx.one(SQL["submission_return"], asked.submission_id)
    return _submission(submission)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        SubmitAssignment: do_submit_assignment,
        GradeSubmission: do_grade_submission,
        ReadFeedback: do_read_feedback,
    }
)
