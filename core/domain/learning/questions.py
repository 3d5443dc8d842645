"""The questions of a quiz or exam, as its teacher writes them. Their answers are read here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN
from core.domain.learning.scoring import Answer, Question, check_answers
from core.errors import NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "questions.sql")

MOST_QUESTIONS = 200

# RULES


def check_question(number: int, asked: NewQuestion) -> Refusal | None:
    """It has options where it is answered by them, and its answer is one that could be given."""
    where = f"questions[{number}]"
    if asked.type in ("mcq", "multiple_select"):
        if len(asked.options) < 2:
            return bad_field(f"{where}.options", "must be at least two")
        if asked.correct_answer is None:
            return bad_field(f"{where}.correct_answer", "is missing")
    elif asked.options:
        return bad_field(f"{where}.options", "are for mcq and multiple_select")
    if asked.type == "true_false" and asked.correct_answer is None:
        return bad_field(f"{where}.correct_answer", "is missing")
    if asked.correct_answer is None:
        return None
    probe = Question(UUID(int=0), asked.type, len(asked.options), asked.marks, None)
    if refusal := check_answers([probe], {probe.id: asked.correct_answer}):
        return bad_field(f"{where}.correct_answer", refusal.faults[0].why)
    return None


# COMMANDS


class NewQuestion(Asked, frozen=True):
    """A question. `correct_answer`: the number of an option from 0, a list of them, true or false, or a text; null: marked by hand."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    type: Literal["mcq", "multiple_select", "true_false", "short_answer", "long_answer", "fill_blank"] = "mcq"
    options: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]], msgspec.Meta(max_length=50)
    ] = msgspec.field(default_factory=list)
    correct_answer: Answer | None = None
    marks: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1


class AddQuestions(Asked, frozen=True):
    """Adds questions behind those that an assessment has."""

    assessment_id: UUID
    questions: Annotated[list[NewQuestion], msgspec.Meta(min_length=1, max_length=MOST_QUESTIONS)]


class QuestionsAdded(msgspec.Struct, frozen=True):
    """Their ids, in order."""

    ids: list[UUID]


class AnswerKey(Asked, frozen=True):
    """The right answers of an assessment, for its teacher."""

    assessment_id: UUID


class KeyEntry(msgspec.Struct, frozen=True):
    """A question with its answer; null: marked by hand."""

    id: UUID
    position: int
    type: str
    question: str
    options: list[str]
    marks: int
    correct_answer: Answer | None


class Answers(msgspec.Struct, frozen=True):
    """All questions, in order."""

    questions: list[KeyEntry]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "add_questions": Command(AddQuestions, QuestionsAdded, SIGNED_IN),
        "answer_key": Command(AnswerKey, Answers, SIGNED_IN, is_read=True),
    }
)

# HANDLERS


def read_question(row: Row) -> Question:
    """A row of questions as it is marked; `options` is their number."""
    correct = None if row["correct_answer"] is None else msgspec.json.decode(row["correct_answer"])
    return Question(row["id"], row["type"], row["options"], row["marks"], correct)


async def do_add_questions(tx: Tx, _: Viewer, asked: AddQuestions, _now: datetime) -> QuestionsAdded:
    """Raises Refusal NOT_FOUND or about a field."""
    last = await tx.value(SQL["assessment_lock"], asked.assessment_id)
    if last is None:
        raise Refusal(NOT_FOUND)
    for number, question in enumerate(asked.questions):
        if refusal := check_question(number, question):
            raise refusal
    ids = []
    for position, question in enumerate(asked.questions, last + 1):
        correct = question.correct_answer
        ids.append(
            await tx.value(
                SQL["question_insert"],
                asked.assessment_id,
                question.type,
                question.question,
                question.options,
                None if correct is None else msgspec.json.encode(correct).decode(),
                question.marks,
                position,
            )
        )
    return QuestionsAdded(ids)


async def do_answer_key(tx: Tx, _: Viewer, asked: AnswerKey, _now: datetime) -> Answers:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(SQL["assessment_is_taught"], asked.assessment_id):
        raise Refusal(NOT_FOUND)
    return Answers(
        [
            KeyEntry(
                row["id"],
                row["position"],
                row["type"],
                row["question"],
                list(row["options"]),
                row["marks"],
                None if row["correct_answer"] is None else msgspec.json.decode(row["correct_answer"], type=Answer),
            )
            for row in await tx.many(SQL["answer_key"], asked.assessment_id)
        ]
    )


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {AddQuestions: do_add_questions, AnswerKey: do_answer_key}
)
