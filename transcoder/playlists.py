"""Writes HLS playlists (RFC 8216, and Apple's authoring rules) from measured segments. Pure: records in, text out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

VERSION = 7
DEFAULT_VARIANT_BPS = 2_000_000
_SUBTITLES = "#EXT-X-MEDIA:TYPE=SUBTITLES,"
_VARIANT = "#EXT-X-STREAM-INF:"
_NO_CAPTIONS = ",CLOSED-CAPTIONS=NONE"


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a media playlist: `duration` seconds, exact; `byte_range` is (length, offset) inside `uri`."""

    uri: str
    duration: Fraction
    size_bytes: int
    byte_range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class KeyTag:
    """EXT-X-KEY for every segment of a playlist: where the key is, relative to it, and the initialisation vector."""

    uri: str
    iv: bytes


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bits per second: the most demanding stretch, and all of it."""

    peak_bps: int
    average_bps: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One EXT-X-MEDIA: a sound track or subtitles."""

    kind: str
    group: str
    name: str
    language: str
    uri: str
    is_default: bool
    channels: int | None = None
    is_forced: bool = False
    characteristics: str | None = None
    """What it is for, in Apple's words (Apple 4.5, 4.6)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One EXT-X-STREAM-INF, or with `is_iframes` one EXT-X-I-FRAME-STREAM-INF. `codecs` has its sound's too."""

    uri: str
    bandwidth: Bandwidth
    codecs: tuple[str, ...]
    width: int | None = None
    height: int | None = None
    frame_rate: Fraction | None = None
    audio: str | None = None
    subtitles: str | None = None
    is_iframes: bool = False
    video_range: str | None = None
    """SDR, PQ or HLG; said of every picture as soon as one is not SDR (Apple 9.16)."""
    score: int | None = None
    """The higher, the better it looks, whatever it costs; on every variant or on none (Apple 9.19)."""
    place: int = 0
    """Of its codec's ladder among the others; 0 is the one that every device plays."""


def target_duration(pieces: Sequence[Piece]) -> int:
    """EXT-X-TARGETDURATION: the longest EXTINF, rounded (RFC 8216, 4.3.3.1)."""
    return max(1, *(_round_half_up(piece.duration) for piece in pieces))


