"""Builds ffmpeg's argument lists: one run for the whole ladder, one for subtitles, one to check the result. Pure.

Every argument is an enum, a number or a path of our own making; nothing a client wrote gets here.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from transcoder.ladder import AUDIO_BPS, AUDIO_RATE_HZ, Plan, Rung, Sprite
from transcoder.source import MAX_SIDE_PX, READ_OPTIONS, Source, VideoTrack

PRESET = "veryfast"
CRF = 23
# Beyond this share of undecodable packets the source counts as damaged and ffmpeg ends with 69.
MAX_ERROR_RATE = 0.1
EXIT_TOO_MANY_ERRORS = 69
POSTER_AT = Fraction(1, 10)
POSTER_LONG_SIDE_PX = 1280

_QUIET = ("-nostdin", "-hide_banner", "-nostats")
_INPUT = {**READ_OPTIONS, "max_pixels": MAX_SIDE_PX * MAX_SIDE_PX}


def video_file(folder: Path, rung: Rung) -> Path:
    """Where the encoder writes a rung, as one fragmented MP4."""
    return folder / f"video-{rung.lines}.mp4"


def audio_file(folder: Path, number: int) -> Path:
    """Where the encoder writes a sound track."""
    return folder / f"audio-{number}.mp4"


def text_file(folder: Path, number: int) -> Path:
    """Where a subtitle track is extracted to, as WebVTT."""
    return folder / f"text-{number}.vtt"


def ladder_argv(exe: Path, path: Path, source: Source, plan: Plan, folder: Path) -> list[str]:
    """One decode, one split, an encoder for each rung and sound track; progress on stdout."""
    # Rebuilding the filters when a frame's size changes would begin the time line anew.
    given = ffmpeg.input(str(path), **_INPUT, **({"reinit_filter:v": 0} if source.video is not None else {}))
    outputs: list[Any] = []
    if source.video is not None and plan.grid is not None:
        outputs += _video_outputs(given, source.video, plan, folder)
    outputs += [
        _audio_output(given[str(track.index)], plan, audio_file(folder, number))
        for number, track in enumerate(source.audio)
    ]
    if source.cover_index is not None:
        cover = given[str(source.cover_index)].filter("scale", *_poster_size())
        outputs.append(_picture(cover, folder / "poster.jpg"))
    return _compile(exe, outputs, "-progress", "pipe:1", "-max_error_rate", str(MAX_ERROR_RATE))


def _video_outputs(given: Any, video: VideoTrack, plan: Plan, folder: Path) -> list[Any]:
    assert plan.grid is not None
    picture = given[str(video.index)]
    if video.is_interlaced:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    # Early: a size that changes in the middle of a film ends here, and everything after has less to do.
    picture = picture.filter("scale", plan.rungs[0].width, plan.rungs[0].height)
    if video.is_hdr:
        picture = _to_sdr(picture)
    # A constant rate on a grid that starts at zero; the last picture stands until the sound ends.
    picture = (
        picture.filter("fps", fps=_ratio(plan.grid.rate), start_time=0)
        .filter("tpad", stop=-1, stop_mode="clone")
        .filter("trim", end_frame=plan.grid.frames)
    )
    branches = picture.filter_multi_output("split", len(plan.rungs))
    return [_rung_output(branches[n], rung, plan, video_file(folder, rung)) for n, rung in enumerate(plan.rungs)]


def _to_sdr(picture: Any) -> Any:
    """PQ or HLG to BT.709: untouched, HDR looks washed out on every other screen."""
    return (
        picture.filter("zscale", t="linear", npl=100)
        .filter("format", "gbrpf32le")
        .filter("zscale", p="bt709")
        .filter("tonemap", tonemap="hable", desat=0)
        .filter("zscale", t="bt709", m="bt709", r="tv")
        .filter("format", "yuv420p")
    )


def _rung_output(branch: Any, rung: Rung, plan: Plan, target: Path) -> Any:
    assert plan.grid is not None
    gop = plan.grid.gop
    scaled = branch.filter("scale", rung.width, rung.height).filter("setsar", 1).filter("format", "yuv420p")
    return ffmpeg.output(
        scaled,
        str(target),
        **{
            "c:v": "libx264",
            "preset": PRESET,
            "crf": CRF,
            "maxrate": rung.max_bps,
            "bufsize": rung.max_bps * 3 // 2,
            "profile:v": rung.profile,
            "g": gop,
            "keyint_min": gop,
            "sc_threshold": 0,
            "flags": "+cgop",
            "forced-idr": 1,
            "force_key_frames": f"expr:eq(mod(n,{gop}),0)",
            "fps_mode": "passthrough",
            "map_metadata": -1,
            "map_chapters": -1,
            "movflags": "+cmaf+frag_keyframe",
            "f": "mp4",
        },
    )


def _audio_output(stream: Any, plan: Plan, target: Path) -> Any:
    sound = (
        stream.filter("aresample", AUDIO_RATE_HZ, **{"async": 1, "first_pts": 0})
        .filter("aformat", sample_fmts="fltp", channel_layouts="stereo")
        .filter("apad")
        .filter("atrim", end_sample=plan.audio_samples)
    )
    return ffmpeg.output(
        sound,
        str(target),
        **{
            "c:a": "aac",
            "b:a": AUDIO_BPS,
            # The encoder's priming frame lies before zero. Players disagree about edit lists, so it is left out.
            "bsf:a": "noise=drop=lt(pts\\,0)",
            "map_metadata": -1,
            "map_chapters": -1,
            "movflags": "+empty_moov+default_base_moof",
            "frag_duration": 4_000_000,
            "f": "mp4",
        },
    )


def stills_argv(exe: Path, plan: Plan, folder: Path) -> list[str]:
    """Poster and thumbnails, from key frames of what was just encoded: minutes less than decoding the source for them.

    A run of its own: ffmpeg reports no progress before each of its outputs has begun, and a sheet begins at the end.
    """
    assert plan.grid is not None
    gop, rate = plan.grid.gop, plan.grid.rate
    at_s = float(plan.grid.frames // gop * POSTER_AT // 1 * gop / rate)
    top = ffmpeg.input(str(video_file(folder, plan.rungs[0])), ss=f"{at_s:.3f}", protocol_whitelist="file")
    outputs = [_picture(top.video.filter("scale", *_poster_size()), folder / "poster.jpg")]
    if plan.sprite is not None:
        low = ffmpeg.input(str(video_file(folder, plan.rungs[-1])), skip_frame="nokey", protocol_whitelist="file")
        outputs.append(_picture(_sheet(low.video, plan.sprite, gop), folder / "sprite.jpg"))
    return _compile(exe, outputs)


def _sheet(key_frames: Any, sprite: Sprite, gop: int) -> Any:
    return (
        key_frames.filter("select", f"not(mod(n,{sprite.every // gop}))")
        .filter("scale", sprite.width, sprite.height)
        .filter("setsar", 1)
        .filter("tile", f"{sprite.columns}x{sprite.rows}")
    )


def _picture(stream: Any, target: Path) -> Any:
    stream = stream.filter("format", "yuvj420p")
    return ffmpeg.output(
        stream, str(target), **{"frames:v": 1, "update": 1, "q:v": 4, "f": "image2", "fps_mode": "passthrough"}
    )


def _poster_size() -> tuple[str, str]:
    most = POSTER_LONG_SIDE_PX
    return (
        f"2*trunc(min(1,min({most}/iw,{most}/ih))*iw/2)",
        f"2*trunc(min(1,min({most}/iw,{most}/ih))*ih/2)",
    )


def text_argv(exe: Path, path: Path, source: Source, folder: Path) -> list[str]:
    """Extracts every embedded text track as WebVTT, on the picture's time line."""
    given = ffmpeg.input(str(path), **_INPUT)
    outputs = [
        ffmpeg.output(given[str(track.index)], str(text_file(folder, number)), **{"c:s": "webvtt", "f": "webvtt"})
        for number, track in enumerate(source.text)
    ]
    return _compile(exe, outputs)


def decode_argv(exe: Path, playlist: Path) -> list[str]:
    """Decodes every rendition of a finished playlist and writes nothing; silence on stderr means it is sound."""
    given = ffmpeg.input(str(playlist), protocol_whitelist="file", format_whitelist="hls,mov,webvtt")
    return _compile(exe, [ffmpeg.output(given, "-", **{"f": "null", "map": "0", "c:s": "copy"})])


def _compile(exe: Path, outputs: list[Any], *options: str) -> list[str]:
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    merged = merged.global_args(*_QUIET, "-loglevel", "level+warning", *options)
    return [str(part) for part in ffmpeg.compile(merged, cmd=str(exe), overwrite_output=True)]


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
