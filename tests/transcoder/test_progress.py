"""Progress: never falls, never passes the end, and ignores what it does not understand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transcoder.progress import ENCODE_SHARE, Progress
from transcoder.whole import Slowest


@given(st.lists(st.one_of(st.integers(-(10**9), 10**12).map(lambda us: f"out_time_us={us}"), st.text(max_size=40))))
def test_percent_never_falls_and_never_passes_the_share_of_encoding(lines: list[str]) -> None:
    progress, last = Progress(60.0, 0.0), 0.0
    for line in lines:
        progress.read(line)
        assert last <= progress.percent <= 100 * ENCODE_SHARE
        last = progress.percent


def test_the_end_is_all_of_the_encoding() -> None:
    progress = Progress(60.0, 0.0)
    assert progress.read("progress=end")
    assert progress.percent == 100 * ENCODE_SHARE
    assert not progress.read("progress=end")


def test_half_way_after_ten_seconds_leaves_about_as_much_again() -> None:
    progress = Progress(60.0, started_at=100.0)
    assert progress.eta_s(100.5) is None
    assert progress.read("out_time_us=30000000")
    assert progress.percent == 45
    assert progress.eta_s(110.0) == 12


def test_what_ffmpeg_says_before_the_first_frame_is_ignored() -> None:
    progress = Progress(60.0, 0.0)
    assert not progress.read("out_time_us=N/A")
    assert not progress.read("out_time_us=-21333")
    assert not progress.read("speed=0.5x")


def test_of_two_encoders_the_one_that_is_behind_says_how_far_the_work_is() -> None:
    shown: list[float] = []
    slowest = Slowest(lambda progress: shown.append(progress.done_s))
    pictures, sounds = slowest.one(), slowest.one()
    picture, sound = Progress(60.0, 0.0), Progress(60.0, 0.0)
    picture.read("out_time_us=1000000")
    pictures(picture)
    assert shown == [], "nothing is known of the other yet"
    sound.read("out_time_us=30000000")
    sounds(sound)
    picture.read("out_time_us=40000000")
    pictures(picture)
    sound.read("progress=end")
    sounds(sound)
    assert shown == [1, 30, 40]
