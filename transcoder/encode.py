"""Builds ffmpeg's argument lists: pictures whole or a chunk of them, sounds, subtitles, stills, checks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ffmpeg

from transcoder.argv import compile_argv, given
from transcoder.encode_picture import video_file, video_outputs
from transcoder.encode_sound import sound_options, sound_outputs
from transcoder.ladder import Chunk, Plan, Rung, Sprite
from transcoder.source import Source

# Beyond this share of undecodable packets the source counts as damaged and ffmpeg ends with 69.
MAX_ERROR_RATE = 0.1
EXIT_TOO_MANY_ERRORS = 69
_ENCODING = ("-progress", "pipe:1", "-max_error_rate", str(MAX_ERROR_RATE))
POSTER_AT = Fraction(1, 10)
POSTER_LONG_SIDE_PX = 1280
# An index may name a key frame that is shown a little after it is decoded.
_OURS = {"protocol_whitelist": "file", "format_whitelist": "hls,mov,webvtt"}
# JFIF knows one matrix and one range, and says neither.
_JPEG = {"out_color_matrix": "bt601", "out_range": "pc"}
PREVIEW_FRAG_US = 1_000_000
SEEK_MARGIN_S = Fraction(1)


def text_file(folder: Path, number: int) -> Path:
    """Where a subtitle track is extracted to, as WebVTT."""
    return folder / f"text-{number}.vtt"


def pictures_argv(exe: Path, path: Path, source: Source, plan: Plan, folder: Path) -> list[str]:
    """The ladder's pictures: one decode, one split, an encoder for each rung; progress on stdout."""
    assert source.video is not None
    assert plan.grid is not None
    # Rebuilding the filters when a frame's size changes would begin the time line anew.
    film = given(path, **{"reinit_filter:v": 0})
    outputs = video_outputs(film, source.video, plan, folder, Chunk(0, plan.grid.frames))
    return compile_argv(exe, outputs, *_ENCODING)


def sounds_argv(
    exe: Path,
    path: Path,
    source: Source,
    plan: Plan,
    folder: Path,
    gains_db: Sequence[float],
    even: Mapping[int, Path] = MappingProxyType({}),
) -> list[str]:
    """Every sound of the plan, with the cover of what has no picture; progress on stdout.

    `gains_db`: one for each sound; `even`: by their numbers, those that were made even.
    """
    film = given(path, **sound_options(source))
    outputs = sound_outputs(film, plan, source, folder, gains_db, even=even)
    if source.cover_index is not None:
        cover = film[str(source.cover_index)].filter("scale", *_poster_size(), **_JPEG)
        outputs.append(_picture(cover, folder / "poster.jpg"))
    return compile_argv(exe, outputs, *_ENCODING)


def chunk_argv(exe: Path, path: Path, source: Source, plan: Plan, folder: Path, chunk: Chunk) -> list[str]:
    """The ladder's pictures of one chunk, frame for frame those that a run over the whole film would make.

    The source keeps its own time stamps, so that the grid falls on them as it does in a whole run; reading begins at the key
    frame before the chunk, and `fps` drops what comes before its first frame.
    """
    assert source.video is not None
    assert plan.grid is not None
    film = given(path, **seek_options(chunk.first / plan.grid.rate))
    outputs = video_outputs(film, source.video, plan, folder, chunk)
    own_time = ("-copyts", "-start_at_zero")
    return compile_argv(exe, outputs, *_ENCODING, *own_time)


def seek_options(first_s: Fraction) -> dict[str, Any]:
    """Input options to read from the key frame before `first_s`.

    No `t`: it would count from that key frame, and so end a chunk early. The last `trim` ends the run.
    """
    begin_s = max(Fraction(0), first_s - SEEK_MARGIN_S)
    options: dict[str, Any] = {"reinit_filter:v": 0}
    if begin_s > 0:
        options |= {"ss": f"{float(begin_s):.6f}", "noaccurate_seek": None}
    return options


