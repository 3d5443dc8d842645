"""Looks into coded pictures: whether an access unit can be decoded without anything before it. Pure: bytes in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterator

from transcoder.boxes import Mp4Error

_AVC_IDR = frozenset({5})
# IDR_W_RADL and IDR_N_LP: a CRA picture may be followed by pictures that need what was before it.
_HEVC_IDR = frozenset({19, 20})
_AVC_PICTURES = frozenset(range(1, 6))
_HEVC_PICTURES = frozenset(range(32))
_AV1_SEQUENCE_HEADER, _AV1_FRAME_HEADER, _AV1_FRAME = 1, 3, 6


def begins_anew(codecs: str, sample: bytes) -> bool:
    """Whether `sample`, one access unit of a stream with this codec string, is an IDR picture. Raises Mp4Error."""
    family = codecs.partition(".")[0]
    if family in ("avc1", "avc3"):
        pictures = [kind for head, _ in _units(sample) if (kind := head & 0x1F) in _AVC_PICTURES]
        return bool(pictures) and all(kind in _AVC_IDR for kind in pictures)
    if family in ("hvc1", "hev1"):
        pictures = [kind for head, _ in _units(sample) if (kind := head >> 1 & 0x3F) in _HEVC_PICTURES]
        return bool(pictures) and all(kind in _HEVC_IDR for kind in pictures)
    if family == "av01":
        return _is_av1_key_frame(sample)
    raise Mp4Error(f"{codecs}: its pictures are not understood")


def _units(sample: bytes) -> Iterator[tuple[int, int]]:
    """First byte and length of every NAL unit; their lengths have four bytes, as our encoders write them."""
    at = 0
    while at < len(sample):
        length = int.from_bytes(sample[at : at + 4], "big")
        if length == 0 or at + 4 + length > len(sample):
            raise Mp4Error("a NAL unit does not fit its sample")
        yield sample[at + 4], length
        at += 4 + length


def _is_av1_key_frame(sample: bytes) -> bool:
    """A sequence header, then a frame whose header says key frame, shown (AV1 5.9.2: show_existing_frame 0, frame_type 0)."""
    at, has_sequence = 0, False
    while at < len(sample):
        head = sample[at]
        kind, at = head >> 3 & 0xF, at + (2 if head & 0x4 else 1)
        if head & 0x2:
            size, at = _leb128(sample, at)
        else:
            size = len(sample) - at
        if at + size > len(sample):
            raise Mp4Error("an OBU does not fit its sample")
        if kind == _AV1_SEQUENCE_HEADER:
            has_sequence = True
        elif kind in (_AV1_FRAME_HEADER, _AV1_FRAME):
            return has_sequence and size > 0 and sample[at] >> 5 == 0
        at += size
    return False


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 56, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise Mp4Error("an OBU's size is cut off")
