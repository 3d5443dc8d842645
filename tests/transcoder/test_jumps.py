"""Time stamps that jump: straightened to the line that is decoded, and left alone where nothing jumps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transcoder.jumps import Straightener

FRAME_US = 40_000


def feed(straightener: Straightener, packets: list[tuple[int, int]]) -> list[int]:
    """The straightened time stamps of (stream, dts) packets of one frame each."""
    return [dts + straightener.shift(stream, dts, FRAME_US) for stream, dts in packets]


@given(st.integers(-(2**40), 2**40), st.integers(0, 9_900_000))
def test_what_does_not_jump_is_left_alone(first_us: int, gap_us: int) -> None:
    """A gap of less than ten seconds is a gap: the picture stands still for so long."""
    packets = [(0, first_us), (1, first_us), (0, first_us + FRAME_US), (0, first_us + 2 * FRAME_US + gap_us)]
    assert feed(Straightener(), packets) == [dts for _, dts in packets]


@given(st.integers(-(2**40), 2**40).filter(lambda by: by > 11_000_000 or by < -1_000_000))
def test_two_recordings_follow_on(by_us: int) -> None:
    one = [(stream, n * FRAME_US) for n in range(10) for stream in (0, 1)]
    other = [(stream, (n + 10) * FRAME_US + by_us) for n in range(10) for stream in (0, 1)]
    assert feed(Straightener(), one + other) == [n * FRAME_US for n in range(20) for _ in (0, 1)]


def test_pictures_out_of_order_are_no_jump() -> None:
    packets = [(0, dts) for dts in (0, 80_000, 40_000, 160_000, 120_000)]
    assert feed(Straightener(), packets) == [dts for _, dts in packets]


def test_a_stream_that_begins_elsewhere_is_put_beside_the_others() -> None:
    assert feed(Straightener(), [(0, 0), (1, 3_600_000_000), (1, 3_600_040_000)]) == [0, 0, 40_000]
