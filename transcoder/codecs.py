"""The picture codecs of a ladder: what each is worth against H.264, and how its encoder is asked for the common grid. Pure.

Every encoder makes closed groups of the same length, each begun by a picture that needs nothing before it, so that all
renditions can be cut at the same instants and a chunk joins the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Codec = Literal["h264", "hevc", "av1"]
VideoRange = Literal["sdr", "pq", "hlg"]

CODECS: tuple[Codec, ...] = ("h264", "hevc", "av1")
"""In the order of a playlist: what every device plays comes first."""
BASE: Codec = "h264"

# ISO/IEC 23091-2: BT.2020 primaries and non-constant luminance, and the two HDR transfers.
TRANSFERS: MappingProxyType[VideoRange, tuple[int, str]] = MappingProxyType({
    "pq": (16, "smpte2084"),
    "hlg": (18, "arib-std-b67"),
})  # fmt: skip
_RANGE_NAMES = {16: "PQ", 18: "HLG"}


def range_name(transfer: int | None) -> str:
    """VIDEO-RANGE for a picture's transfer characteristics (RFC 8216bis, 4.4.6.2)."""
    return _RANGE_NAMES.get(transfer or 0, "SDR")


@dataclass(frozen=True, slots=True)
class Facts:
    """One codec: its encoder in ffmpeg, its share of H.264's bits for the same picture, and its scale of constant quality."""

    encoder: str
    share: float
    crf: int
    crf_step: float
    """How far its scale moves for one step of x264's."""
    crf_range: tuple[int, int]


# The shares are cautious against published comparisons (about 0.5 to 0.6 and 0.4 to 0.55 at these presets): they bound peaks.
FACTS: MappingProxyType[Codec, Facts] = MappingProxyType({
    "h264": Facts("libx264", 1.0, 23, 1.0, (16, 34)),
    "hevc": Facts("libx265", 0.7, 26, 1.0, (18, 38)),
    "av1": Facts("libsvtav1", 0.6, 35, 1.4, (22, 52)),
})  # fmt: skip
X264_CRF = FACTS[BASE].crf


def sort_codecs(codecs: Sequence[str]) -> tuple[Codec, ...]:
    """The known ones among `codecs` in the order of a playlist, H.264 always among them."""
    return tuple(codec for codec in CODECS if codec == BASE or codec in codecs)


def crf_like(codec: Codec, x264_crf: int) -> int:
    """The quality of `codec` that looks about like x264's `x264_crf`."""
    facts = FACTS[codec]
    least, most = facts.crf_range
    return max(least, min(most, round(facts.crf + (x264_crf - X264_CRF) * facts.crf_step)))


def encoder_options(
    codec: Codec, *, crf: int, max_bps: int, gop: int, lines: int, hdr: str | None = None
) -> dict[str, Any]:
    """ffmpeg's options for one rendition: quality with a ceiling on its peaks, and closed groups of `gop` pictures.

    `hdr`: 10 bit, with these further parameters of the encoder's own; None for SDR.
    """
    options: dict[str, Any] = {
        "c:v": FACTS[codec].encoder,
        "crf": crf,
        "maxrate": max_bps,
        "bufsize": max_bps * 3 // 2,
        "g": gop,
        "fps_mode": "passthrough",
        "map_metadata": -1,
        "map_chapters": -1,
        "movflags": "+cmaf+frag_keyframe",
        "f": "mp4",
    }
    every_gop = {"force_key_frames": f"expr:eq(mod(n,{gop}),0)", "forced-idr": 1, "keyint_min": gop}
    match codec:
        case "h264":
            # Every device of the last decade decodes High; the small ones are for the others.
            profile = "high" if lines > 360 else "main"
            options |= {"preset": "veryfast", "profile:v": profile, "sc_threshold": 0, "flags": "+cgop", **every_gop}
            # Captions within the source's pictures would come out of order, and beside CLOSED-CAPTIONS=NONE.
            options["a53cc"] = 0
        case "hevc":
            # `info=0`: the encoder's settings, its thread count among them, would get into the init segment, and chunks of
            # two machines would no longer share one.
            parameters = f"keyint={gop}:min-keyint={gop}:open-gop=0:scenecut=0:info=0:repeat-headers=0:log-level=error"
            options |= {
                "preset": "fast",
                "profile:v": "main" if hdr is None else "main10",
                "tag:v": "hvc1",
                "x265-params": parameters + (hdr or ""),
                **every_gop,
            }
        case "av1":
            # 2 is a key frame that nothing refers across; SVT has no other way to a group of exactly `gop`.
            options |= {"preset": 8, "svtav1-params": "irefresh-type=2:scd=0" + (hdr or "")}
    return options
