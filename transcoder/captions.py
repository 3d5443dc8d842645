"""WebVTT: cuts cues into segments, and writes the map of the thumbnails. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from core.domain.media_subtitles import Cue
from transcoder.ladder import Sprite

# The media time of every rendition begins at zero.
_HEADER = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n"


def cut_vtt(cues: Sequence[Cue], durations: Sequence[Fraction]) -> list[str]:
    """One document for each of `durations` (seconds, one after another); a cue is in every segment that it overlaps."""
    documents, start = [], Fraction(0)
    for duration in durations:
        end = start + duration
        inside = [cue for cue in cues if cue.start_ms < end * 1000 and cue.end_ms > start * 1000]
        documents.append(_HEADER + "\n" + "".join(_write(cue) for cue in inside))
        start = end
    return documents


def write_vtt(cues: Sequence[Cue]) -> str:
    """All cues as one document."""
    return "WEBVTT\n\n" + "".join(_write(cue) for cue in cues)


def thumbnails_vtt(sprite: Sprite, rate: Fraction, duration: Fraction, image: str) -> str:
    """Which part of the sheet `image` shows which stretch of time."""
    parts = ["WEBVTT\n\n"]
    for number in range(sprite.count):
        start_ms = _to_ms(Fraction(number * sprite.every) / rate)
        end_ms = _to_ms(min(Fraction((number + 1) * sprite.every) / rate, duration))
        row, column = divmod(number, sprite.columns)
        area = f"{column * sprite.width},{row * sprite.height},{sprite.width},{sprite.height}"
        parts.append(_write(Cue(start_ms, max(end_ms, start_ms + 1), "", f"{image}#xywh={area}")))
    return "".join(parts)


def _write(cue: Cue) -> str:
    settings = f" {cue.settings}" if cue.settings else ""
    return f"{_show_ms(cue.start_ms)} --> {_show_ms(cue.end_ms)}{settings}\n{cue.text}\n\n"


def _to_ms(seconds: Fraction) -> int:
    return int(seconds * 1000 + Fraction(1, 2))


def _show_ms(value_ms: int) -> str:
    seconds, milliseconds = divmod(value_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
