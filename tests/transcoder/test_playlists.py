"""Playlists parse back to what was measured, and obey the arithmetic of RFC 8216."""

from __future__ import annotations

import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from transcoder.playlists import (
    Bandwidth,
    Choice,
    Piece,
    Variant,
    iframe_playlist,
    measure,
    media_playlist,
    multivariant_playlist,
    target_duration,
)

durations = st.builds(Fraction, st.integers(1, 12 * 48_000), st.just(48_000))
pieces = st.lists(
    st.builds(lambda d, s: Piece("0.m4s", d, s), durations, st.integers(1, 10**7)), min_size=1, max_size=40
)


@given(pieces)
def test_every_segment_is_within_the_target_and_the_sum_is_exact(made: list[Piece]) -> None:
    target = target_duration(made)
    text = media_playlist(made, target, init="init.mp4")
    stated = [Fraction(value) for value in re.findall(r"#EXTINF:([\d.]+),\n", text)]
    assert len(stated) == len(made)
    assert all(int(value + Fraction(1, 2)) <= target for value in stated)
    assert abs(sum(stated, Fraction(0)) - sum((p.duration for p in made), Fraction(0))) <= Fraction(
        len(made), 1_000_000
    )
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:7\n")
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert text.count("#EXT-X-TARGETDURATION:") == text.count("#EXT-X-MAP:") == 1


@given(pieces)
def test_the_peak_is_never_below_the_average_nor_above_the_worst_segment(made: list[Piece]) -> None:
    bandwidth = measure(made, target_duration(made))
    worst = max(8 * p.size_bytes / p.duration for p in made)
    assert bandwidth.average_bps <= bandwidth.peak_bps <= worst + 1


def test_a_short_last_segment_does_not_inflate_the_peak() -> None:
    made = [Piece("0.m4s", Fraction(4), 500_000), Piece("1.m4s", Fraction(1, 25), 100_000)]
    assert measure(made, 4) == Bandwidth(1_188_119, 1_188_119)


def test_key_frames_are_byte_ranges_of_the_same_segments() -> None:
    text = iframe_playlist([Piece("0.m4s", Fraction(2), 700, (700, 24))], 2, init="init.mp4")
    assert "#EXT-X-I-FRAMES-ONLY\n" in text
    assert "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:700@24\n0.m4s\n" in text


def _variant(lines: int, bps: int) -> Variant:
    return Variant(
        f"video/{lines}p/playlist.m3u8", Bandwidth(bps, bps), ("avc1.64001f",), lines * 16 // 9, lines, Fraction(25)
    )


def test_players_begin_with_the_variant_nearest_to_two_megabits() -> None:
    text = multivariant_playlist([], [_variant(1080, 5_000_000), _variant(720, 2_800_000), _variant(480, 1_500_000)])
    assert re.findall(r"^video/(\d+)p", text, re.M) == ["480", "1080", "720"]


@given(st.text(max_size=60))
def test_no_title_of_a_track_can_break_out_of_its_quotes(name: str) -> None:
    text = multivariant_playlist([Choice("AUDIO", "audio", name, "en", "audio/0-en/playlist.m3u8", True, 2)], [])
    line = text.splitlines()[3]
    assert len(text.splitlines()) == 4
    assert re.fullmatch(r'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="[^"\r\n]*",LANGUAGE="en",.*', line)
