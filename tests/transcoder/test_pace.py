"""The rate of a picture whose pictures do not come evenly."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from transcoder.ladder import decide_rate
from transcoder.pace import decide_pace

usual = st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60)])


def rate_of(average: Fraction, stamps: list[Fraction]) -> Fraction:
    found = decide_pace(average, [stamps])
    assert found is not None
    return decide_rate((found.numerator, found.denominator))


@given(usual, st.integers(9, 200), st.randoms(use_true_random=False))
def test_even_pictures_keep_their_rate_whatever_their_order(rate: Fraction, count: int, chance: object) -> None:
    stamps = [n / rate for n in range(count)]
    getattr(chance, "shuffle")(stamps)  # noqa: B009 - hypothesis types it loosely
    assert rate_of(rate, stamps) == rate


@given(usual, st.lists(st.integers(1, 5), min_size=12, max_size=200))
def test_pictures_that_were_left_out_do_not_slow_down_those_that_move(rate: Fraction, gaps: list[int]) -> None:
    """A grid of which only some pictures were kept: where a third of them follow at once, none of those is lost."""
    steps = [*gaps, *([1] * len(gaps))]
    stamps = [sum(steps[:n]) / rate for n in range(len(steps) + 1)]
    average = len(steps) / (stamps[-1] - stamps[0])
    found = decide_pace(average, [stamps])
    assert found in (rate, average)
    if average * Fraction(4, 3) <= rate:
        assert found == rate


@given(st.lists(st.integers(-4, 4), min_size=40, max_size=200))
def test_a_trembling_clock_changes_nothing(jitter_ms: list[int]) -> None:
    """A phone's 30 pictures a second, each a millisecond early or late."""
    stamps = [Fraction(n, 30) + Fraction(late, 4000) for n, late in enumerate(jitter_ms)]
    assert rate_of(Fraction(30), stamps) == 30


def test_a_screen_that_stands_still_for_minutes_moves_as_it_was_recorded() -> None:
    burst = [Fraction(n, 60) for n in range(120)]
    still = [Fraction(2 + 10 * n) for n in range(1, 30)]
    average = (len(burst) + len(still)) / still[-1]
    assert average < 1
    assert rate_of(average, burst + still) == 60


def test_what_tells_nothing_is_left_to_the_header() -> None:
    assert decide_pace(None, []) is None
    assert decide_pace(Fraction(25), [[Fraction(0), Fraction(1, 50)]]) == 25
    assert decide_pace(Fraction(25), [[Fraction(1)] * 50]) == 25


@given(usual, st.integers(9, 200), st.integers(2, 3000))
def test_an_average_above_an_even_pace_is_a_mistake(rate: Fraction, count: int, times: int) -> None:
    """A recording with a joint in it, or a raw DV stream, whose header states a clock of 60,000 a second."""
    stamps = [n / rate for n in range(count)]
    for is_interlaced in (False, True):
        found = decide_pace(rate * times, [stamps], is_interlaced=is_interlaced)
        assert found is not None
        assert decide_rate((found.numerator, found.denominator)) == rate


def test_fields_that_come_one_by_one_are_no_pictures() -> None:
    fields = [Fraction(n, 50) for n in range(100)]
    assert decide_pace(Fraction(25), [fields], is_interlaced=True) == 25
    assert decide_pace(Fraction(25), [fields]) == 50
