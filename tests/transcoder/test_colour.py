"""Colours: what a source leaves unsaid is said, and alike in every rendition; what it says stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.process import run_tool
from tests.transcoder.sources import FAST, Made, encode_locally, ffmpeg, frames_of, make
from transcoder.colour import UNSTATED, Colour, decide_family, decide_missing

codes = st.integers(0, 22)
sides = st.integers(1, 8192)


@given(st.builds(Colour, codes, codes, codes, st.booleans()), sides, sides)
def test_what_is_said_stays_and_nothing_is_left_unsaid(colour: Colour, width: int, height: int) -> None:
    missing = decide_missing(colour, width, height)
    said = {
        "color_primaries": colour.primaries not in UNSTATED,
        "color_trc": colour.transfer not in UNSTATED,
        "colorspace": colour.matrix not in UNSTATED and not colour.is_rgb,
    }
    assert {name: name not in missing for name in said} == said


@pytest.mark.parametrize(
    ("size", "family"),
    [
        ((1920, 1080), "bt709"),
        ((1280, 534), "bt709"),
        ((720, 1280), "bt709"),
        ((720, 576), "bt470bg"),
        ((720, 480), "smpte170m"),
        ((640, 360), "smpte170m"),
    ],
)
def test_an_unsaid_matrix_goes_by_size_as_players_take_it(size: tuple[int, int], family: str) -> None:
    assert decide_family(Colour(), *size) == family
    assert decide_missing(Colour(), *size)["colorspace"] == family


def test_a_stated_matrix_names_the_rest() -> None:
    assert decide_missing(Colour(matrix=5), 1920, 1080) == {"color_primaries": "bt470bg", "color_trc": "bt709"}
    assert decide_missing(Colour(matrix=9), 1920, 1080) == {"color_primaries": "bt2020", "color_trc": "bt709"}
    assert decide_missing(Colour(1, 1, 1), 640, 360) == {}


def told(made: Made, lines: int) -> set[str]:
    """Range, matrix, primaries and transfer that a decoder is told of each picture of a rendition."""
    info = frames_of(["-i", made.folder / f"video/{lines}p/playlist.m3u8"])
    return set(re.findall(r"color_range:(\S+ color_space:\S+ color_primaries:\S+ color_trc:\S+)", info))


def shade(path: Path, *reading: str) -> tuple[int, ...]:
    """The first picture's colour as red, green and blue, by what it says of itself."""
    rgb = path.parent / "shade.rgb"
    scaled = "scale=1:1:flags=area,format=rgb24"
    done = run_tool(
        [ffmpeg(), "-v", "error", "-nostdin", "-y", *reading, "-i", path, "-vf", scaled, "-frames:v", "1", "-f", "rawvideo", rgb],
        timeout_s=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(rgb.read_bytes()[:3])


HD = "tv color_space:bt709 color_primaries:bt709 color_trc:bt709"


async def test_a_film_that_says_nothing_has_the_same_colours_in_every_size(tmp_path: Path) -> None:
    """Players would take 720 lines for BT.709 and 240 lines for BT.601: the colours would change from rung to rung."""
    orange = [
        "-f",
        "lavfi",
        "-i",
        "color=0xE06010:s=1280x720:r=10:d=1",
        "-vf",
        "scale=out_color_matrix=bt709,setparams=colorspace=unknown",
    ]
    made = await encode_locally(make(tmp_path / "unsaid.mp4", *orange, *FAST), tmp_path / "work")
    for lines in (720, 240):
        assert told(made, lines) == {HD}
        seen = shade(made.folder / f"video/{lines}p/playlist.m3u8")
        assert all(abs(a - b) <= 4 for a, b in zip(seen, (0xE0, 0x60, 0x10), strict=True)), seen


async def test_red_green_and_blue_become_what_is_said_of_them(tmp_path: Path) -> None:
    orange = ["-f", "lavfi", "-i", "color=0xE06010:s=320x180:r=10:d=1", "-c:v", "ffv1", "-pix_fmt", "bgr0"]
    made = await encode_locally(make(tmp_path / "screen.mkv", *orange), tmp_path / "work")
    assert made.source.video is not None
    assert made.source.video.colour.is_rgb
    assert told(made, 180) == {HD}
    seen = shade(made.folder / "video/180p/playlist.m3u8")
    assert all(abs(a - b) <= 4 for a, b in zip(seen, (0xE0, 0x60, 0x10), strict=True)), seen


async def test_a_full_range_becomes_the_usual_one(tmp_path: Path) -> None:
    """Not every television heeds the flag: blacks would be crushed and whites cut."""
    white = [
        "-f",
        "lavfi",
        "-i",
        "color=0xE0E0E0:s=320x180:r=10:d=1",
        "-vf",
        "scale=out_color_matrix=bt709:out_range=pc,format=yuvj420p",
    ]
    stated = ["-color_range", "pc", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    path = make(tmp_path / "full.mp4", *white, "-c:v", "libx264", "-preset", "ultrafast", *stated)
    made = await encode_locally(path, tmp_path / "work")
    assert told(made, 180) == {HD}
    seen = shade(made.folder / "video/180p/playlist.m3u8")
    assert all(abs(value - 0xE0) <= 3 for value in seen), seen


async def test_stills_have_the_colours_of_the_film(tmp_path: Path) -> None:
    """A JPEG says no matrix: whoever shows it takes BT.601."""
    orange = ["-f", "lavfi", "-i", "color=0xE06010:s=320x180:r=10:d=1", "-vf", "scale=out_color_matrix=bt709"]
    stated = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    made = await encode_locally(make(tmp_path / "film.mp4", *orange, *FAST, *stated), tmp_path / "work")
    for still in ("poster.jpg", "thumbnails/sprite.jpg"):
        seen = shade(made.folder / still)
        assert all(abs(a - b) <= 6 for a, b in zip(seen, (0xE0, 0x60, 0x10), strict=True)), (still, seen)


async def test_the_poster_is_the_key_frame_at_a_tenth_of_the_film(tmp_path: Path) -> None:
    """White from 2 s to 4 s: neither the beginning of that segment nor what comes after it."""
    white = "drawbox=color=white:t=fill:enable='between(n,20,39)'"
    film = ["-f", "lavfi", "-i", "color=black:s=320x180:r=10:d=24", "-vf", white]
    made = await encode_locally(make(tmp_path / "film.mp4", *film, *FAST), tmp_path / "work")
    assert min(shade(made.folder / "poster.jpg")) > 240
