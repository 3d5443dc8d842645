"""Checks a finished generation against the rules players rely on, by its files alone: what was meant does not count.

Blocking, files only. The whole decode, which needs ffmpeg, is `encoder.decode`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

from transcoder.mp4 import Fragment, Mp4Error, Track, boxes, read_fragment, read_track

# One frame of sound at 48 kHz; the picture is cut on exact frames.
_SOUND_FRAME = Fraction(1024, 48_000)
_ROUNDING = Fraction(1, 1_000_000)
_URI = re.compile(r'URI="([^"]+)"')


class Unsound(Exception):  # noqa: N818 - states the fact
    """The generation breaks a rule: which, and where."""


def verify(folder: Path, duration: Fraction) -> int:
    """Checks every playlist that the master names; how many. Raises Unsound."""
    master = (folder / "master.m3u8").read_text("utf-8")
    _expect(master.startswith("#EXTM3U\n"), "master.m3u8", "does not begin with #EXTM3U")
    lines = master.splitlines()
    tracks: dict[str, Track] = {}
    texts = 0
    listed = {line for line in lines if not line.startswith("#")}
    for line in lines:
        if line.startswith(("#EXT-X-MEDIA:", "#EXT-X-I-FRAME-STREAM-INF:")):
            listed.update(_URI.findall(line))
    for path in sorted(listed):
        if path.startswith("subtitles/"):
            _check_text(folder, path, duration)
            texts += 1
        else:
            tracks[path] = _check_media(folder, path, duration)
    _expect(bool(tracks), "master.m3u8", "names no rendition")
    _check_codecs(lines, tracks)
    return len(tracks) + texts


def _expect(holds: bool, where: str, problem: str) -> None:
    if not holds:
        raise Unsound(f"{where}: {problem}")


def _check_codecs(lines: list[str], tracks: dict[str, Track]) -> None:
    sounds = {track.codecs for track in tracks.values() if track.handler == "soun"}
    for number, line in enumerate(lines):
        if not line.startswith(("#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:")):
            continue
        is_frames = line.startswith("#EXT-X-I")
        path = _URI.findall(line)[0] if is_frames else lines[number + 1]
        track = tracks[path]
        stated = set(re.findall(r'CODECS="([^"]+)"', line)[0].split(","))
        wanted = {track.codecs} if is_frames or track.handler == "soun" else {track.codecs} | sounds
        _expect(stated == wanted, path, f"CODECS says {sorted(stated)}, the init segments {sorted(wanted)}")
        if track.handler == "vide":
            _expect(f"RESOLUTION={track.width}x{track.height}" in line, path, "RESOLUTION is not the picture's")


def _read_playlist(folder: Path, path: str) -> tuple[list[tuple[Fraction, str, tuple[int, int] | None]], str | None]:
    text = (folder / path).read_text("utf-8")
    lines = text.splitlines()
    _expect(lines[0] == "#EXTM3U" and lines[-1] == "#EXT-X-ENDLIST", path, "is not a whole VOD playlist")
    target_s = int(next(line for line in lines if line.startswith("#EXT-X-TARGETDURATION:")).split(":")[1])
    init = next((_URI.findall(line)[0] for line in lines if line.startswith("#EXT-X-MAP:")), None)
    entries, duration, byte_range = [], None, None
    for line in lines:
        if line.startswith("#EXTINF:"):
            duration = Fraction(line.removeprefix("#EXTINF:").split(",")[0])
            _expect(duration > 0, path, "has a segment without length")
            _expect(
                int(duration + Fraction(1, 2)) <= target_s, path, f"{line} is beyond the target duration {target_s}"
            )
        elif line.startswith("#EXT-X-BYTERANGE:"):
            length, offset = line.removeprefix("#EXT-X-BYTERANGE:").split("@")
            byte_range = (int(length), int(offset))
        elif not line.startswith("#"):
            _expect(duration is not None, path, f"{line} has no EXTINF")
            assert duration is not None
            entries.append((duration, line, byte_range))
            duration = byte_range = None
    return entries, init


def _check_total(path: str, total: Fraction, duration: Fraction, tolerance: Fraction) -> None:
    _expect(abs(total - duration) <= tolerance, path, f"lasts {float(total):.6f} s, the title {float(duration):.6f} s")


def _check_media(folder: Path, path: str, duration: Fraction) -> Track:
    entries, init = _read_playlist(folder, path)
    _expect(init is not None and bool(entries), path, "has no init segment or no segments")
    here = (folder / path).parent
    try:
        head = (here / (init or "")).read_bytes()
        track = read_track(head)
        _expect([box.kind for box in boxes(head)] == [b"ftyp", b"moov"], path, "its init segment is not ftyp and moov")
        tolerance = (_SOUND_FRAME if track.handler == "soun" else Fraction(0)) + _ROUNDING * len(entries)
        if path.endswith("iframes.m3u8"):
            for _, name, byte_range in entries:
                _check_key_frame(here / name, byte_range, path)
        else:
            now = 0
            for extinf, name, _ in entries:
                now = _check_segment((here / name).read_bytes(), track, now, extinf, f"{path} {name}")
            _check_total(path, Fraction(now, track.timescale), duration, tolerance)
    except Mp4Error as error:
        raise Unsound(f"{path}: {error}") from error
    _check_total(path, sum((extinf for extinf, _, _ in entries), Fraction(0)), duration, tolerance)
    return track


def _check_segment(data: bytes, track: Track, now: int, extinf: Fraction, where: str) -> int:
    """Fragments follow on from `now` without a hole, each begins with a key frame shown first; where they end."""
    began = now
    parts = [box for box in boxes(data) if box.kind in (b"moof", b"mdat")]
    _expect(len(parts) >= 2 and len(parts) % 2 == 0, where, "is not pairs of moof and mdat")
    for moof, mdat in zip(parts[::2], parts[1::2], strict=True):
        _expect(moof.kind == b"moof" and mdat.kind == b"mdat", where, "is not pairs of moof and mdat")
        fragment = read_fragment(data[moof.start : moof.end])
        _expect(fragment.decode_time == now, where, f"begins at {fragment.decode_time}, not at {now}")
        _expect(fragment.samples[0].is_sync, where, "does not begin with a key frame")
        _expect(moof.start + fragment.data_offset == mdat.body, where, "its data offset is wrong")
        _expect(sum(s.size for s in fragment.samples) == mdat.end - mdat.body, where, "its media data has another size")
        _expect(_first_shown(fragment) - track.edit_start == now, where, "the first picture shown is not at its start")
        now += fragment.duration
    length = Fraction(now - began, track.timescale)
    _expect(abs(length - extinf) <= _ROUNDING, where, f"lasts {float(length):.6f} s, EXTINF says {float(extinf):.6f}")
    return now


def _first_shown(fragment: Fragment) -> int:
    """The earliest presentation time of the fragment, which must be its key frame's."""
    at, first = fragment.decode_time, fragment.decode_time + fragment.samples[0].cts
    for sample in fragment.samples:
        if at + sample.cts < first:
            return at + sample.cts
        at += sample.duration
    return first


def _check_key_frame(segment: Path, byte_range: tuple[int, int] | None, where: str) -> None:
    _expect(byte_range is not None, where, "has an entry without a byte range")
    length, offset = byte_range or (0, 0)
    with segment.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    _expect(len(data) == length and data[4:8] == b"moof", where, "a byte range does not begin with a moof")
    size = int.from_bytes(data[:4], "big")
    fragment = read_fragment(data[:size])
    _expect(fragment.samples[0].is_sync, where, "a byte range holds no key frame")
    _expect(fragment.data_offset + fragment.samples[0].size == length, where, "a byte range is not one key frame")


def _check_text(folder: Path, path: str, duration: Fraction) -> None:
    entries, _ = _read_playlist(folder, path)
    for _, name, _ in entries:
        document = ((folder / path).parent / name).read_text("utf-8")
        _expect(
            document.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"),
            path,
            f"{name} has no header",
        )
    total = sum((extinf for extinf, _, _ in entries), Fraction(0))
    _check_total(path, total, duration, _ROUNDING * len(entries))
