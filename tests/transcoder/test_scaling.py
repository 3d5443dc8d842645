"""Which size of a ladder is made of which, and what that does to the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from core.process import run_tool
from tests.transcoder.sources import FAST, encode_locally, ffmpeg, make, picture
from transcoder import encode
from transcoder.ladder import Wishes, decide_rungs, plan
from transcoder.scaling import decide_origins
from transcoder.source import Source, VideoTrack


def test_a_small_size_is_made_of_one_that_is_there_already() -> None:
    assert decide_origins([1080, 720, 480, 360, 240]) == [0, 1, 1, 1]
    assert decide_origins([2160, 1440, 1080, 720, 480, 360, 240]) == [0, 0, 2, 2, 2, 2]
    assert decide_origins([1080]) == []


@given(st.integers(2, 4320), st.integers(2, 4320))
def test_no_picture_is_scaled_thrice_nor_nearly_to_its_own_size(width: int, height: int) -> None:
    lines = [rung.lines for rung in decide_rungs(width, height, Fraction(30), 4320)]
    steps = [0]
    for own, origin in zip(lines[1:], decide_origins(lines), strict=True):
        assert origin == 0 or lines[origin] >= own * 1.5
        steps.append(steps[origin] + 1)
    assert max(steps) <= 2


def test_encoders_of_one_size_share_its_picture(tmp_path: Path) -> None:
    film = Source("matroska", 4.0, VideoTrack(0, "h264", 1920, 1080))
    wanted = plan(film, Wishes(("h264", "hevc")))
    argv = encode.pictures_argv(Path("ffmpeg"), tmp_path / "in", film, wanted, tmp_path)
    assert len(wanted.rungs) == 10
    assert argv.count("-map") == 10
    # Once to the size of the largest, then once for each size.
    assert argv[argv.index("-filter_complex") + 1].count("scale=") == 6


async def test_what_was_scaled_twice_looks_like_what_is_scaled_at_once(tmp_path: Path) -> None:
    made = await encode_locally(make(tmp_path / "film.mp4", *picture("1280x720", "25", 1), *FAST), tmp_path / "work")
    told = run_tool(
        [
            *(ffmpeg(), "-nostdin", "-hide_banner", "-i", made.folder / "video/240p/playlist.m3u8"),
            *("-i", tmp_path / "film.mp4", "-lavfi", "[1:v]scale=426:240,setsar=1[b];[0:v][b]ssim", "-f", "null", "-"),
        ],
        timeout_s=60,
    ).stderr
    assert float(told.rpartition("All:")[2].split()[0]) > 0.9
