"""Cuts an encoder's raw MP4 into CMAF segments on the common grid. Decides where segments begin; knows no HLS.

The cuts follow from the samples, never from what the encoder was asked for, so a playlist made of them is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from transcoder.boxes import Mp4Error
from transcoder.fragments import STYP, fragment_head, init_segment
from transcoder.mp4 import Fragment, Sample, Track, read_fragment, read_track
from transcoder.playlists import Piece

INIT = "init.mp4"
_MAX_INDEX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Packaged:
    """A folder of init.mp4 and {n}.m4s: what its init segment says, its segments and, for a picture, its key frames."""

    track: Track
    segments: tuple[Piece, ...]
    key_frames: tuple[Piece, ...]
    duration: Fraction

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(piece.size_bytes for piece in self.segments)


@dataclass(slots=True)
class _Raw:
    """The encoder's file: its moov, and its fragments with the place of their first byte of media."""

    file: BinaryIO
    moov: bytes
    size_bytes: int

    def fragments(self) -> Iterator[tuple[Fragment, int]]:
        for kind, start, end in _top_boxes(self.file, self.size_bytes):
            if kind == b"moof":
                fragment = read_fragment(_read(self.file, start, end))
                yield fragment, start + fragment.data_offset


def package_video(raw_paths: Sequence[Path], folder: Path, gops_per_segment: int) -> Packaged:
    """Cuts a picture, made in one file or in chunks that follow one another. Raises Mp4Error.

    The encoder's fragments are its groups of pictures. All chunks share one init segment and one shift of composition times,
    so a chunk may begin only where a segment begins.
    """
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        raws = [_open(stack.enter_context(path.open("rb")), path) for path in raw_paths]
        early = (-sample.cts for raw in raws for fragment, _ in raw.fragments() for sample in fragment.samples)
        shift = max(0, max(early, default=0))
        track = _write_init(folder, raws[0].moov, shift)
        for raw, path in zip(raws, raw_paths, strict=True):
            if init_segment(raw.moov, shift) != init_segment(raws[0].moov, shift):
                raise Mp4Error(f"{path.parent.name}/{path.name} is encoded otherwise than the first chunk")
        cutter = _Cutter(folder, track, shift)
        for number, raw in enumerate(raws):
            began, waiting = cutter.decode_time, 0
            for fragment, at in raw.fragments():
                _check_group(fragment, cutter.decode_time - began + waiting)
                cutter.groups.append((raw.file, fragment, at))
                waiting += fragment.duration
                if len(cutter.groups) == gops_per_segment:
                    cutter.flush()
                    waiting = 0
            if cutter.groups and number + 1 < len(raws):
                raise Mp4Error(f"chunk {number} ends within a segment")
        if cutter.groups:
            cutter.flush()
    duration = Fraction(cutter.decode_time, track.timescale)
    return Packaged(track, tuple(cutter.segments), tuple(cutter.key_frames), duration)


@dataclass(slots=True)
class _Cutter:
    """Writes segment after segment; `groups` are those that the next one will hold."""

    folder: Path
    track: Track
    shift: int
    segments: list[Piece] = field(default_factory=list)
    key_frames: list[Piece] = field(default_factory=list)
    groups: list[tuple[BinaryIO, Fragment, int]] = field(default_factory=list)
    sequence: int = 0
    decode_time: int = 0

    def flush(self) -> None:
        name, offset, began = f"{len(self.segments)}.m4s", len(STYP), self.decode_time
        timescale = self.track.timescale
        with (self.folder / name).open("wb") as out:
            out.write(STYP)
            for file, group, at in self.groups:
                self.sequence += 1
                head = fragment_head(self.sequence, self.track.track_id, self.decode_time, group.samples, self.shift)
                out.write(head)
                _copy(file, at, sum(s.size for s in group.samples), out)
                length = len(head) + group.samples[0].size
                self.key_frames.append(Piece(name, Fraction(group.duration, timescale), length, (length, offset)))
                offset = out.tell()
                self.decode_time += group.duration
        self.segments.append(Piece(name, Fraction(self.decode_time - began, timescale), offset))
        self.groups.clear()


def package_audio(raw_path: Path, folder: Path, segment: Fraction) -> Packaged:
    """Cuts a sound track at the first frame at or after each multiple of `segment` seconds. Raises Mp4Error."""
    folder.mkdir(parents=True)
    with raw_path.open("rb") as file:
        raw = _open(file, raw_path)
        track = _write_init(folder, raw.moov, 0)
        segments: list[Piece] = []
        frames: list[tuple[Sample, int]] = []
        begun, decode_time = 0, 0

        def flush() -> None:
            nonlocal begun
            name = f"{len(segments)}.m4s"
            with (folder / name).open("wb") as out:
                out.write(STYP)
                out.write(fragment_head(len(segments) + 1, track.track_id, begun, [s for s, _ in frames], 0))
                for sample, at in frames:
                    _copy(file, at, sample.size, out)
                size_bytes = out.tell()
            segments.append(Piece(name, Fraction(decode_time - begun, track.timescale), size_bytes))
            begun = decode_time
            frames.clear()

        for fragment, at in raw.fragments():
            if fragment.decode_time != decode_time:
                raise Mp4Error(f"the sound jumps from {decode_time} to {fragment.decode_time}")
            for sample in fragment.samples:
                if frames and Fraction(decode_time, track.timescale) >= segment * (len(segments) + 1):
                    flush()
                frames.append((sample, at))
                at += sample.size
                decode_time += sample.duration
        if frames:
            flush()
    return Packaged(track, tuple(segments), (), Fraction(decode_time, track.timescale))


def _check_group(fragment: Fragment, expected: int) -> None:
    if fragment.decode_time != expected:
        raise Mp4Error(f"the picture jumps from {expected} to {fragment.decode_time}")
    if not fragment.samples or not fragment.samples[0].is_sync:
        raise Mp4Error("a group of pictures does not begin with a key frame")
    if any(sample.is_sync for sample in fragment.samples[1:]):
        raise Mp4Error("a group of pictures holds a second key frame")


def _write_init(folder: Path, moov: bytes, edit_start: int) -> Track:
    data = init_segment(moov, edit_start)
    (folder / INIT).write_bytes(data)
    return read_track(data)


def _open(file: BinaryIO, path: Path) -> _Raw:
    size_bytes = path.stat().st_size
    for kind, start, end in _top_boxes(file, size_bytes):
        if kind == b"moov":
            return _Raw(file, _read(file, start, end), size_bytes)
    raise Mp4Error(f"{path.name} has no moov")


def _top_boxes(file: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    offset = 0
    while offset + 8 <= size_bytes:
        file.seek(offset)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8 or offset + size > size_bytes:
            raise Mp4Error(f"box {kind!r} does not fit")
        yield kind, offset, offset + size
        offset += size


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    if end - start > _MAX_INDEX_BYTES:
        raise Mp4Error(f"an index of {end - start} bytes")
    file.seek(start)
    return file.read(end - start)


def _copy(file: BinaryIO, start: int, size: int, out: BinaryIO) -> None:
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise Mp4Error("media data is cut off")
    out.write(data)
