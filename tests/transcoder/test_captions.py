"""WebVTT: cues survive being cut into segments, and nothing hostile in them becomes structure."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from core.domain.media_subtitles import Cue, parse_subtitles
from transcoder.captions import cut_vtt, thumbnails_vtt
from transcoder.ladder import Sprite

_times = st.integers(0, 60_000)
cues = st.lists(
    st.builds(lambda start, length: Cue(start, start + length, "", f"text {start}"), _times, st.integers(1, 20_000)),
    max_size=20,
)


@given(cues, st.integers(1, 10))
def test_a_cue_is_in_every_segment_that_it_overlaps_and_in_no_other(made: list[Cue], length_s: int) -> None:
    lengths = [Fraction(length_s)] * (80 // length_s + 1)
    for number, document in enumerate(cut_vtt(made, lengths)):
        assert document.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n")
        start, end = number * length_s * 1000, (number + 1) * length_s * 1000
        expected = [cue for cue in made if cue.start_ms < end and cue.end_ms > start]
        assert parse_subtitles(document) == sorted(expected, key=lambda cue: (cue.start_ms, cue.end_ms))


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error_and_written_without_a_stray_arrow(text: str) -> None:
    found = parse_subtitles(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n\n")
    for document in cut_vtt(found, [Fraction(10)]):
        assert document.count("-->") == len(found)


def test_thumbnails_name_their_part_of_the_sheet() -> None:
    text = thumbnails_vtt(Sprite(12, 50, 10, 160, 90), Fraction(25), Fraction(23), "sprite.jpg")
    assert "00:00:00.000 --> 00:00:02.000\nsprite.jpg#xywh=0,0,160,90\n" in text
    assert "00:00:22.000 --> 00:00:23.000\nsprite.jpg#xywh=160,90,160,90\n" in text