def preview_argv(exe: Path, path: Path, source: Source, plan: Plan, folder: Path, *, is_copy: bool) -> list[str]:
    """The plan's one rung, or the source's own picture as it is, and the first sound; each packet is in the file at once."""
    assert source.video is not None
    assert plan.grid is not None
    film = given(path, **({} if is_copy else {"reinit_filter:v": 0}))
    if is_copy:
        target = str(video_file(folder, plan.rungs[0]))
        options = {"c:v": "copy", "map_metadata": -1, "map_chapters": -1, "movflags": "+cmaf+frag_keyframe", "f": "mp4"}
        outputs = [ffmpeg.output(film[str(source.video.index)], target, flush_packets=1, **options)]
    else:
        # Without B-frames the first segment is whole as soon as the next begins.
        options = {"bf": 0, "flush_packets": 1}
        outputs = video_outputs(film, source.video, plan, folder, Chunk(0, plan.grid.frames), options)
    outputs += sound_outputs(film, plan, source, folder, (0.0,) * len(plan.sounds), frag_us=PREVIEW_FRAG_US)
    return compile_argv(exe, outputs, *_ENCODING)


def stills_argv(exe: Path, plan: Plan, out: Path, folder: Path) -> list[str]:
    """Poster and thumbnails into `folder`, from key frames of the packaged generation `out`: minutes less than from the source.

    A run of its own: ffmpeg reports no progress before each of its outputs has begun, and a sheet begins at the end.
    """
    assert plan.grid is not None
    gop, rate = plan.grid.gop, plan.grid.rate
    at_s = float(plan.grid.frames // gop * POSTER_AT // 1 * gop / rate)
    # A key frame: what comes before it in its segment need not be decoded.
    top = ffmpeg.input(str(_packaged(out, plan.base[0])), ss=f"{at_s:.3f}", skip_frame="nokey", **_OURS)
    outputs = [_picture(top.video.filter("scale", *_poster_size(), **_JPEG), folder / "poster.jpg")]
    if plan.sprite is not None:
        low = ffmpeg.input(str(_packaged(out, plan.rungs[-1])), skip_frame="nokey", **_OURS)
        outputs.append(_picture(_sheet(low.video, plan.sprite, gop), folder / "sprite.jpg"))
    return compile_argv(exe, outputs)


def _packaged(out: Path, rung: Rung) -> Path:
    return out / f"video/{rung.name}/playlist.m3u8"


def _sheet(key_frames: Any, sprite: Sprite, gop: int) -> Any:
    return (
        key_frames.filter("select", f"not(mod(n,{sprite.every // gop}))")
        .filter("scale", sprite.width, sprite.height, **_JPEG)
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
    film = given(path)
    outputs = [
        ffmpeg.output(film[str(track.index)], str(text_file(folder, number)), **{"c:s": "webvtt", "f": "webvtt"})
        for number, track in enumerate(source.text)
    ]
    return compile_argv(exe, outputs)


def decode_argv(exe: Path, playlist: Path, most_s: float | None = None) -> list[str]:
    """Decodes every rendition of a finished playlist, or the first `most_s` seconds, and writes nothing; silence means it is sound."""
    # An encrypted generation's key lies beside it for as long as this takes; its name is not a common one.
    options = {**_OURS, "protocol_whitelist": "file,crypto", "allowed_extensions": "ALL"}
    if most_s is not None:
        options["t"] = f"{most_s:.3f}"
    film = ffmpeg.input(str(playlist), **options)
    return compile_argv(exe, [ffmpeg.output(film, "-", **{"f": "null", "map": "0", "c:s": "copy"})])


def pipe_argv(exe: Path, threads: int, *, is_video: bool) -> list[str]:
    """Decodes one file of the encoder's from stdin and writes nothing; silence means it is sound.

    Without the loop filter, a seventh of the work: it smooths what has been decoded, reads nothing and so has nothing to complain of.
    """
    quicker = {"skip_loop_filter": "all"} if is_video else {}
    film = ffmpeg.input("pipe:0", f="mov", protocol_whitelist="pipe", threads=threads, **quicker)
    return compile_argv(exe, [ffmpeg.output(film, "-", f="null", map="0")])
