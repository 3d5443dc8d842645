"""Writes the DASH manifest (ISO/IEC 23009-1) over the very segments that the HLS playlists list. Pure: records in, text out.

One Representation a line: the edge cuts a manifest down to a quality ceiling by lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from xml.sax.saxutils import quoteattr

from transcoder.playlists import Bandwidth, Piece

_NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
_PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
_CHANNELS = "urn:mpeg:mpegB:cicp:ChannelConfiguration"
_ROLE = "urn:mpeg:dash:role:2011"
_TEXT_SET = '<AdaptationSet contentType="text"'
_CICP = "urn:mpeg:mpegB:cicp:"
_PQ, _BT2020 = 16, 9


@dataclass(frozen=True, slots=True)
class Stream:
    """One Representation: the folder of its init.mp4 and {n}.m4s, and what its init segment says."""

    folder: str
    codecs: str
    bandwidth: Bandwidth
    timescale: int
    pieces: Sequence[Piece]
    width: int | None = None
    height: int | None = None
    frame_rate: Fraction | None = None
    channels: int | None = None
    language: str = "und"
    is_default: bool = True
    is_described: bool = False
    transfer: int | None = None
    """Of a picture whose range is not SDR's: its transfer characteristics."""


@dataclass(frozen=True, slots=True)
class Words:
    """Subtitles as one file: DASH players want no segments of WebVTT."""

    path: str
    language: str
    bandwidth_bps: int
    role: str = "subtitle"
    """In the words of urn:mpeg:dash:role:2011."""


def manifest(duration: Fraction, longest: Fraction, streams: Sequence[Stream], words: Sequence[Words]) -> str:
    """The whole MPD. `longest` is the longest segment, in seconds."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<MPD xmlns="{_NAMESPACE}" profiles="{_PROFILE}" type="static" mediaPresentationDuration="{_period(duration)}"'
        f' minBufferTime="{_period(longest)}">',
        f'<Period id="0" start="PT0S" duration="{_period(duration)}">',
    ]
    pictures = [stream for stream in streams if stream.width is not None]
    for number, (codec, group) in enumerate(groupby(pictures, key=lambda stream: stream.codecs.partition(".")[0])):
        # Later codecs look better at the same rate: who can play more than one takes the last.
        priority = f' selectionPriority="{number + 1}"'
        lines += _set(f'contentType="video" mimeType="video/mp4" id="{codec}"{priority}', list(group))
    for number, stream in enumerate(stream for stream in streams if stream.width is None):
        lines += _set(
            f'contentType="audio" mimeType="audio/mp4" id="sound-{number}" lang={quoteattr(stream.language)}', [stream]
        )
    return "\n".join([*lines, *_texts(words), "</Period>", "</MPD>", ""])


def with_words(mpd: str, words: Sequence[Words]) -> str:
    """A manifest of ours with these subtitles in place of those it has; all else as it stands."""
    kept, is_text = [], False
    for line in mpd.splitlines():
        is_text = is_text or line.startswith(_TEXT_SET)
        if line == "</Period>":
            kept += _texts(words)
        if not is_text:
            kept.append(line)
        is_text = is_text and line != "</AdaptationSet>"
    return "\n".join([*kept, ""])


def _texts(words: Sequence[Words]) -> list[str]:
    lines = []
    for number, text in enumerate(words):
        lines += [
            f'{_TEXT_SET} mimeType="text/vtt" id="text-{number}" lang={quoteattr(text.language)}>',
            f'<Role schemeIdUri="{_ROLE}" value="{text.role}"/>',
            f'<Representation id={quoteattr(text.path)} bandwidth="{text.bandwidth_bps}">'
            f"<BaseURL>{text.path}</BaseURL></Representation>",
            "</AdaptationSet>",
        ]
    return lines


def _set(attributes: str, streams: Sequence[Stream]) -> list[str]:
    role = "description" if streams[0].is_described else "main" if streams[0].is_default else "alternate"
    return [
        f'<AdaptationSet {attributes} segmentAlignment="true" startWithSAP="1">',
        *_colours(streams[0].transfer),
        f'<Role schemeIdUri="{_ROLE}" value="{role}"/>',
        *(_representation(stream) for stream in streams),
        "</AdaptationSet>",
    ]


def _colours(transfer: int | None) -> list[str]:
    """DASH-IF IOP 10.2: a player that does not know PQ must leave the set alone; HLG looks fair on any screen."""
    if transfer is None:
        return []
    kind = "EssentialProperty" if transfer == _PQ else "SupplementalProperty"
    stated = (("ColourPrimaries", _BT2020), ("TransferCharacteristics", transfer), ("MatrixCoefficients", _BT2020))
    return [f'<{kind} schemeIdUri="{_CICP}{name}" value="{value}"/>' for name, value in stated]


def _representation(stream: Stream) -> str:
    attributes = [
        f"id={quoteattr(stream.folder)}",
        f'codecs="{stream.codecs}"',
        f'bandwidth="{stream.bandwidth.peak_bps}"',
    ]
    inside = ""
    if stream.width is not None and stream.frame_rate is not None:
        attributes += [f'width="{stream.width}"', f'height="{stream.height}"', 'sar="1:1"']
        attributes.append(f'frameRate="{stream.frame_rate.numerator}/{stream.frame_rate.denominator}"')
    if stream.channels is not None:
        attributes.append('audioSamplingRate="48000"')
        inside = f'<AudioChannelConfiguration schemeIdUri="{_CHANNELS}" value="{stream.channels}"/>'
    return f"<Representation {' '.join(attributes)}>{inside}{_template(stream)}</Representation>"


def _template(stream: Stream) -> str:
    entries = ""
    for length, same in groupby(_lengths(stream)):
        count = sum(1 for _ in same)
        start = ' t="0"' if not entries else ""
        entries += f'<S{start} d="{length}"{f" r={quoteattr(str(count - 1))}" if count > 1 else ""}/>'
    return (
        f'<SegmentTemplate timescale="{stream.timescale}" initialization="{stream.folder}/init.mp4"'
        f' media="{stream.folder}/$Number$.m4s" startNumber="0"><SegmentTimeline>{entries}</SegmentTimeline></SegmentTemplate>'
    )


def _lengths(stream: Stream) -> list[int]:
    return [int(piece.duration * stream.timescale) for piece in stream.pieces]


def _period(seconds: Fraction) -> str:
    micro = int(seconds * 1_000_000 + Fraction(1, 2))
    return f"PT{micro // 1_000_000}.{micro % 1_000_000:06d}S"
