"""Reads what a sample entry says of its codec: the CODECS string (RFC 6381) and the colours. Pure: bytes in, text out."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from transcoder.boxes import Box, Mp4Error, boxes, read_u32
from transcoder.codecs import TRANSFERS

# The fixed fields of a VisualSampleEntry and an AudioSampleEntry (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
_VISUAL_BYTES = 78
_AUDIO_BYTES = 28
_HDR_TRANSFERS = frozenset(number for number, _ in TRANSFERS.values())


@dataclass(frozen=True, slots=True)
class Colours:
    """An `nclx` colour box, in the numbers of ISO/IEC 23091-2."""

    primaries: int
    transfer: int
    matrix: int
    is_full_range: bool


def read_colours(data: bytes, entry: Box) -> Colours | None:
    """What a picture's sample entry states of its colours, or None when it does not."""
    for box in boxes(data, entry.body + _VISUAL_BYTES, entry.end):
        if box.kind == b"colr" and data[box.body : box.body + 4] == b"nclx":
            primaries, transfer, matrix, flags = struct.unpack_from(">HHHB", data, box.body + 4)
            return Colours(primaries, transfer, matrix, bool(flags & 0x80))
    return None


def codec_string(data: bytes, entry: Box) -> str:
    """The CODECS string of a sample entry. Raises Mp4Error for a codec that we do not make."""
    name = entry.kind.decode("latin1")
    if name in ("avc1", "avc3", "hvc1", "hev1", "av01"):
        children = {box.kind: box for box in boxes(data, entry.body + _VISUAL_BYTES, entry.end)}
        if b"avcC" in children:
            at = children[b"avcC"].body
            return f"{name}.{data[at + 1]:02x}{data[at + 2]:02x}{data[at + 3]:02x}"
        if b"hvcC" in children:
            return f"{name}.{_hevc_suffix(data[children[b'hvcC'].body : children[b'hvcC'].end])}"
        if b"av1C" in children:
            return (
                f"{name}.{_av1_suffix(data[children[b'av1C'].body : children[b'av1C'].end], read_colours(data, entry))}"
            )
    elif name == "mp4a":
        children = {box.kind: box for box in boxes(data, entry.body + _AUDIO_BYTES, entry.end)}
        if b"esds" in children:
            return _audio_codec(data[children[b"esds"].body + 4 : children[b"esds"].end])
    raise Mp4Error(f"sample entry {name} is not understood")


def _hevc_suffix(record: bytes) -> str:
    """ISO/IEC 14496-15 annex E: profile, compatibility (bits reversed), tier and level, constraint bytes."""
    space = ("", "A", "B", "C")[record[1] >> 6]
    compatibility = int(f"{read_u32(record, 2):032b}"[::-1], 2)
    tier = "H" if record[1] & 0x20 else "L"
    constraints = record[6:12].rstrip(b"\0")
    return ".".join(
        [f"{space}{record[1] & 0x1F}", f"{compatibility:x}", f"{tier}{record[12]}", *(f"{b:x}" for b in constraints)]
    )


def _av1_suffix(record: bytes, colours: Colours | None) -> str:
    """AV1 in ISOBMFF, section 5: profile, level and tier, bit depth; for HDR the colours too, which are all or none."""
    profile, level = record[1] >> 5, record[1] & 0x1F
    tier = "H" if record[2] & 0x80 else "M"
    is_high, is_twelve = bool(record[2] & 0x40), bool(record[2] & 0x20)
    depth = 12 if is_high and is_twelve else 10 if is_high else 8
    short = f"{profile}.{level:02}{tier}.{depth:02}"
    if colours is None or colours.transfer not in _HDR_TRANSFERS:
        return short
    mono, subsampling = record[2] >> 4 & 1, f"{record[2] >> 3 & 1}{record[2] >> 2 & 1}{record[2] & 3}"
    shown = f"{colours.primaries:02}.{colours.transfer:02}.{colours.matrix:02}.{int(colours.is_full_range)}"
    return f"{short}.{mono}.{subsampling}.{shown}"


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
