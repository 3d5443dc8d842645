"""Checks one media playlist of picture or sound with its segments, by their bytes alone. Blocking, files only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from transcoder.access_units import begins_anew
from transcoder.boxes import Box, Mp4Error, boxes, find
from transcoder.ladder import AUDIO_FRAME_SAMPLES, AUDIO_RATE_HZ
from transcoder.mp4 import Fragment, Track, read_fragment, read_track
from transcoder.playlists import Piece
from transcoder.unsound import Rule, Unsound, expect

ROUNDING = Fraction(1, 1_000_000)
"""An EXTINF has six decimals."""
_LONGEST_OVER_S = Fraction(1, 2)
_FRAME_S = Fraction(AUDIO_FRAME_SAMPLES, AUDIO_RATE_HZ)
_URI = re.compile(r'URI="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Listed:
    """A media playlist as it was read: its entries, target duration and init segment."""

    entries: tuple[Piece, ...]
    target_s: int
    init: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A rendition whose playlist and segments hold together: its track, and its entries with their sizes."""

    track: Track
    listed: Listed
    duration: Fraction
    sample_duration: Fraction
    """Seconds of its most usual sample: a picture's frame."""


def read_playlist(folder: Path, path: str) -> Listed:
    """A whole VOD playlist, its entries' sizes measured. Raises Unsound."""
    lines = (folder / path).read_text("utf-8").splitlines()
    for tag in ("#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-ENDLIST"):
        expect(lines.count(tag) == 1, Rule.PLAYLIST, path, f"is not a whole VOD playlist: {tag} is not there once")
    expect(lines[0] == "#EXTM3U" and lines[-1] == "#EXT-X-ENDLIST", Rule.PLAYLIST, path, "is not a whole VOD playlist")
    targets = [line.partition(":")[2] for line in lines if line.startswith("#EXT-X-TARGETDURATION:")]
    expect(len(targets) == 1 and targets[0].isdigit(), Rule.TARGET_DURATION, path, "has no one target duration")
    target_s = int(targets[0])
    init = next((_URI.findall(line)[0] for line in lines if line.startswith("#EXT-X-MAP:")), None)
    entries: list[Piece] = []
    duration, byte_range = None, None
    for line in lines:
        if line.startswith("#EXTINF:"):
            duration = Fraction(line.removeprefix("#EXTINF:").split(",")[0])
            expect(duration > 0, Rule.EXTINF, path, "has a segment without length")
            beyond = f"{line} is beyond the target duration {target_s}"
            expect(int(duration + Fraction(1, 2)) <= target_s, Rule.TARGET_DURATION, path, beyond)
            expect(duration <= target_s + _LONGEST_OVER_S, Rule.TARGET_DURATION, path, beyond)
        elif line.startswith("#EXT-X-BYTERANGE:"):
            length, offset = line.removeprefix("#EXT-X-BYTERANGE:").split("@")
            byte_range = (int(length), int(offset))
        elif not line.startswith("#"):
            file = (folder / path).parent / line
            expect(file.is_file(), Rule.PLAYLIST, path, f"{line} is not there")
            expect(duration is not None, Rule.PLAYLIST, path, f"{line} has no EXTINF")
            assert duration is not None
            size_bytes = byte_range[0] if byte_range else file.stat().st_size
            entries.append(Piece(line, duration, size_bytes, byte_range))
            duration = byte_range = None
    expect(bool(entries), Rule.PLAYLIST, path, "lists nothing")
    return Listed(tuple(entries), target_s, init)


def check_rendition(folder: Path, path: str) -> Checked:
    """Playlist, init segment and every segment of a picture or a sound. Raises Unsound."""
    listed = read_playlist(folder, path)
    here = (folder / path).parent
    try:
        track = _check_init(here, listed.init, path)
        now, lengths = 0, dict[int, int]()
        for piece in listed.entries:
            now = check_segment(here / piece.uri, track, now, piece.duration, path, lengths)
    except Mp4Error as error:
        raise Unsound(Rule.FRAGMENT, path, str(error)) from error
    duration = Fraction(now, track.timescale)
    total = sum((piece.duration for piece in listed.entries), Fraction(0))
    differing = f"its EXTINFs sum to {float(total):.6f} s, its segments to {float(duration):.6f} s"
    expect(abs(total - duration) <= ROUNDING * len(listed.entries), Rule.EXTINF, path, differing)
    usual = max(lengths, key=lambda length: lengths[length])
    if track.handler == "soun":
        # A decoder gives out whole frames whatever their time stamps say: twice as many are heard for twice as long.
        heard = Fraction(sum(lengths.values()) * AUDIO_FRAME_SAMPLES, AUDIO_RATE_HZ)
        differing = f"its frames are heard for {float(heard):.3f} s, its time stamps say {float(duration):.3f} s"
        expect(abs(heard - duration) <= _FRAME_S, Rule.CONTINUITY, path, differing)
    return Checked(track, listed, duration, Fraction(usual, track.timescale))


def check_iframes(folder: Path, path: str) -> Checked:
    """An I-frame playlist: every entry is one key frame with its moof, to be decoded alone. Raises Unsound."""
    listed = read_playlist(folder, path)
    expect(
        "#EXT-X-I-FRAMES-ONLY" in (folder / path).read_text("utf-8"), Rule.IFRAMES, path, "is not marked I-FRAMES-ONLY"
    )
    here = (folder / path).parent
    try:
        track = _check_init(here, listed.init, path)
        for piece in listed.entries:
            _check_key_frame(here / piece.uri, piece.byte_range, track, path)
    except Mp4Error as error:
        raise Unsound(Rule.IFRAMES, path, str(error)) from error
    total = sum((piece.duration for piece in listed.entries), Fraction(0))
    return Checked(track, listed, total, Fraction(0))


