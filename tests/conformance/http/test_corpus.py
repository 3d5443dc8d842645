"""The corpus against the real web process on a raw socket: refused as it must be, one answer to a request, no 5xx, no echo."""

from __future__ import annotations

import psutil
import pytest

from tests.conformance.http.case import Case, get
from tests.conformance.http.conftest import Front
from tests.conformance.http.corpus import CORPUS
from tests.conformance.http.peer import Answer, answers_in, exchange

SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n"


def answered(front: Front, port: int, case: Case) -> list[Answer]:
    """What `case` is answered with on a connection of its own; one more request follows it, unless the case has another end."""
    raw = front.fill(case.raw)
    got = exchange(port, raw + SENTINEL if case.then == "more" else raw, finish=case.then == "fin")
    return answers_in(got, tuple(line.startswith(b"HEAD ") for line in (raw,)))


def decent(answer: Answer) -> None:
    """What holds for every answer, whatever was sent."""
    assert answer.status < 500 or answer.status in (501, 505)
    assert answer.header("server") is None
    assert answer.header("date") is not None
    assert answer.header("x-content-type-options") == "nosniff"
    assert b"CANARY" not in answer.body
    if answer.status >= 400 and answer.status != 416:
        assert answer.header("x-request-id")
        assert answer.header("x-frame-options") == "DENY"
        assert (answer.header("content-type") or "").startswith("application/json")


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name[:70])
def test_the_corpus(front: Front, case: Case) -> None:
    answers = answered(front, front.port, case)
    for answer in answers:
        decent(answer)
    said = [answer.status for answer in answers]
    in_step = not case.closes and case.then == "more"
    if in_step:
        assert said.pop() == 200, "the connection is out of step"
    assert len(said) == len(case.answers), said
    for status, allowed in zip(said, case.answers, strict=True):
        assert status in allowed, said
    if case.closes and said and case.then != "fin":
        assert answers[-1].header("connection") == "close" or b"HTTP/1.0" in case.raw


@pytest.mark.parametrize(
    "case", [case for case in CORPUS if case.closes and case.then == "more"], ids=lambda case: case.name[:70]
)
def test_what_ends_a_connection_ends_it_alone(front: Front, case: Case) -> None:
    """Without a request behind it, which in one piece with it may be what the parser stumbles over."""
    answers = answers_in(exchange(front.port, front.fill(case.raw), finish=False))
    for answer in answers:
        decent(answer)
    assert len(answers) == len(case.answers)
    for answer, allowed in zip(answers, case.answers, strict=True):
        assert answer.status in allowed


@pytest.mark.parametrize("path", [b"/healthz", b"/hls/@TOKEN@/@FILM@/1/video/720p/1.m4s", b"/nothing"])
def test_a_thousand_at_once(front: Front, path: bytes) -> None:
    """All are answered, in order and on one connection, and none of it stays in memory."""
    raw = front.fill(get(path))
    exchange(front.port, raw * 1000 + SENTINEL, finish=False)  # what it needs at all, it has now
    before = psutil.Process(front.process.pid).memory_info().rss
    for _ in range(3):
        answers = answers_in(exchange(front.port, raw * 1000 + SENTINEL, finish=False))
        assert len(answers) == 1001
        assert len({answer.status for answer in answers[:-1]}) == 1
    assert psutil.Process(front.process.pid).memory_info().rss - before < 4 * 1024 * 1024


def test_garbage_leaves_nothing_in_the_log(front: Front) -> None:
    """Whoever sends it could fill the disk otherwise, or write lines of his own."""
    before = front.log.stat().st_size
    count = 0
    for case in CORPUS:
        if b"CANARY" in case.raw and case.then == "more":
            exchange(front.port, front.fill(case.raw) + SENTINEL, finish=False)
            count += 1
    said = front.log.read_bytes()[before:]
    assert b"CANARY" not in said
    assert len(said) < count * 200


def test_it_is_large_enough_and_no_case_comes_twice() -> None:
    assert len(CORPUS) >= 200
    assert len({case.name for case in CORPUS}) == len(CORPUS)
