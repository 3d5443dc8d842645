"""What is going to be made is said before it is made, and is what is made then."""

from __future__ import annotations

from core.domain.media_results import Planned
from transcoder.announce import announce
from transcoder.ladder import Wishes, plan
from transcoder.source import AudioTrack, Source, TextTrack, VideoTrack


def test_every_rendition_is_announced_pictures_first() -> None:
    source = Source(
        "mov", 60.0, VideoTrack(0, "h264", 640, 360), (AudioTrack(1, "aac", 6, "deu"), AudioTrack(2, "aac", 2, None, "Director")),
        (TextTrack(3, "mov_text", "eng"),),
    )  # fmt: skip
    wanted = plan(source, Wishes(("h264", "av1")))
    said = announce(source, wanted)
    pictures = [one for one in said if one.kind == "video"]
    assert [(p.name, p.codec) for p in pictures] == [
        ("360p", "h264"),
        ("240p", "h264"),
        ("360p-av1", "av1"),
        ("240p-av1", "av1"),
    ]
    assert [p.bps for p in pictures] == [rung.max_bps for rung in wanted.rungs]
    assert [(s.name, s.channels, s.language) for s in said if s.kind == "audio"] == [
        ("Deutsch", 2, "de"), ("Director", 2, "und"), ("Deutsch", 6, "de"),
    ]  # fmt: skip
    assert said[-1] == Planned("subtitles", "English", "wvtt", language="en")


def test_a_first_sound_that_does_not_say_has_the_titles_language_and_sound_alone_has_no_subtitles() -> None:
    source = Source("flac", 60.0, None, (AudioTrack(0, "flac", 2),), (TextTrack(1, "subrip", "eng"),))
    said = announce(source, plan(source), "pt-BR")
    assert [(s.kind, s.name, s.language) for s in said] == [("audio", "Português", "pt-BR")]