def _check_init(here: Path, init: str | None, path: str) -> Track:
    expect(init is not None and (here / init).is_file(), Rule.INIT, path, "has no init segment")
    head = (here / (init or "")).read_bytes()
    try:
        expect([box.kind for box in boxes(head)] == [b"ftyp", b"moov"], Rule.INIT, path, "is not ftyp and moov")
        traks = find(head, b"moov", b"trak")
        expect(len(traks) == 1, Rule.INIT, path, f"{len(traks)} tracks in the init segment")
        expect(len(find(head, b"moov", b"mvex")) == 1, Rule.INIT, path, "the init segment has no mvex")
        for table in (b"stts", b"stsc", b"stco"):
            for found in find(head, b"mdia", b"minf", b"stbl", table, within=traks[0]):
                expect(not any(head[found.body + 4 : found.body + 8]), Rule.INIT, path, "its init segment has samples")
        return read_track(head)
    except Mp4Error as error:
        raise Unsound(Rule.INIT, path, str(error)) from error


def check_segment(
    file: Path, track: Track, now: int, extinf: Fraction, path: str, lengths: dict[int, int] | None = None
) -> int:
    """Fragments follow on from `now` without a hole, each begins with an IDR picture shown first; where they end.

    `lengths` counts the samples by their duration, where it is given. Raises Unsound, Mp4Error.
    """
    data, name, began = file.read_bytes(), file.name, now
    parts = [box for box in boxes(data) if box.kind in (b"moof", b"mdat")]
    paired = len(parts) >= 2 and len(parts) % 2 == 0
    paired = paired and all(box.kind == (b"mdat" if n % 2 else b"moof") for n, box in enumerate(parts))
    expect(paired, Rule.FRAGMENT, path, f"{name} is not pairs of moof and mdat")
    for moof, mdat in zip(parts[::2], parts[1::2], strict=True):
        fragment = read_fragment(data[moof.start : moof.end])
        expect(
            fragment.decode_time == now, Rule.CONTINUITY, path, f"{name} begins at {fragment.decode_time}, not at {now}"
        )
        _check_fragment(data, moof, mdat, fragment, track, path, name)
        shown = _first_shown(fragment) - track.edit_start
        expect(shown == now, Rule.FIRST_PTS, path, f"the first picture of {name} is shown at {shown}, not at {now}")
        if lengths is not None:
            for sample in fragment.samples:
                lengths[sample.duration] = lengths.get(sample.duration, 0) + 1
        now += fragment.duration
    length = Fraction(now - began, track.timescale)
    differing = f"{name} lasts {float(length):.6f} s, EXTINF says {float(extinf):.6f}"
    expect(abs(length - extinf) <= ROUNDING, Rule.EXTINF, path, differing)
    return now


def _check_fragment(data: bytes, moof: Box, mdat: Box, fragment: Fragment, track: Track, path: str, name: str) -> None:
    expect(bool(fragment.samples), Rule.FRAGMENT, path, f"{name} has a fragment without samples")
    at = moof.start + fragment.data_offset
    expect(at == mdat.body, Rule.FRAGMENT, path, f"the data offset of {name} is wrong")
    size_bytes = sum(sample.size for sample in fragment.samples)
    expect(size_bytes == mdat.end - mdat.body, Rule.FRAGMENT, path, f"the media data of {name} has another size")
    first = fragment.samples[0]
    expect(first.is_sync, Rule.KEY_FRAME, path, f"{name} does not begin with a key frame")
    if track.handler != "vide":
        return
    is_idr = begins_anew(track.codecs, data[at : at + first.size])
    expect(is_idr, Rule.KEY_FRAME, path, f"the first picture of {name} is marked a key frame and is none")
    hidden = any(sample.is_sync for sample in fragment.samples[1:])
    expect(not hidden, Rule.KEY_FRAME, path, f"{name} hides a second key frame in a fragment")


def _first_shown(fragment: Fragment) -> int:
    """The earliest presentation time of the fragment if it is before its first sample's, else that."""
    at, first = fragment.decode_time, fragment.decode_time + fragment.samples[0].cts
    for sample in fragment.samples:
        if at + sample.cts < first:
            return at + sample.cts
        at += sample.duration
    return first


def _check_key_frame(segment: Path, byte_range: tuple[int, int] | None, track: Track, path: str) -> None:
    expect(byte_range is not None, Rule.IFRAMES, path, "has an entry without a byte range")
    length, offset = byte_range or (0, 0)
    with segment.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    is_moof = len(data) == length and data[4:8] == b"moof"
    expect(is_moof, Rule.IFRAMES, path, f"a byte range of {segment.name} does not begin with a moof")
    fragment = read_fragment(data[: int.from_bytes(data[:4], "big")])
    first = fragment.samples[0]
    expect(first.is_sync, Rule.IFRAMES, path, f"a byte range of {segment.name} holds no key frame")
    whole = fragment.data_offset + first.size == length
    expect(whole, Rule.IFRAMES, path, f"a byte range of {segment.name} is not one key frame")
    expect(begins_anew(track.codecs, data[fragment.data_offset :]), Rule.IFRAMES, path, "a key frame is none")
