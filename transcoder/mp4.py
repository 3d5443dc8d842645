"""Reads the tracks and fragments of ISO BMFF (ISO/IEC 14496-12). Pure: bytes in, records out.

Raises Mp4Error on anything that is not what our own encoder writes; never reads outside the bytes given.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from transcoder.boxes import Box, Mp4Error, boxes, find, one, read_u32
from transcoder.sample_entry import codec_string, read_colours

SYNC_FLAGS = 0x02000000
NON_SYNC_FLAGS = 0x01010000
_NON_SYNC_BIT = 0x00010000


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
    transfer: int | None = None
    """Its picture's transfer characteristics (ISO/IEC 23091-2), where the sample entry states them."""


def read_track(data: bytes) -> Track:
    """The track of an init segment (ftyp and moov)."""
    try:
        return _read_track(data)
    except (struct.error, IndexError) as error:
        raise Mp4Error(f"an init segment is cut off: {error}") from error


def _read_track(data: bytes) -> Track:
    trak = one(data, b"moov", b"trak")
    tkhd = one(data, b"tkhd", within=trak)
    track_id = read_u32(data, tkhd.body + (20 if data[tkhd.body] else 12))
    mdhd = one(data, b"mdia", b"mdhd", within=trak)
    timescale = read_u32(data, mdhd.body + (20 if data[mdhd.body] else 12))
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
    start = _edit_start(data, edits[0]) if edits else 0
    colours = read_colours(data, entry) if handler == "vide" else None
    transfer = colours.transfer if colours else None
    return Track(track_id, handler, timescale, codec_string(data, entry), *size, start, transfer)


def _edit_start(data: bytes, elst: Box) -> int:
    version, count = data[elst.body], read_u32(data, elst.body + 4)
    if count != 1:
        raise Mp4Error(f"an edit list of {count}")
    form, skip = (">q", 16) if version else (">i", 12)
    return int(struct.unpack_from(form, data, elst.body + skip)[0])


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
    version, flags = moof[trun.body], read_u32(moof, trun.body) & 0xFFFFFF
    count, at = read_u32(moof, trun.body + 4), trun.body + 8
    if not flags & 0x1:
        raise Mp4Error("a run without a data offset")
    data_offset = struct.unpack_from(">i", moof, at)[0]
    at += 4
    first_flags = None
    if flags & 0x4:
        first_flags = read_u32(moof, at)
        at += 4
    width = 4 * ((flags >> 8) & 0xF).bit_count()
    if at + count * width > trun.end:
        raise Mp4Error("a run is cut off")
    samples = []
    for number in range(count):
        duration, size, sample_flags, cts = default_duration, default_size, default_flags, 0
        if flags & 0x100:
            duration, at = read_u32(moof, at), at + 4
        if flags & 0x200:
            size, at = read_u32(moof, at), at + 4
        if flags & 0x400:
            sample_flags, at = read_u32(moof, at), at + 4
        elif number == 0 and first_flags is not None:
            sample_flags = first_flags
        if flags & 0x800:
            cts, at = struct.unpack_from(">i" if version else ">I", moof, at)[0], at + 4
        samples.append(Sample(size, duration, cts, not sample_flags & _NON_SYNC_BIT))
    return Fragment(decode_time, tuple(samples), data_offset)


def _read_tfhd(moof: bytes, tfhd: Box, trex_flags: int) -> tuple[int, int, int]:
    flags, at = read_u32(moof, tfhd.body) & 0xFFFFFF, tfhd.body + 8
    if flags & 0x1:
        raise Mp4Error("absolute addressing")
    values = [0, 0, trex_flags]
    at += 4 if flags & 0x2 else 0
    for place, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            values[place] = read_u32(moof, at)
            at += 4
    return values[0], values[1], values[2]
