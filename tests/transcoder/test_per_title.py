"""`--quality auto`: a ladder from measured points, never beyond the fixed one's bounds; measured on real pictures too."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transcoder.sources import FAST, ffmpeg, make
from transcoder import per_title
from transcoder.abilities import Abilities, find_abilities, read_names
from transcoder.hull import TARGET_SCORE, Point, decide_ladder, upper_hull
from transcoder.ladder import Grid, Rung, Tuned, Wishes, decide_rungs, plan, tune
from transcoder.per_title import CRFS, MAX_SAMPLES, decide_samples, measure_title, read_score
from transcoder.probe import probe
from transcoder.status import Status

RUNGS = decide_rungs(1920, 1080, Fraction(25))
LINES = tuple(rung.lines for rung in RUNGS)
CAPS = {rung.lines: rung.max_bps for rung in RUNGS}

points = st.lists(
    st.builds(
        Point,
        st.sampled_from([*LINES, 2160]),
        st.integers(10, 51),
        st.floats(0, 50_000_000),
        st.floats(0, 100),
    ),
    max_size=40,
)


def curve(lines: int, best: float, half_bps: float) -> list[Point]:
    """How a size behaves: more bits look better, up to what its lines can show."""
    return [
        Point(lines, crf, bps := half_bps * 2 ** ((34 - crf) / 4), best * (1 - 2 ** (-bps / half_bps))) for crf in CRFS
    ]


@given(points)
def test_any_measurement_gives_a_ladder_within_the_fixed_one(measured: list[Point]) -> None:
    found = decide_ladder(measured, RUNGS)
    if not found:
        assert not any(point.lines in CAPS and 0 < point.bps <= CAPS[point.lines] for point in measured)
        return
    assert all(0 < one.max_bps <= CAPS[one.lines] for one in found)
    assert [one.lines for one in found] == sorted({one.lines for one in found}, reverse=True)
    assert all(lower.max_bps < upper.max_bps for upper, lower in pairwise(found))
    assert found[-1].lines == LINES[-1]
    assert all(10 <= one.crf <= 51 for one in found)
    assert [rung.lines for rung in tune(RUNGS, found)] == [one.lines for one in found]


@given(points)
def test_nothing_measured_lies_above_the_hull(measured: list[Point]) -> None:
    usable = [point for point in measured if point.bps > 0]
    hull = upper_hull(usable)
    for one, other in pairwise(hull):
        assert one.bps < other.bps
        assert one.score < other.score
    for point in usable:
        assert any(better.bps <= point.bps and better.score >= point.score for better in hull) or (
            hull[0].bps < point.bps < hull[-1].bps
        )


def test_a_plain_title_gets_fewer_bits_and_a_rich_one_its_bounds() -> None:
    plain = [point for lines in LINES for point in curve(lines, 100 - (1080 - lines) / 60, 30_000 * lines / 240)]
    rich = [point for lines in LINES for point in curve(lines, 100 - (1080 - lines) / 60, 300_000 * lines / 240)]
    easy, hard = decide_ladder(plain, RUNGS), decide_ladder(rich, RUNGS)
    assert easy[0].lines == 1080
    assert easy[0].max_bps < CAPS[1080] / 2
    # More than there may be for a fair 1080p: the bits that there are show more in fewer lines.
    assert all(one.max_bps <= CAPS[one.lines] for one in hard)
    assert sum(one.max_bps for one in hard) > sum(one.max_bps for one in easy)


def test_nothing_is_spent_beyond_what_can_be_seen() -> None:
    measured = [
        Point(1080, 18, 4_000_000, 99.5),
        Point(1080, 26, 2_000_000, 97),
        Point(1080, 30, 1_000_000, 93),
        Point(240, 26, 150_000, 40),
    ]
    found = decide_ladder(measured, RUNGS)
    assert found[0].lines == 1080
    assert found[0].crf == 28  # half-way from 30 to 26, as the target is from 93 to 97
    assert 2 * 1_000_000 < found[0].max_bps < 2 * 2_000_000
    assert TARGET_SCORE == 95


def test_the_bound_of_a_size_is_where_its_curve_ends() -> None:
    """One quality lies above the bound, the next far below: what fits between them is not given away."""
    measured = [Point(1080, 22, 20_800_000, 90), Point(1080, 30, 1_300_000, 50), Point(720, 30, 1_400_000, 51)]
    found = decide_ladder(measured, RUNGS)
    assert found[0] == Tuned(1080, 26, CAPS[1080])


@given(st.integers(1, 3_000_000), st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60)]))
def test_samples_are_few_and_lie_within_the_film(frames: int, rate: Fraction) -> None:
    grid = Grid(rate, frames, round(2 * rate))
    samples = decide_samples(grid)
    assert 1 <= len(samples) <= MAX_SAMPLES
    assert all(0 < sample.frames <= grid.gop and sample.first + sample.frames <= frames for sample in samples)
    assert len({sample.first for sample in samples}) == len(samples)


@pytest.mark.parametrize("meter", ["libvmaf", "xpsnr"])
async def test_a_real_title_is_measured(meter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still costs next to nothing at any quality, so its ladder stays far below the usual one."""
    assert meter in find_abilities(ffmpeg()).filters
    monkeypatch.setattr(per_title, "find_abilities", lambda _: Abilities(frozenset(), frozenset({meter})))
    path = make(tmp_path / "still.mp4", "-f", "lavfi", "-i", "smptebars=s=426x240:r=25:d=3", *FAST)
    source = await probe(path)
    wanted = plan(source)
    status, work = Status(), tmp_path / "work"
    work.mkdir()
    tuned = await measure_title(ffmpeg(), path, source, wanted, work, status)
    assert [one.lines for one in tuned] == [240]
    assert tuned[0].max_bps < wanted.base[0].max_bps / 2
    assert plan(source, Wishes(("h264",), tuned)).base[0].max_bps == max(1, tuned[0].max_bps)
    assert (status.stage, status.percent) == ("measuring", 10)
    assert list(work.iterdir()) == []


