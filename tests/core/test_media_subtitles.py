"""Subtitle files of every kind become the same cues, and nothing in them becomes structure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.domain.media_subtitles import Cue, parse_subtitles, read_text, write_text
from core.domain.media_texts import check_document

VTT = """WEBVTT

NOTE no cue

7
00:00:01.500 --> 00:01:02.000 line:10% nonsense:<b>
Hello
<i>world</i>

00:05.000 --> 00:04.000
backwards
"""
SRT = """\ufeff1\r\n00:00:01,500 --> 00:01:02,000\r\nHello\r\n<i>world</i>\r\n\r\n2\r\n00:00:05,000 --> 00:00:04,000\r\nbackwards\r\n"""
ASS = """[Script Info]
Title: Words

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.50,0:01:02.00,Default,,0,0,0,,{\\fad(200,200)}Hello\\N<i>world</i>
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
Comment: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,not said
Dialogue: 0,0:00:05.00,0:00:04.00,Default,,0,0,0,,backwards
"""


@pytest.mark.parametrize(("document", "settings"), [(VTT, "line:10%"), (SRT, ""), (ASS, "")], ids=["vtt", "srt", "ass"])
def test_every_format_is_read(document: str, settings: str) -> None:
    assert parse_subtitles(read_text(document.encode())) == [Cue(1500, 62_000, settings, "Hello\n<i>world</i>")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_usual_encoding_is_read(encoding: str) -> None:
    document = "1\n00:00:01,000 --> 00:00:02,000\nGrüße, café\n"
    assert [cue.text for cue in parse_subtitles(read_text(document.encode(encoding)))] == ["Grüße, café"]


def test_what_stands_at_the_top_stays_there() -> None:
    srt = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}Above\n\n2\n00:00:03,000 --> 00:00:04,000\nBelow\n"
    assert [(cue.settings, cue.text) for cue in parse_subtitles(srt)] == [("line:0", "Above"), ("", "Below")]


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        ("I <3 you & 5 < 6", "I &lt;3 you &amp; 5 &lt; 6"),
        ("<font color=red>red</font>", "red"),
        ("<v Ann>Hi</v> <b>you</b>", "<v Ann>Hi</v> <b>you</b>"),
        ("a &amp; b&nbsp;c &bogus;", "a &amp; b&nbsp;c &amp;bogus;"),
        ("one\n\n \ntwo", "one\ntwo"),
        ("<script>alert(1)</script>", "alert(1)"),
        ("<c -->x</c>", "<c --&gt;x</c>"),
        ("<img src=x onerror=y", "&lt;img src=x onerror=y"),
    ],
)
def test_only_the_tags_that_webvtt_has_are_left(raw: str, written: str) -> None:
    assert write_text(raw) == written


@given(st.text(max_size=400))
def test_a_text_is_written_once_for_all(text: str) -> None:
    """What comes out has no blank line, no arrow, and is not changed by being written again."""
    once = write_text(text)
    assert not re.search(r"\n[ \t]*\n", once)
    assert "-->" not in once
    assert write_text(once) == once


@given(
    st.one_of(st.text(max_size=400), st.binary(max_size=400).map(read_text), st.sampled_from([VTT, SRT, ASS])),
    st.data(),
)
def test_no_document_breaks_the_reader(document: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(document)))
    for cue in parse_subtitles(document[:at] + data.draw(st.text(max_size=30)) + document[at:]):
        assert 0 <= cue.start_ms < cue.end_ms
        assert cue.text


def test_a_file_without_words_is_refused() -> None:
    for data in (
        b"",
        b"WEBVTT\n\n",
        b"\0" * 1000,
        b"just text",
        b"1\n00:00:02,000 --> 00:00:01,000\nbackwards\n",
    ):
        refusal = check_document(data)
        assert refusal is not None
        assert refusal.code is errors.NO_SUBTITLES
    assert check_document(SRT.encode()) is None
