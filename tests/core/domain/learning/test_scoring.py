"""What answers are worth, as arithmetic."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain.learning.questions import NewQuestion, check_question
from core.domain.learning.scoring import (
    Question,
    check_answers,
    check_hand_marks,
    is_right,
    order_for,
    points_for,
    score,
)

MARKS = st.integers(0, 20)
QUIET = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def choices(draw: st.DrawFn) -> Question:
    """A question answered by the number of an option."""
    options = draw(st.integers(2, 6))
    return Question(draw(st.uuids()), "mcq", options, draw(MARKS), draw(st.integers(0, options - 1)))


QUIZZES = st.lists(choices(), min_size=1, max_size=12, unique_by=lambda question: question.id)


@QUIET
@given(QUIZZES, st.data())
def test_the_score_is_the_sum_of_the_marks_of_what_is_right(questions: list[Question], data: st.DataObject) -> None:
    answers = {q.id: data.draw(st.integers(0, q.options - 1)) for q in questions if data.draw(st.booleans())}
    assert check_answers(questions, answers) is None
    reached = score(questions, answers)
    right = [q for q in questions if answers.get(q.id) == q.correct]
    assert (reached.total_questions, reached.correct_answers) == (len(questions), len(right))
    assert reached.marks == sum(q.marks for q in right)
    assert 0 <= reached.marks <= reached.possible
    assert 0 <= reached.percentage <= 100
    assert reached.is_final


@pytest.mark.rule("edupeak-199")
@QUIET
@given(QUIZZES, st.integers(0, 1000), st.data())
def test_one_more_right_answer_never_earns_less(questions: list[Question], worth: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(questions))
    answers = {q.id: (q.correct + 1) % q.options for q in questions}
    earned = [points_for(score(questions, answers), worth)]
    for question in order:
        answers[question.id] = question.correct
        earned.append(points_for(score(questions, answers), worth))
    assert earned == sorted(earned)
    assert earned[0] == 0
    assert earned[-1] == (worth if sum(q.marks for q in questions) else 0)


@pytest.mark.rule("edupeak-199")
def test_more_right_answers_earn_more() -> None:
    questions = [Question(uuid4(), "mcq", 4, 1, 2) for _ in range(5)]
    earned = [points_for(score(questions, {q.id: 2 for q in questions[:right]}), 10) for right in range(6)]
    assert earned == [0, 2, 4, 6, 8, 10]


@QUIET
@given(st.uuids(), st.lists(st.uuids(), unique=True, max_size=30))
def test_an_order_loses_nothing_and_is_the_attempts_own(attempt: UUID, ids: list[UUID]) -> None:
    assert order_for(attempt, ids, shuffled=False) == ids
    shuffled = order_for(attempt, ids, shuffled=True)
    assert sorted(shuffled) == sorted(ids)
    assert order_for(attempt, list(reversed(ids)), shuffled=True) == shuffled


@pytest.mark.rule("lms-064")
def test_attempts_are_put_in_different_orders() -> None:
    ids = [UUID(int=number) for number in range(10)]
    orders = {tuple(order_for(UUID(int=attempt), ids, shuffled=True)) for attempt in range(50)}
    assert len(orders) == 50


def question(type_: str, correct: object, options: int = 0) -> Question:
    return Question(UUID(int=1), type_, options, 2, correct)


@pytest.mark.parametrize(
    ("asked", "answer", "right"),
    [
        (question("mcq", 1, 3), 1, True),
        (question("mcq", 1, 3), 0, False),
        (question("mcq", 0, 3), None, False),
        (question("multiple_select", [0, 2], 3), [2, 0], True),
        (question("multiple_select", [0, 2], 3), [0], False),
        (question("multiple_select", [], 3), [], True),
        (question("true_false", True), True, True),
        (question("true_false", True), False, False),
        (question("short_answer", "Bowline  knot"), " bowline KNOT ", True),
        (question("fill_blank", "Straße"), "STRASSE", True),
        (question("fill_blank", "42"), "43", False),
        (question("long_answer", None), "anything", None),
        (question("mcq", 1, 3), True, False),
    ],
)
def test_right_and_wrong_by_kind(asked: Question, answer: object, right: bool | None) -> None:
    assert is_right(asked, answer) is right


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (question("mcq", 1, 3), 3),
        (question("mcq", 1, 3), -1),
        (question("mcq", 1, 3), True),
        (question("mcq", 1, 3), "1"),
        (question("multiple_select", [0], 3), 0),
        (question("multiple_select", [0], 3), [0, 0]),
        (question("multiple_select", [0], 3), [3]),
        (question("true_false", True), 1),
        (question("true_false", True), "true"),
        (question("short_answer", "a"), 1),
        (question("long_answer", None), "x" * 20_001),
    ],
)
def test_an_answer_that_could_not_be_given_is_refused_by_its_field(asked: Question, answer: object) -> None:
    refusal = check_answers([asked], {asked.id: answer})
    assert refusal is not None
    assert refusal.faults[0].path == f"answers.{asked.id}"


def test_an_answer_to_what_was_not_asked_is_refused() -> None:
    assert check_answers([], {UUID(int=3): 1}) is not None


def test_what_a_teacher_marks_waits_for_the_teacher() -> None:
    by_hand, by_itself = question("long_answer", None), Question(UUID(int=2), "mcq", 2, 3, 1)
    unanswered = Question(UUID(int=4), "long_answer", 0, 5, None)
    questions = [by_hand, by_itself, unanswered]
    answers = {by_hand.id: "An essay", by_itself.id: 1}
    waiting = score(questions, answers)
    assert (waiting.is_final, waiting.marks, waiting.possible, waiting.correct_answers) == (False, 3, 10, 1)
    for marks, where in (
        ({}, by_hand.id),
        ({by_hand.id: 3}, by_hand.id),
        ({by_hand.id: 1, by_itself.id: 1}, by_itself.id),
        ({by_hand.id: 1, unanswered.id: 1}, unanswered.id),
    ):
        refusal = check_hand_marks(questions, answers, marks)
        assert refusal is not None
        assert refusal.faults[0].path == f"marks.{where}"
    marked = {by_hand.id: 2}
    assert check_hand_marks(questions, answers, marked) is None
    final = score(questions, answers, marked)
    assert (final.is_final, final.marks, final.correct_answers) == (True, 5, 2)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (NewQuestion("?", options=["a"], correct_answer=0), "options"),
        (NewQuestion("?", options=["a", "b"]), "correct_answer"),
        (NewQuestion("?", options=["a", "b"], correct_answer=2), "correct_answer"),
        (NewQuestion("?", options=["a", "b"], correct_answer="a"), "correct_answer"),
        (NewQuestion("?", type="multiple_select", options=["a", "b"], correct_answer=0), "correct_answer"),
        (NewQuestion("?", type="true_false"), "correct_answer"),
        (NewQuestion("?", type="true_false", options=["a", "b"], correct_answer=True), "options"),
        (NewQuestion("?", type="short_answer", correct_answer=7), "correct_answer"),
    ],
)
def test_a_question_that_nobody_could_answer_is_not_asked(asked: NewQuestion, field: str) -> None:
    refusal = check_question(3, asked)
    assert refusal is not None
    assert refusal.faults[0].path == f"questions[3].{field}"


@pytest.mark.parametrize(
    "asked",
    [
        NewQuestion("?", options=["a", "b"], correct_answer=1),
        NewQuestion("?", type="multiple_select", options=["a", "b"], correct_answer=[0, 1]),
        NewQuestion("?", type="true_false", correct_answer=False),
        NewQuestion("?", type="long_answer"),
        NewQuestion("?", type="fill_blank", correct_answer="knot"),
    ],
)
def test_a_good_question_is_asked(asked: NewQuestion) -> None:
    assert check_question(0, asked) is None
