"""Writes CMAF: init segments and fragments whose time line starts at zero. Pure: records in, bytes out."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from transcoder.boxes import Box, boxes, one
from transcoder.mp4 import NON_SYNC_FLAGS, SYNC_FLAGS, Sample

STYP = struct.pack(">I4s4sI4s4s", 24, b"styp", b"msdh", 0, b"msdh", b"cmfs")
_FTYP = struct.pack(">I4s4sI4s4s4s", 28, b"ftyp", b"iso6", 0, b"iso6", b"cmfc", b"mp41")
_DROPPED = frozenset({b"udta", b"edts", b"mehd"})
_REBUILT = frozenset({b"moov", b"trak", b"mvex"})


def init_segment(moov: bytes, edit_start: int) -> bytes:
    """ftyp and moov, without user data; `edit_start` is the composition time that is to be shown at zero.

    An offset edit list (CMAF 7.5.13) rather than negative composition offsets: ffmpeg shifts the latter, so players
    built on it would show the picture two frames late against the sound.
    """
    return _FTYP + _rebuild(moov, one(moov, b"moov"), edit_start)


def _rebuild(data: bytes, box: Box, edit_start: int) -> bytes:
    parts = []
    for child in boxes(data, box.body, box.end):
        if child.kind in _DROPPED:
            continue
        parts.append(_rebuild(data, child, edit_start) if child.kind in _REBUILT else data[child.start : child.end])
        if child.kind == b"tkhd" and edit_start:
            elst = _box(b"elst", struct.pack(">IIIiHH", 0, 1, 0, edit_start, 1, 0))
            parts.append(_box(b"edts", elst))
    return _box(box.kind, b"".join(parts))


def fragment_head(sequence: int, track_id: int, decode_time: int, samples: Sequence[Sample], cts_shift: int) -> bytes:
    """moof and the head of its mdat; the samples' bytes follow. `cts_shift` makes every composition offset positive.

    Only the first sample may be a sync sample that others depend on; in sound, all are.
    """
    all_sync = all(sample.is_sync for sample in samples)
    has_cts = any(sample.cts + cts_shift for sample in samples)
    even = len({sample.duration for sample in samples}) == 1
    flags = 0x1 | 0x200 | (0 if even else 0x100) | (0x800 if has_cts else 0) | (0 if all_sync else 0x4)
    rows = b"".join(
        (b"" if even else struct.pack(">I", sample.duration))
        + struct.pack(">I", sample.size)
        + (struct.pack(">I", sample.cts + cts_shift) if has_cts else b"")
        for sample in samples
    )
    first = b"" if all_sync else struct.pack(">I", SYNC_FLAGS if samples[0].is_sync else NON_SYNC_FLAGS)
    tfhd_flags = 0x020000 | 0x20 | (0x8 if even else 0)
    tfhd = struct.pack(">II", tfhd_flags, track_id)
    tfhd += struct.pack(">I", samples[0].duration) if even else b""
    tfhd += struct.pack(">I", SYNC_FLAGS if all_sync else NON_SYNC_FLAGS)
    tfdt = struct.pack(">IQ", 0x01000000, decode_time)
    head = b""
    for data_offset in (0, None):
        # The offset's own value does not change the moof's length: measure first, then write.
        offset = len(head) + 8 if data_offset is None else data_offset
        trun = struct.pack(">IIi", flags, len(samples), offset) + first + rows
        traf = _box(b"traf", _box(b"tfhd", tfhd) + _box(b"tfdt", tfdt) + _box(b"trun", trun))
        head = _box(b"moof", _box(b"mfhd", struct.pack(">II", 0, sequence)) + traf)
    size = sum(sample.size for sample in samples)
    return head + struct.pack(">I4s", size + 8, b"mdat")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body
