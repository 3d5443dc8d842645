"""What answers are worth. Pure: no rows, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from core.errors import Refusal, bad_field

Answer = bool | int | str | list[int]
TEXT_TYPES = frozenset({"short_answer", "long_answer", "fill_blank"})
LONGEST_ANSWER = 20_000


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it is marked. `correct` is null where a teacher marks it; see questions.correct_answer for its shape."""

    id: UUID
    type: str
    options: int
    marks: int
    correct: object | None


@dataclass(frozen=True, slots=True)
class Score:
    """Marks reached of those that could be, and whether all of them are known."""

    total_questions: int
    correct_answers: int
    marks: int
    possible: int
    is_final: bool

    @property
    def percentage(self) -> float:
        """Of the marks that could be reached, to two places; of nothing, nothing."""
        return round(100 * self.marks / self.possible, 2) if self.possible else 0.0


def check_answers(questions: Sequence[Question], answers: Mapping[UUID, Answer]) -> Refusal | None:
    """Each answer is to a question that was asked, and of its kind."""
    asked = {question.id: question for question in questions}
    for question_id, answer in answers.items():
        where = f"answers.{question_id}"
        question = asked.get(question_id)
        if question is None:
            return bad_field(where, "was not asked")
        if why := _unfit(question, answer):
            return bad_field(where, why)
    return None


def _unfit(question: Question, answer: Answer) -> str | None:
    match question.type:
        case "mcq":
            fits = _is_index(answer, question.options)
            return None if fits else f"must be the number of an option, 0 to {question.options - 1}"
        case "multiple_select":
            fits = isinstance(answer, list) and all(_is_index(one, question.options) for one in answer)
            fits = fits and isinstance(answer, list) and len(set(answer)) == len(answer)
            return None if fits else f"must be a list of different options, each 0 to {question.options - 1}"
        case "true_false":
            return None if isinstance(answer, bool) else "must be true or false"
        case _:
            fits = isinstance(answer, str) and len(answer) <= LONGEST_ANSWER
            return None if fits else f"must be a text of at most {LONGEST_ANSWER} characters"


def _is_index(answer: object, options: int) -> bool:
    return isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < options


def is_right(question: Question, answer: Answer | None) -> bool | None:
    """Whether it is; None where only a teacher can tell."""
    if question.correct is None:
        return None
    if answer is None:
        return False
    match question.type:
        case "multiple_select":
            return (
                isinstance(answer, list) and isinstance(question.correct, list) and set(answer) == set(question.correct)
            )
        case kind if kind in TEXT_TYPES:
            return isinstance(answer, str) and plain(answer) == plain(str(question.correct))
        case _:
            # True is 1 to Python, and to nobody else.
            return type(answer) is type(question.correct) and answer == question.correct


def plain(text: str) -> str:
    """A written answer as it is compared: neither capitals nor spaces make it wrong."""
    return " ".join(text.split()).casefold()


def score(
    questions: Sequence[Question], answers: Mapping[UUID, Answer], hand_marks: Mapping[UUID, int] | None = None
) -> Score:
    """Marks for what is right; for what a teacher marks, those of `hand_marks`. Final when nothing waits for a teacher."""
    given = hand_marks or {}
    right, marks, is_final = 0, 0, True
    for question in questions:
        verdict = is_right(question, answers.get(question.id))
        if verdict is None:
            # What was not answered needs nobody to look at it.
            is_final = is_final and (question.id in given or question.id not in answers)
            marks += given.get(question.id, 0)
            right += given.get(question.id, 0) == question.marks > 0
        elif verdict:
            marks += question.marks
            right += 1
    return Score(len(questions), right, marks, sum(question.marks for question in questions), is_final)


def check_hand_marks(
    questions: Sequence[Question], answers: Mapping[UUID, Answer], marks: Mapping[UUID, int]
) -> Refusal | None:
    """Every answer that waits for a teacher gets its marks, and nothing else does."""
    waiting = {q.id: q for q in questions if q.correct is None and q.id in answers}
    for question_id, given in marks.items():
        if question_id not in waiting:
            return bad_field(f"marks.{question_id}", "is not marked by hand")
        if not 0 <= given <= waiting[question_id].marks:
            return bad_field(f"marks.{question_id}", f"must be 0 to {waiting[question_id].marks}")
    if missing := sorted(str(question_id) for question_id in waiting.keys() - marks.keys()):
        return bad_field(f"marks.{missing[0]}", "is missing")
    return None


def points_for(reached: Score, worth: int) -> int:
    """The part of `worth` that the marks earn, rounded down: never more than all of it, never less for more marks."""
    return min(worth, worth * reached.marks // reached.possible) if reached.possible else 0


def order_for(attempt_id: UUID, question_ids: Sequence[UUID], *, shuffled: bool) -> list[UUID]:
    """The order in which an attempt puts its questions: as they stand, or an order of the attempt's own."""
    if not shuffled:
        return list(question_ids)
    return sorted(question_ids, key=lambda question_id: hashlib.sha256(attempt_id.bytes + question_id.bytes).digest())
