"""Builds the filters and outputs of the pictures: one time line, a picture for each range and size, an encoder a rung. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ffmpeg

from transcoder.codecs import TRANSFERS, encoder_options
from transcoder.colour import decide_missing
from transcoder.ladder import Chunk, Grid, Plan, Rung
from transcoder.luminance import svt_parameters, x265_parameters
from transcoder.scaling import scaled
from transcoder.source import VideoTrack

_HDR_FORMAT = "yuv420p10le"
_SDR_FORMAT = "yuv420p"


def video_file(folder: Path, rung: Rung) -> Path:
    """Where the encoder writes a rung, as one fragmented MP4."""
    return folder / f"video-{rung.name}.mp4"


def video_outputs(
    film: Any,
    video: VideoTrack,
    plan: Plan,
    folder: Path,
    chunk: Chunk,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> list[Any]:
    """Every rung of the plan over the frames of `chunk`; `options` are added to each encoder's."""
    assert plan.grid is not None
    picture = on_the_grid(shaped(film, video, plan.rungs[0]), plan.grid, chunk)
    pictures = _by_range(picture, video, plan)
    return [
        _rung_output(pictures[rung], rung, video, plan.grid.gop, video_file(folder, rung), options)
        for rung in plan.rungs
    ]


def shaped(film: Any, video: VideoTrack, rung: Rung) -> Any:
    """The picture without combing, in the size of `rung`, its colours stated and in the range that every screen knows."""
    picture = film[str(video.index)]
    if video.is_interlaced:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    # Early: a size that changes in the middle of a film ends here, and everything after has less to do.
    if video.is_hdr:
        return picture.filter("scale", rung.width, rung.height)
    missing = decide_missing(video.colour, video.width, video.height)
    if video.colour.is_rgb:
        scaled = picture.filter("scale", rung.width, rung.height, out_color_matrix="bt709", out_range="tv")
        return scaled.filter("format", _SDR_FORMAT).filter("setparams", **missing)
    if missing:
        picture = picture.filter("setparams", **missing)
    # Televisions and their boxes take what is full range for limited, whatever it says.
    return picture.filter("scale", rung.width, rung.height, out_range="tv")


def on_the_grid(picture: Any, grid: Grid, chunk: Chunk) -> Any:
    """A constant rate on a grid that starts at zero, cut to `chunk`; the last picture stands until the sound ends."""
    return (
        picture.filter("fps", fps=_ratio(grid.rate), start_time=_ratio(chunk.first / grid.rate))
        .filter("tpad", stop=-1, stop_mode="clone")
        .filter("trim", end_frame=chunk.frames)
        .filter("setpts", "PTS-STARTPTS")
    )


def to_sdr(picture: Any, video: VideoTrack) -> Any:
    """PQ or HLG to BT.709: untouched, HDR looks washed out on every other screen. Anything else is left as it is."""
    if not video.is_hdr:
        return picture
    return (
        _stated(picture, video)
        .filter("zscale", t="linear", npl=100)
        .filter("format", "gbrpf32le")
        .filter("zscale", p="bt709")
        .filter("tonemap", tonemap="hable", desat=0)
        .filter("zscale", t="bt709", m="bt709", r="tv")
        .filter("format", _SDR_FORMAT)
    )


def _stated(picture: Any, video: VideoTrack) -> Any:
    """Says what a source leaves unsaid: without primaries and a matrix there is no way from one range to another."""
    if video.is_tagged:
        return picture
    transfer = TRANSFERS[video.transfer][1]
    return picture.filter("setparams", color_primaries="bt2020", color_trc=transfer, colorspace="bt2020nc")


def _by_range(picture: Any, video: VideoTrack, plan: Plan) -> dict[Rung, Any]:
    """The picture in the size and range of each rung. The mapping down to SDR is the dearest filter, and is done once for all that want it."""
    kept = [rung for rung in plan.rungs if rung.range != "sdr"]
    mapped = [rung for rung in plan.rungs if rung.range == "sdr"]
    if not kept:
        return scaled(to_sdr(picture, video), mapped, _SDR_FORMAT)
    ways = picture.filter_multi_output("split", 2)
    transfer = TRANSFERS[video.transfer][1]
    high = _stated(ways[1], video).filter("zscale", p="bt2020", t=transfer, m="bt2020nc", r="tv")
    return {**scaled(to_sdr(ways[0], video), mapped, _SDR_FORMAT), **scaled(high, kept, _HDR_FORMAT)}


def _rung_output(
    picture: Any, rung: Rung, video: VideoTrack, gop: int, target: Path, options: Mapping[str, Any]
) -> Any:
    hdr = _hdr_parameters(rung, video)
    encoding = encoder_options(rung.codec, crf=rung.crf, max_bps=rung.max_bps, gop=gop, lines=rung.lines, hdr=hdr)
    return ffmpeg.output(picture, str(target), **{**encoding, **options})


def _hdr_parameters(rung: Rung, video: VideoTrack) -> str | None:
    """HLG carries no absolute luminance: HDR10's metadata and its rate control are PQ's."""
    if rung.range == "sdr":
        return None
    if rung.range == "hlg":
        return ""
    return ":hdr10-opt=1" + x265_parameters(video) if rung.codec == "hevc" else svt_parameters(video)


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
