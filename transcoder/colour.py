"""Decides what a picture's colours are said to be where its source says nothing of them. Pure.

A rendition that leaves them unsaid is shown by its size: players take BT.709 for high definition and BT.601 for less, so
the colours of one film would change from rung to rung.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

UNSTATED = frozenset({0, 2, 3})
"""ISO/IEC 23091-2: reserved, unspecified."""

Family = Literal["bt709", "bt470bg", "smpte170m", "bt2020"]

_PAL_LINES, _NTSC_LINES = 576, (480, 486)
_HD_WIDTH_PX = 1280
_OF_MATRIX: MappingProxyType[int, Family] = MappingProxyType({
    1: "bt709", 4: "smpte170m", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 10: "bt2020",
})  # fmt: skip


class Colour(msgspec.Struct, frozen=True):
    """What a source says of its colours, in code points of ISO/IEC 23091-2, and whether it stores red, green and blue."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    is_rgb: bool = False


def decide_family(colour: Colour, width: int, height: int) -> Family:
    """Whose colours a picture of that stored size has: as its matrix says, else as its size does; RGB becomes BT.709."""
    if colour.is_rgb:
        return "bt709"
    if colour.matrix not in UNSTATED:
        return _OF_MATRIX.get(colour.matrix, "bt709")
    if width >= _HD_WIDTH_PX or height > _PAL_LINES:
        return "bt709"
    return "bt470bg" if height == _PAL_LINES else "smpte170m"


def decide_missing(colour: Colour, width: int, height: int) -> Mapping[str, str]:
    """Options of `setparams` for what the source does not say; what it says stays. RGB is given the matrix that it becomes."""
    family = decide_family(colour, width, height)
    missing: dict[str, str] = {}
    if colour.is_rgb or colour.matrix in UNSTATED:
        missing["colorspace"] = "bt2020nc" if family == "bt2020" else family
    if colour.primaries in UNSTATED:
        # A small picture that never was television was made on a computer's screen.
        is_television = colour.matrix not in UNSTATED or height in (_PAL_LINES, *_NTSC_LINES)
        missing["color_primaries"] = family if is_television else "bt709"
    if colour.transfer in UNSTATED:
        # One curve in BT.601, BT.709 and BT.2020 alike.
        missing["color_trc"] = "bt709"
    return missing
