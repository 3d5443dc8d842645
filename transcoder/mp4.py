"""Reads ISO BMFF (ISO/IEC 14496-12): boxes, codec strings, fragments. Pure: bytes in, records out.

Raises Mp4Error on anything that is not what our own encoder writes; never reads outside the bytes given.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SYNC_FLAGS = 0x02000000
NON_SYNC_FLAGS = 0x01010000
_NON_SYNC_BIT = 0x00010000
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"edts"})


class Mp4Error(Exception):
    """The bytes are not a readable MP4."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its type, and its payload's place in the bytes it was read from."""

    kind: bytes
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One access unit; `cts` is presentation minus decode time, in the track's timescale."""

    size: int
    duration: int
    cts: int
    is_sync: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """One moof: where it begins on the time line, its samples, and where their bytes begin after the moof's start."""

    decode_time: int
    samples: tuple[Sample, ...]
    data_offset: int

    @property
    def duration(self) -> int:
        """In the track's timescale."""
        return sum(sample.duration for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Track:
    """What an init segment says of its only track."""

    track_id: int
    handler: str
    timescale: int
    codecs: str
    width: int | None
    height: int | None
    edit_start: int
    """media_time of its edit list: the composition time that is shown at zero."""


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes side by side between `start` and `end`."""
    stop = len(data) if end is None else end
    while start < stop:
        if start + 8 > stop:
            raise Mp4Error(f"{stop - start} stray bytes")
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            if start + 16 > stop:
                raise Mp4Error("a large size is cut off")
            size = struct.unpack_from(">Q", data, start + 8)[0]
            body = start + 16
        if size < body - start or start + size > stop:
            raise Mp4Error(f"box {kind!r} does not fit")
        yield Box(kind, start, body, start + size)
        start += size


def find(data: bytes, *path: bytes, within: Box | None = None) -> list[Box]:
    """Every box at a path such as (b"moov", b"trak")."""
    level = list(boxes(data) if within is None else boxes(data, within.body, within.end))
    hits = [box for box in level if box.kind == path[0]]
    if len(path) == 1:
        return hits
    return [deeper for box in hits for deeper in find(data, *path[1:], within=box)]


def one(data: bytes, *path: bytes, within: Box | None = None) -> Box:
    """The only box at a path. Raises Mp4Error when there is none, or more."""
    hits = find(data, *path, within=within)
    if len(hits) != 1:
        raise Mp4Error(f"{len(hits)} boxes at {b'/'.join(path).decode('latin1')}")
    return hits[0]


def read_track(data: bytes) -> Track:
    """The track of an init segment (ftyp and moov)."""
    try:
        return _read_track(data)
    except (struct.error, IndexError) as error:
        raise Mp4Error(f"an init segment is cut off: {error}") from error


def _read_track(data: bytes) -> Track:
    trak = one(data, b"moov", b"trak")
    tkhd = one(data, b"tkhd", within=trak)
    track_id = _u32(data, tkhd.body + (20 if data[tkhd.body] else 12))
    mdhd = one(data, b"mdia", b"mdhd", within=trak)
    timescale = _u32(data, mdhd.body + (20 if data[mdhd.body] else 12))
    hdlr = one(data, b"mdia", b"hdlr", within=trak)
    handler = data[hdlr.body + 8 : hdlr.body + 12].decode("latin1")
    stsd = one(data, b"mdia", b"minf", b"stbl", b"stsd", within=trak)
    entry = next(boxes(data, stsd.body + 8, stsd.end))
    size: tuple[int | None, int | None] = (None, None)
    if handler == "vide":
        size = struct.unpack_from(">HH", data, entry.body + 24)
    if timescale == 0:
        raise Mp4Error("the timescale is zero")
    edits = find(data, b"edts", b"elst", within=trak)
    return Track(track_id, handler, timescale, _codecs(data, entry), *size, _edit_start(data, edits[0]) if edits else 0)


def _edit_start(data: bytes, elst: Box) -> int:
    version, count = data[elst.body], _u32(data, elst.body + 4)
    if count != 1:
        raise Mp4Error(f"an edit list of {count}")
    form, skip = (">q", 16) if version else (">i", 12)
    return int(struct.unpack_from(form, data, elst.body + skip)[0])


def _codecs(data: bytes, entry: Box) -> str:
    name = entry.kind.decode("latin1")
    if name in ("avc1", "avc3", "hvc1", "hev1"):
        children = {box.kind: box for box in boxes(data, entry.body + 78, entry.end)}
        if b"avcC" in children:
            at = children[b"avcC"].body
            return f"{name}.{data[at + 1]:02x}{data[at + 2]:02x}{data[at + 3]:02x}"
        if b"hvcC" in children:
            return f"{name}.{_hevc_suffix(data[children[b'hvcC'].body : children[b'hvcC'].end])}"
    elif name == "mp4a":
        children = {box.kind: box for box in boxes(data, entry.body + 28, entry.end)}
        if b"esds" in children:
            return _audio_codec(data[children[b"esds"].body + 4 : children[b"esds"].end])
    raise Mp4Error(f"sample entry {name} is not understood")


def _hevc_suffix(record: bytes) -> str:
    """ISO/IEC 14496-15 annex E: profile, compatibility (bits reversed), tier and level, constraint bytes."""
    space = ("", "A", "B", "C")[record[1] >> 6]
    compatibility = int(f"{_u32(record, 2):032b}"[::-1], 2)
    tier = "H" if record[1] & 0x20 else "L"
    constraints = record[6:12].rstrip(b"\0")
    return ".".join(
        [f"{space}{record[1] & 0x1F}", f"{compatibility:x}", f"{tier}{record[12]}", *(f"{b:x}" for b in constraints)]
    )


def _audio_codec(descriptor: bytes) -> str:
    """`mp4a.40.<object type>` from the elementary stream descriptor (ISO/IEC 14496-1, 7.2.6.5)."""
    tag, at, _ = _descriptor(descriptor, 0)
    if tag != 3:
        raise Mp4Error("no elementary stream descriptor")
    flags = descriptor[at + 2]
    at += 3 + (2 if flags & 0x80 else 0) + (descriptor[at + 3] + 1 if flags & 0x40 else 0) + (2 if flags & 0x20 else 0)
    tag, at, end = _descriptor(descriptor, at)
    if tag != 4:
        raise Mp4Error("no decoder configuration")
    object_type = descriptor[at]
    if object_type != 0x40:
        return f"mp4a.{object_type:x}"
    tag, at, end = _descriptor(descriptor, at + 13)
    if tag != 5 or at + 2 > end:
        raise Mp4Error("no audio configuration")
    audio_type = descriptor[at] >> 3
    if audio_type == 31:
        audio_type = 32 + ((descriptor[at] & 7) << 3 | descriptor[at + 1] >> 5)
    return f"mp4a.40.{audio_type}"


def _descriptor(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, body start and end of the descriptor at `at`; its length has seven bits a byte."""
    tag, length = data[at], 0
    for _ in range(4):
        at += 1
        length = length << 7 | data[at] & 0x7F
        if not data[at] & 0x80:
            break
    return tag, at + 1, at + 1 + length


def read_fragment(moof: bytes, trex_flags: int = SYNC_FLAGS) -> Fragment:
    """The samples of one moof with one traf and one trun, addressed from the moof."""
    try:
        return _read_fragment(moof, trex_flags)
    except (struct.error, IndexError) as error:
        raise Mp4Error(f"a fragment is cut off: {error}") from error


def _read_fragment(moof: bytes, trex_flags: int) -> Fragment:
    traf = one(moof, b"moof", b"traf")
    tfhd, tfdt, trun = (one(moof, kind, within=traf) for kind in (b"tfhd", b"tfdt", b"trun"))
    default_duration, default_size, default_flags = _read_tfhd(moof, tfhd, trex_flags)
    decode_time = struct.unpack_from(">Q" if moof[tfdt.body] else ">I", moof, tfdt.body + 4)[0]
    version, flags = moof[trun.body], _u32(moof, trun.body) & 0xFFFFFF
    count, at = _u32(moof, trun.body + 4), trun.body + 8
    if not flags & 0x1:
        raise Mp4Error("a run without a data offset")
    data_offset = struct.unpack_from(">i", moof, at)[0]
    at += 4
    first_flags = None
    if flags & 0x4:
        first_flags = _u32(moof, at)
        at += 4
    width = 4 * ((flags >> 8) & 0xF).bit_count()
    if at + count * width > trun.end:
        raise Mp4Error("a run is cut off")
    samples = []
    for number in range(count):
        duration, size, sample_flags, cts = default_duration, default_size, default_flags, 0
        if flags & 0x100:
            duration, at = _u32(moof, at), at + 4
        if flags & 0x200:
            size, at = _u32(moof, at), at + 4
        if flags & 0x400:
            sample_flags, at = _u32(moof, at), at + 4
        elif number == 0 and first_flags is not None:
            sample_flags = first_flags
        if flags & 0x800:
            cts, at = struct.unpack_from(">i" if version else ">I", moof, at)[0], at + 4
        samples.append(Sample(size, duration, cts, not sample_flags & _NON_SYNC_BIT))
    return Fragment(decode_time, tuple(samples), data_offset)


def _read_tfhd(moof: bytes, tfhd: Box, trex_flags: int) -> tuple[int, int, int]:
    flags, at = _u32(moof, tfhd.body) & 0xFFFFFF, tfhd.body + 8
    if flags & 0x1:
        raise Mp4Error("absolute addressing")
    values = [0, 0, trex_flags]
    at += 4 if flags & 0x2 else 0
    for place, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            values[place] = _u32(moof, at)
            at += 4
    return values[0], values[1], values[2]


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])
