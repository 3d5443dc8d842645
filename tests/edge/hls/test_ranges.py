"""Ranges and conditions as RFC 9110 sections 13 and 14 have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hls.ranges import Decision, NotModified, Part, Unsatisfiable, Whole, decide

ETAG = '"abc"'


def ask(
    range_: str | None = None, *, size: int = 1000, if_none_match: str | None = None, if_range: str | None = None
) -> Decision:
    return decide(size, ETAG, if_none_match=if_none_match, if_range=if_range, range_=range_)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Whole()),
        ("bytes=0-", Part(0, 1000)),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=10-19", Part(10, 20)),
        ("bytes=999-", Part(999, 1000)),
        ("bytes=990-5000", Part(990, 1000)),
        ("bytes=-1", Part(999, 1000)),
        ("bytes=-5000", Part(0, 1000)),
        ("bytes=1000-", Unsatisfiable()),
        ("bytes=1000-1001", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        # Not understood, or several: the whole object, as section 14.2 allows.
        ("bytes=20-10", Whole()),
        ("bytes=-", Whole()),
        ("bytes=", Whole()),
        ("bytes=a-b", Whole()),
        ("Bytes=0-1", Whole()),
        ("octets=0-1", Whole()),
        ("bytes=0-1,2-3", Whole()),
        ("bytes=" + ",".join(["0-"] * 1000), Whole()),
        ("bytes=0x0-0x5", Whole()),
        ("bytes=+1-5", Whole()),
        ("bytes=١-٥", Whole()),
        ("bytes=0-99999999999999999999", Whole()),
    ],
)
def test_one_range_is_served_and_what_is_not_understood_is_the_whole(header: str | None, expected: Decision) -> None:
    assert ask(header) == expected


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [(ETAG, Part(0, 1)), ('"other"', Whole()), (f"W/{ETAG}", Whole()), ("Fri, 20 Nov 2026 00:00:00 GMT", Whole())],
)
def test_if_range_holds_only_for_the_same_strong_tag(if_range: str, expected: Decision) -> None:
    assert ask("bytes=0-0", if_range=if_range) == expected


@pytest.mark.parametrize("header", [ETAG, "*", f'"x", {ETAG}', f"W/{ETAG}"])
def test_a_client_that_has_it_is_told_so_even_if_it_asks_for_a_part(header: str) -> None:
    assert ask("bytes=0-0", if_none_match=header) == NotModified()


@given(st.integers(1, 10_000), st.integers(0, 20_000), st.none() | st.integers(0, 20_000))
def test_a_part_lies_within_the_object(size: int, first: int, last: int | None) -> None:
    match ask(f"bytes={first}-{'' if last is None else last}", size=size):
        case Part(begin, end):
            assert (begin, 0 <= begin < end <= size) == (first, True)
            assert end == (size if last is None else min(last + 1, size))
        case Unsatisfiable():
            assert first >= size
        case other:
            assert (other, last is not None and last < first) == (Whole(), True)


def test_an_empty_object_has_no_satisfiable_range() -> None:
    assert ask("bytes=0-", size=0) == Unsatisfiable()
    assert ask("bytes=-1", size=0) == Unsatisfiable()
