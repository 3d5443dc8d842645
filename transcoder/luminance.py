"""HDR10's static metadata: read from what a decoder says of a frame, written as the encoders want it. Pure.

Given to each encoder by hand: ffmpeg passes a frame's metadata on to the first of a filter graph's outputs only.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from transcoder.source import LightLevel, Mastering, VideoTrack

# FFmpeg's AVMasteringDisplayMetadata: ten fractions (R, G, B, white point, least and most luminance), then two flags.
_MASTERING = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")
_CHROMATICITY, _LUMINANCE = 50_000, 10_000
_MOST_LUMINANCE = 10_000 * _LUMINANCE


def read_mastering(raw: bytes | None) -> Mastering | None:
    """A frame's mastering display; None when it is not stated, or states what no screen is."""
    if raw is None or len(raw) < _MASTERING.size:
        return None
    *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(raw)
    if not (has_primaries and has_luminance):
        return None
    if any(den <= 0 for den in numbers[1::2]):
        return None
    values = [Fraction(num, den) for num, den in zip(numbers[::2], numbers[1::2], strict=True)]
    points = [round(value * _CHROMATICITY) for value in values[:8]]
    least, most = (round(value * _LUMINANCE) for value in values[8:])
    if not all(0 <= point <= _CHROMATICITY for point in points) or not 0 <= least < most <= _MOST_LUMINANCE:
        return None
    red, green, blue, white = zip(points[::2], points[1::2], strict=True)
    return Mastering(red, green, blue, white, most, least)


def read_light(raw: bytes | None) -> LightLevel | None:
    """A frame's content light level; None when it is not stated, or beyond what its 16 bits hold."""
    if raw is None or len(raw) < _LIGHT.size:
        return None
    pixel, picture = _LIGHT.unpack_from(raw)
    return LightLevel(pixel, picture) if 0 < pixel <= 0xFFFF and picture <= 0xFFFF else None


def x265_parameters(video: VideoTrack) -> str:
    """Further `x265-params`, each with a colon before it."""
    text = ""
    if (m := video.mastering) is not None:
        places = f"G({_pair(m.green)})B({_pair(m.blue)})R({_pair(m.red)})WP({_pair(m.white)})L({m.most},{m.least})"
        text += f":master-display={places}"
    if video.light is not None:
        text += f":max-cll={video.light.pixel},{video.light.picture}"
    return text


def svt_parameters(video: VideoTrack) -> str:
    """Further `svtav1-params`, each with a colon before it; SVT wants them in their own units."""
    text = ""
    if (m := video.mastering) is not None:
        green, blue, red, white = (_plain(point) for point in (m.green, m.blue, m.red, m.white))
        light = f"{m.most / _LUMINANCE:.4f},{m.least / _LUMINANCE:.4f}"
        text += f":mastering-display=G({green})B({blue})R({red})WP({white})L({light})"
    if video.light is not None:
        text += f":content-light={video.light.pixel},{video.light.picture}"
    return text


def _pair(point: tuple[int, int]) -> str:
    return f"{point[0]},{point[1]}"


def _plain(point: tuple[int, int]) -> str:
    return f"{point[0] / _CHROMATICITY:.5f},{point[1] / _CHROMATICITY:.5f}"