async def test_a_title_that_cannot_be_measured_gets_the_fixed_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "film.mp4", "-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=1", *FAST)
    source = await probe(path)
    monkeypatch.setattr(per_title, "find_abilities", lambda _: Abilities(frozenset(), frozenset()))
    assert await measure_title(ffmpeg(), path, source, plan(source), tmp_path, Status()) == ()
    monkeypatch.setattr(per_title, "find_abilities", lambda _: Abilities(frozenset(), frozenset({"libvmaf"})))
    monkeypatch.setattr(per_title, "read_score", _says_nothing)
    (work := tmp_path / "work").mkdir()
    assert await measure_title(ffmpeg(), path, source, plan(source), work, Status()) == ()


def _says_nothing(meter: str, text: str) -> float:
    raise ValueError("the meter's log says no score")


def test_scores_are_read_from_either_meter() -> None:
    assert read_score("libvmaf", json.dumps({"pooled_metrics": {"vmaf": {"harmonic_mean": 93.5}}})) == 93.5
    said = "n:    1  XPSNR y: 30.0\n\nXPSNR average, 25 frames  y: 32.5000  u: 40.0  v: 41.0  (minimum: 32.5)\n"
    assert read_score("xpsnr", said) == 50.0
    assert read_score("xpsnr", said.replace("32.5000", "inf")) == 100.0
    for meter, text in (("libvmaf", "{}"), ("libvmaf", "junk"), ("libvmaf", "[]"), ("xpsnr", "n:  1  XPSNR y: 30.0")):
        with pytest.raises(ValueError, match="no score"):
            read_score(meter, text)


def test_what_an_ffmpeg_lacks_is_named() -> None:
    listing = (
        " V..... = Video\n ------\n V....D libx264              libx264 H.264\n V..... libsvtav1            SVT-AV1\n"
    )
    able = Abilities(
        read_names(listing),
        read_names(" ... = x\n .S zscale  V->V  Apply\n TS colorspace V->V Convert\n"),
    )
    assert able.encoders == {"libx264", "libsvtav1"}
    assert able.filters == {"zscale", "colorspace"}
    assert able.lacks(("h264", "av1"), is_hdr=False) == ()
    assert able.lacks(("h264", "hevc"), is_hdr=True) == ("libx265", "tonemap")
    assert able.meter is None
    bundled = find_abilities(ffmpeg())
    assert bundled.lacks(("h264", "hevc", "av1"), is_hdr=True) == ()
    assert bundled.meter == "libvmaf"


def test_a_tuned_rung_keeps_its_shape() -> None:
    assert tune(RUNGS, (Tuned(720, 25, 900_000),)) == (Rung(720, RUNGS[1].width, RUNGS[1].height, 900_000, 25),)
