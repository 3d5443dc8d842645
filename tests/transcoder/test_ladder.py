"""The ladder: never above the source, even sizes, one grid for all."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcoder.codecs import CODECS, Codec
from transcoder.ladder import MAX_FRAME_RATE, MIN_FRAME_RATE, decide_grid, decide_rate, decide_rungs, in_codec, plan
from transcoder.source import MAX_SIDE_PX, AudioTrack, Source, VideoTrack

sizes = st.integers(2, 8192)


@given(sizes, sizes)
def test_no_rendition_is_larger_than_its_source_and_all_are_even(width: int, height: int) -> None:
    rungs = decide_rungs(width, height, Fraction(25))
    assert rungs
    for rung in rungs:
        assert 2 <= rung.width <= width
        assert 2 <= rung.height <= height
        assert rung.width % 2 == rung.height % 2 == 0
        assert min(rung.width, rung.height) <= 1080


@given(sizes, sizes)
def test_renditions_fall_in_size_and_bit_rate_and_keep_their_names_apart(width: int, height: int) -> None:
    rungs = decide_rungs(width, height, Fraction(25))
    assert [r.lines for r in rungs] == sorted({r.lines for r in rungs}, reverse=True)
    assert [r.max_bps for r in rungs] == sorted((r.max_bps for r in rungs), reverse=True)


@given(st.integers(200, 4000), st.integers(200, 4000))
def test_the_shape_is_kept_within_a_pixel_of_rounding(width: int, height: int) -> None:
    for rung in decide_rungs(width, height, Fraction(25)):
        if width >= height:
            assert abs(rung.width - width * rung.lines / height) <= 2
        else:
            assert abs(rung.height - height * rung.lines / width) <= 2


@pytest.mark.parametrize(
    ("size", "lines"),
    [
        ((1920, 1080), [1080, 720, 480, 360, 240]),
        ((3840, 2160), [1080, 720, 480, 360, 240]),
        ((1280, 720), [720, 480, 360, 240]),
        ((1080, 1920), [1080, 720, 480, 360, 240]),
        ((320, 180), [180]),
        ((853, 481), [480, 360, 240]),
        ((1024, 576), [576, 480, 360, 240]),
        ((667, 500), [500, 360, 240]),
    ],
)
def test_usual_sources_get_the_usual_ladder(size: tuple[int, int], lines: list[int]) -> None:
    assert [rung.lines for rung in decide_rungs(*size, Fraction(25))] == lines


@pytest.mark.parametrize(
    ("size", "top", "lines"),
    [
        ((3840, 2160), 2160, [2160, 1440, 1080, 720, 480, 360, 240]),
        ((3840, 2160), 1440, [1440, 1080, 720, 480, 360, 240]),
        ((2560, 1440), 2160, [1440, 1080, 720, 480, 360, 240]),
        ((2160, 3840), 2160, [2160, 1440, 1080, 720, 480, 360, 240]),
        ((4096, 2160), 2160, [2160, 1440, 1080, 720, 480, 360, 240]),
        ((3840, 1600), 2160, [1600, 1080, 720, 480, 360, 240]),
        ((7680, 4320), 2160, [2160, 1440, 1080, 720, 480, 360, 240]),
        ((1920, 1080), 2160, [1080, 720, 480, 360, 240]),
    ],
)
def test_an_installation_that_asks_for_more_lines_gets_what_the_source_has(
    size: tuple[int, int], top: int, lines: list[int]
) -> None:
    rungs = decide_rungs(*size, Fraction(25), top)
    assert [rung.lines for rung in rungs] == lines
    assert all(rung.width <= size[0] and rung.height <= size[1] for rung in rungs)


@given(sizes, sizes)
def test_more_lines_above_change_nothing_below(width: int, height: int) -> None:
    usual, tall = decide_rungs(width, height, Fraction(25)), decide_rungs(width, height, Fraction(25), 2160)
    assert max(rung.lines for rung in tall) <= 2160
    if min(width, height) in (1080, 1440, 2160):
        assert [rung for rung in tall if rung.lines <= 1080] == list(usual)


@given(st.sampled_from(CODECS), st.sampled_from([Fraction(24), Fraction(60)]))
def test_every_rate_lies_within_the_levels_that_decoders_for_its_size_have(codec: Codec, rate: Fraction) -> None:
    """High 5.2 takes 300 Mbit/s, HEVC Main tier 5.1 takes 40, AV1 Main tier 5.1 takes 40."""
    for rung in decide_rungs(3840, 2160, rate, 2160):
        most = {"h264": 300_000_000, "hevc": 40_000_000, "av1": 40_000_000}[codec]
        assert in_codec(rung, codec, "sdr").max_bps < most


@pytest.mark.parametrize(
    ("average", "rate"),
    [
        ((30000, 1001), Fraction(30000, 1001)),
        ((2997, 100), Fraction(30000, 1001)),
        ((24, 1), Fraction(24)),
        ((120, 1), Fraction(60)),
        ((240, 1), Fraction(60)),
        ((15, 1), Fraction(15)),
        ((1, 1), Fraction(10)),
        ((3, 1), Fraction(12)),
        ((0, 0), Fraction(25)),
        ((90000, 1), None),
    ],
)
def test_frame_rates_become_constant_and_usual(average: tuple[int, int], rate: Fraction | None) -> None:
    assert rate is None or decide_rate(average) == rate


@given(st.integers(-5, 10**6), st.integers(-5, 10**6))
def test_any_stated_frame_rate_gives_one_that_players_take(num: int, den: int) -> None:
    assert MIN_FRAME_RATE <= decide_rate((num, den)) <= MAX_FRAME_RATE


@given(st.floats(0.01, 90_000), st.sampled_from([(24000, 1001), (25, 1), (30000, 1001), (50, 1), (60, 1), (17, 3)]))
def test_the_grid_covers_the_source_within_half_a_frame(duration_s: float, rate: tuple[int, int]) -> None:
    video = VideoTrack(0, "h264", 320, 180, frame_rate=rate)
    grid = decide_grid(video, duration_s)
    assert abs(float(grid.duration) - duration_s) <= max(
        0.5 / float(grid.rate) + 1e-6, 1 / float(grid.rate) - duration_s + 1e-6
    )
    assert Fraction(18, 10) <= grid.gop / grid.rate <= Fraction(22, 10)
    assert (grid.segment_count - 1) * grid.segment < grid.duration <= grid.segment_count * grid.segment


@given(sizes, sizes, st.integers(-3, 3000), st.integers(-3, 3000), st.sampled_from([0, 90, 180, 270]))
def test_what_is_shown_has_square_pixels_and_stays_within_bounds(w: int, h: int, num: int, den: int, turn: int) -> None:
    width, height = VideoTrack(0, "h264", w, h, (num, den), turn).shown_size
    assert 2 <= width <= max(w, h, MAX_SIDE_PX)
    assert 2 <= height <= max(w, h, MAX_SIDE_PX)


def test_anamorphic_and_turned_pictures_are_shown_as_meant() -> None:
    assert VideoTrack(0, "h264", 720, 576, (64, 45)).shown_size == (1024, 576)
    assert VideoTrack(0, "h264", 1920, 1080, rotation=90).shown_size == (1080, 1920)


def test_sound_alone_has_no_picture_grid() -> None:
    wanted = plan(Source("mp3", 10.0, audio=(AudioTrack(0, "mp3", 2),)))
    assert wanted.rungs == ()
    assert wanted.grid is None
    assert wanted.duration == 10