def _round_half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def measure(pieces: Sequence[Piece], target_s: int) -> Bandwidth:
    """Peak over every run of segments that lasts 0.5 to 1.5 target durations, and the average (RFC 8216, 4.3.4.2)."""
    total_bits = 8 * sum(piece.size_bytes for piece in pieces)
    total = sum((piece.duration for piece in pieces), Fraction(0))
    average = total_bits / total if total else Fraction(0)
    peak = average
    for first in range(len(pieces)):
        bits, lasting = 0, Fraction(0)
        for piece in pieces[first:]:
            bits += 8 * piece.size_bytes
            lasting += piece.duration
            if lasting * 2 > target_s * 3:
                break
            if lasting * 2 >= target_s:
                peak = max(peak, bits / lasting)
    return Bandwidth(-int(-peak // 1), -int(-average // 1))


def media_playlist(pieces: Sequence[Piece], target_s: int, *, init: str | None, key: KeyTag | None = None) -> str:
    """A VOD media playlist; `init` is its EXT-X-MAP (subtitles have none)."""
    return _media(pieces, target_s, init, key, is_iframes=False)


def event_playlist(pieces: Sequence[Piece], target_s: int, *, init: str, is_over: bool) -> str:
    """A playlist that grows at its end and is never changed otherwise; with `is_over` it will not grow any more (RFC 8216, 4.3.3.5)."""
    whole = _media(pieces, target_s, init, None, is_iframes=False).replace(
        "PLAYLIST-TYPE:VOD", "PLAYLIST-TYPE:EVENT", 1
    )
    return whole if is_over else whole.removesuffix("#EXT-X-ENDLIST\n")


def iframe_playlist(pieces: Sequence[Piece], target_s: int, *, init: str | None, key: KeyTag | None = None) -> str:
    """A playlist of key frames alone, as byte ranges of the same segments, or as files where those are encrypted."""
    return _media(pieces, target_s, init, key, is_iframes=True)


def _media(pieces: Sequence[Piece], target_s: int, init: str | None, key: KeyTag | None, *, is_iframes: bool) -> str:
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", f"#EXT-X-TARGETDURATION:{target_s}", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines.append("#EXT-X-PLAYLIST-TYPE:VOD")
    if is_iframes:
        lines.append("#EXT-X-I-FRAMES-ONLY")
    if init is not None:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
        lines.append(f"#EXT-X-MAP:URI={_quoted(init)}")
    if key is not None:
        # After EXT-X-MAP, so that it holds for the segments alone and the init segment stays in the clear.
        lines.append(f"#EXT-X-KEY:METHOD=AES-128,URI={_quoted(key.uri)},IV=0x{key.iv.hex()}")
    for piece in pieces:
        lines.append(f"#EXTINF:{_seconds(piece.duration)},")
        if piece.byte_range is not None:
            lines.append(f"#EXT-X-BYTERANGE:{piece.byte_range[0]}@{piece.byte_range[1]}")
        lines.append(piece.uri)
    lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def multivariant_playlist(choices: Sequence[Choice], variants: Sequence[Variant]) -> str:
    """The master playlist: the base's variant nearest to 2 Mbit/s first, where players start, then from the best downwards.

    The base comes before other codecs: a player that looks at no CODECS takes what it meets first.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [_choice(choice) for choice in choices]
    shown = sorted((v for v in variants if not v.is_iframes), key=lambda v: (v.place, -v.bandwidth.peak_bps))
    if shown:
        default = min(
            (v for v in shown if v.place == shown[0].place),
            key=lambda v: abs(v.bandwidth.peak_bps - DEFAULT_VARIANT_BPS),
        )
        shown = [default, *(v for v in shown if v is not default)]
    for variant in shown:
        lines += [f"#EXT-X-STREAM-INF:{_variant(variant)}", variant.uri]
    for variant in variants:
        if variant.is_iframes:
            lines.append(f"#EXT-X-I-FRAME-STREAM-INF:{_variant(variant)},URI={_quoted(variant.uri)}")
    return "\n".join(lines) + "\n"


def with_subtitles(master: str, choices: Sequence[Choice]) -> str:
    """A multivariant playlist of ours with these subtitles, all of one group, in place of those it has; all else as it stands."""
    lines = [line for line in master.splitlines() if not line.startswith(_SUBTITLES)]
    first = next(at for at, line in enumerate(lines) if line.startswith(_VARIANT))
    group = f",SUBTITLES={_quoted(choices[0].group)}" if choices else ""
    for at, line in enumerate(lines):
        if line.startswith(_VARIANT):
            plain = re.sub(r',SUBTITLES="[^"]*"', "", line)
            lines[at] = plain.replace(_NO_CAPTIONS, group + _NO_CAPTIONS)
    return "\n".join([*lines[:first], *(_choice(choice) for choice in choices), *lines[first:]]) + "\n"


def _choice(choice: Choice) -> str:
    attributes = [
        f"TYPE={choice.kind}",
        f"GROUP-ID={_quoted(choice.group)}",
        f"NAME={_quoted(choice.name)}",
        f"LANGUAGE={_quoted(choice.language)}",
        f"DEFAULT={'YES' if choice.is_default else 'NO'}",
        "AUTOSELECT=YES",
    ]
    if choice.is_forced:
        attributes.append("FORCED=YES")
    if choice.characteristics is not None:
        attributes.append(f"CHARACTERISTICS={_quoted(choice.characteristics)}")
    if choice.channels is not None:
        attributes.append(f"CHANNELS={_quoted(str(choice.channels))}")
    attributes.append(f"URI={_quoted(choice.uri)}")
    return f"#EXT-X-MEDIA:{','.join(attributes)}"


def _variant(variant: Variant) -> str:
    attributes = [
        f"BANDWIDTH={variant.bandwidth.peak_bps}",
        f"AVERAGE-BANDWIDTH={variant.bandwidth.average_bps}",
        f"CODECS={_quoted(','.join(variant.codecs))}",
    ]
    if variant.width is not None and variant.height is not None:
        attributes.append(f"RESOLUTION={variant.width}x{variant.height}")
    if variant.video_range is not None:
        attributes.append(f"VIDEO-RANGE={variant.video_range}")
    if variant.score is not None:
        attributes.append(f"SCORE={variant.score}.0")
    if variant.is_iframes:
        return ",".join(attributes)
    if variant.frame_rate is not None:
        attributes.append(f"FRAME-RATE={float(variant.frame_rate):.3f}")
    if variant.audio is not None:
        attributes.append(f"AUDIO={_quoted(variant.audio)}")
    if variant.subtitles is not None:
        attributes.append(f"SUBTITLES={_quoted(variant.subtitles)}")
    if variant.width is not None:
        attributes.append("CLOSED-CAPTIONS=NONE")
    return ",".join(attributes)


def _quoted(text: str) -> str:
    """A quoted string may hold neither quotes nor line ends (RFC 8216, 4.2)."""
    plain = "".join(c for c in text if c != '"' and c.isprintable())
    return f'"{plain}"'


def _seconds(duration: Fraction) -> str:
    micro = int(duration * 1_000_000 + Fraction(1, 2))
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"
