"""Decides from a file's first bytes and top-level boxes whether it can be media at all, before any decoder sees it."""

from __future__ import annotations

import struct
from typing import BinaryIO

from core import errors
from core.errors import Refusal

HEAD_BYTES = 1024
MAX_TOP_BOXES = 200_000

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
_DISGUISES = (
    (b"#extm3u", "an HLS playlist"),
    (b"ffconcat", "a list of files"),
    (b"[playlist]", "a playlist"),
    (b"<svg", "an SVG picture"),
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a streaming manifest"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<asx", "a playlist"),
    (b"<smil", "a playlist"),
    (b"<?xml", "an XML document"),
    (b"rtsptext", "a redirection"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "an archive"),
    (b"v=0\r", "a session description"),
    (b"v=0\n", "a session description"),
)


def check_head(head: bytes, size_bytes: int) -> Refusal | None:
    """Refuses an empty file, and a text document that a demuxer would follow to other files."""
    if size_bytes == 0:
        return Refusal(errors.EMPTY_FILE)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, what in _DISGUISES:
        if text.startswith(mark):
            return Refusal(errors.PLAYLIST_IN_DISGUISE, f"The file is {what}, not a video or audio file.")
    if not head.strip(b"\0"):
        return Refusal(errors.NOT_MEDIA, "The file begins with nothing but zeros.")
    return None


def check_length(file: BinaryIO, size_bytes: int) -> Refusal | None:
    """Refuses a file that ends before its own outermost structure says it does."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _check_ebml(head, size_bytes)
    if head[:4] == b"RIFF":
        stated = int.from_bytes(head[4:8], "little") + 8
        # Writers that could not seek back leave zero or all ones.
        return _cut_off(stated - size_bytes) if 8 < stated < 0xFFFFFF00 and stated > size_bytes + 1 else None
    if head.startswith(_ASF):
        return _check_asf(head, size_bytes)
    if head.startswith(_W64):
        (stated,) = struct.unpack_from("<q", head.ljust(24, b"\0"), len(_W64))
        return _cut_off(stated - size_bytes) if stated > size_bytes else None
    if head[:4] == b"caff":
        return _check_caf(file, size_bytes)
    return check_boxes(file, size_bytes)


def _check_asf(head: bytes, size_bytes: int) -> Refusal | None:
    """The file properties state the file's own size, but for a broadcast's (ASF specification, 3.2)."""
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or at + 92 > len(head):
        return None
    (stated,), (flags,) = struct.unpack_from("<Q", head, at + 40), struct.unpack_from("<I", head, at + 88)
    return _cut_off(stated - size_bytes) if not flags & 1 and size_bytes < stated < 1 << 62 else None


def _check_caf(file: BinaryIO, size_bytes: int) -> Refusal | None:
    """Chunks that state their sizes, but for sound that is being recorded (CAF specification, Audio Data chunk)."""
    offset = 8
    for _ in range(MAX_TOP_BOXES):
        file.seek(offset)
        header = file.read(12)
        if len(header) < 12:
            break
        size = int.from_bytes(header[4:], "big", signed=True)
        if size < 0:
            break
        offset += 12 + size
    # What was written last may be short of its padding.
    return _cut_off(offset - size_bytes) if offset > size_bytes + 1 else None


def _cut_off(missing_bytes: int) -> Refusal:
    return Refusal(
        errors.TRUNCATED_MEDIA, f"The file is cut off: at least {missing_bytes} bytes are missing at its end."
    )


def _check_ebml(head: bytes, size_bytes: int) -> Refusal | None:
    header_size, offset = _vint(head, 4)
    if header_size is None or offset + header_size + 4 >= len(head):
        return None
    offset += header_size
    if head[offset : offset + 4] != b"\x18\x53\x80\x67":
        return None
    segment_size, offset = _vint(head, offset + 4)
    if segment_size is None or offset + segment_size <= size_bytes:
        return None  # unknown size: a live recording, which may end anywhere
    return _cut_off(offset + segment_size - size_bytes)


def _vint(data: bytes, offset: int) -> tuple[int | None, int]:
    """An EBML size at `offset` (None: unknown) and where it ends."""
    first = data[offset] if offset < len(data) else 0
    length = 9 - first.bit_length()
    if first == 0 or offset + length > len(data):
        return None, offset
    bits = 7 * length
    value = int.from_bytes(data[offset : offset + length], "big") & ((1 << bits) - 1)
    return (None if value == (1 << bits) - 1 else value), offset + length


def check_boxes(file: BinaryIO, size_bytes: int) -> Refusal | None:
    """Refuses an MP4 or MOV whose index (`moov`) is missing or whose last box ends beyond the file."""
    offset, seen = 0, set[bytes]()
    for _ in range(MAX_TOP_BOXES):
        if offset + 8 > size_bytes:
            break
        file.seek(offset)
        header = file.read(16)
        if len(header) < 8:
            break  # shorter than it was when it was measured
        size, kind = struct.unpack(">I4s", header[:8])
        if offset == 0 and kind != b"ftyp":
            return None  # another container, or an old QuickTime file: the demuxer's business
        seen.add(kind)
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:16])[0]
        elif size == 0:
            size = size_bytes - offset
        if size < 8:
            return Refusal(errors.NOT_MEDIA, "The file's structure is broken.")
        if offset + size > size_bytes:
            return _cut_off(offset + size - size_bytes)
        offset += size
    if b"ftyp" in seen and b"moov" not in seen:
        return Refusal(errors.TRUNCATED_MEDIA, "The file is cut off: its index (moov) is missing.")
    return None
