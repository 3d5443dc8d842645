"""Looks into one hostile file, in a process of its own that may be killed: `python -m transcoder.probe_child <path>`.

Prints one line of JSON, `{"source": ...}` or `{"rejected": ...}`. Decides nothing about encoding, and never touches the
network, the database or any file but the one named.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, Literal

import av
import msgspec
from av.error import FFmpegError
from av.stream import Disposition

from core import errors
from core.domain.media_subtitles import TextKind
from core.errors import Code
from transcoder import jumps, source
from transcoder.channels import DOWNMIXED, LayoutWatch
from transcoder.codecs import TRANSFERS
from transcoder.colour import UNSTATED, Colour
from transcoder.jumps import Straightener
from transcoder.luminance import read_light, read_mastering
from transcoder.pace import decide_pace
from transcoder.source import AudioTrack, LeftOut, Rejected, Source, TextTrack, VideoTrack

_FIRST_PACKETS = 4000
_PLAIN_SIDE_PX = 1920
_TAIL_S = 15.0
_PACED_PACKETS = 240
_ONE = 1 << 16  # of a display matrix, in 16.16
# These headers state a length that is counted, not guessed from a bit rate: short of it, the end is missing.
_HONEST_LENGTH = frozenset({
    "mov", "matroska", "wav", "flac", "avi", "flv", "aiff", "asf", "mxf", "caf", "w64", "au",
})  # fmt: skip
_RANGES = {number: name for name, (number, _) in TRANSFERS.items()}


class Outcome(msgspec.Struct, frozen=True):
    """What the child prints."""

    source: Source | None = None
    rejected: Rejected | None = None


class _Reject(Exception):  # noqa: N818 - an answer
    def __init__(self, code: Code, message: str | None = None) -> None:
        super().__init__(message or code.message)
        self.rejected = Rejected(code.code, message or code.message)


def examine(path: str) -> Outcome:
    """What the file at `path` holds, or why it is refused."""
    try:
        with av.open(path, options=source.READ_OPTIONS, metadata_errors="replace") as container:
            return Outcome(source=_describe(path, container))
    except _Reject as reject:
        return Outcome(rejected=reject.rejected)
    except FFmpegError:
        return Outcome(rejected=Rejected(errors.NOT_MEDIA.code, errors.NOT_MEDIA.message))


def _describe(path: str, container: Any) -> Source:
    if len(container.streams) > source.MAX_STREAMS:
        raise _Reject(
            errors.MEDIA_TOO_LARGE,
            f"The file has {len(container.streams)} streams; at most {source.MAX_STREAMS} are accepted.",
        )
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    sounds = list(container.streams.audio)
    if not pictures and not sounds:
        raise _Reject(errors.NO_STREAMS)
    picture = next((s for s in pictures if _codec(s) in source.VIDEO_CODECS), None)
    accepted = [s for s in sounds if _codec(s) in source.AUDIO_CODECS and s.codec_context.channels > 0]
    heard = accepted[: source.MAX_AUDIO_TRACKS]
    if pictures and picture is None:
        raise _Reject(errors.NOT_MEDIA, f"The picture is encoded as {_codec(pictures[0])}, which is not accepted.")
    if sounds and not heard and picture is None:
        raise _Reject(errors.NOT_MEDIA, f"The sound is encoded as {_codec(sounds[0])}, which is not accepted.")
    if picture is not None:
        _check_size(picture.codec_context.width, picture.codec_context.height)
    wanted = [s for s in [picture, *heard] if s is not None]
    first_frames, met = _decode_first(container, wanted)
    if picture is not None and picture.index not in first_frames:
        raise _Reject(errors.NOT_MEDIA, "No picture in the file can be decoded.")
    # One that begins later than anybody looked is kept, if there is any of it.
    heard = [s for s in heard if s.index in first_frames or s.index not in met]
    if picture is None and not any(s.index in first_frames for s in heard):
        raise _Reject(errors.NOT_MEDIA, "No sound in the file can be decoded.")
    if container.format.name == "gif" and picture is not None and _is_still(path):
        raise _Reject(errors.NO_STREAMS, "The file is a picture that does not move.")
    watch = LayoutWatch()
    duration_s, ends = _length(path, container, [s.index for s in [picture, *heard] if s is not None], watch)
    heard = [s for s in heard if s.index in ends]
    words = [s for s in container.streams.subtitles if picture is not None]
    readable = [s for s in words if _codec(s) in source.TEXT_CODECS]
    left_out = (
        *_left_out("video", pictures, [s for s in pictures if _codec(s) in source.VIDEO_CODECS], [], 1),
        *_left_out(
            "audio",
            sounds,
            accepted,
            [s for s in accepted if s.index in met and s not in heard],
            source.MAX_AUDIO_TRACKS,
        ),
        *_left_out("subtitles", words, readable, [], source.MAX_TEXT_TRACKS),
    )
    covers = [s for s in container.streams.video if _is_cover(s) and _codec(s) in source.COVER_CODECS]
    return Source(
        format=container.format.name,
        duration_s=duration_s,
        video=None if picture is None else _video(path, picture, first_frames[picture.index]),
        audio=tuple(_audio(s, is_changing=s.index in watch.changing) for s in sorted(heard, key=_is_beside)),
        text=tuple(
            TextTrack(s.index, _codec(s), _tag(s, "language"), _tag(s, "title"), _text_kind(s))
            for s in container.streams.subtitles
            if _codec(s) in source.TEXT_CODECS
        )[: source.MAX_TEXT_TRACKS],
        cover_index=covers[0].index if covers and picture is None else None,
        left_out=left_out,
    )


def _is_still(path: str) -> bool:
    with av.open(path, options=source.READ_OPTIONS, metadata_errors="replace") as container:
        return sum(1 for packet in islice(container.demux(), 3) if packet.size) < 2


def _left_out(
    kind: Literal["video", "audio", "subtitles"], streams: list[Any], accepted: list[Any], damaged: list[Any], most: int
) -> Iterator[LeftOut]:
    """Tracks of `streams` that are not offered. One without a single packet is no loss."""
    for stream in streams:
        if stream not in accepted:
            why: Literal["codec", "damaged", "too_many"] = "codec"
        elif stream in accepted[most:]:
            why = "too_many"
        elif stream in damaged:
            why = "damaged"
        else:
            continue
        yield LeftOut(kind, _codec(stream), why, _tag(stream, "language"), _tag(stream, "title"))


def _check_size(width: int, height: int) -> None:
    if width > source.MAX_SIDE_PX or height > source.MAX_SIDE_PX:
        most = source.MAX_SIDE_PX
        raise _Reject(
            errors.MEDIA_TOO_LARGE, f"The picture has {width}x{height} pixels; at most {most}x{most} are accepted."
        )


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _audio(stream: Any, *, is_changing: bool) -> AudioTrack:
    return AudioTrack(
        stream.index, _codec(stream), 2 if is_changing else stream.codec_context.channels, _tag(stream, "language"),
        _tag(stream, "title"), _is_described(stream), is_changing,
    )  # fmt: skip


def _text_kind(stream: Any) -> TextKind:
    if stream.disposition & Disposition.forced:
        return "forced"
    return "captions" if stream.disposition & Disposition.hearing_impaired else "subtitles"


def _is_described(stream: Any) -> bool:
    return bool(stream.disposition & (Disposition.visual_impaired | Disposition.descriptions))


def _is_beside(stream: Any) -> bool:
    """What is not to be heard unless it is asked for; a file's own order counts among the rest."""
    return _is_described(stream) or bool(stream.disposition & Disposition.comment)


def _codec(stream: Any) -> str:
    context = stream.codec_context
    return str(context.codec.canonical_name) if context is not None else "an unknown codec"


def _tag(stream: Any, name: str) -> str | None:
    """A tag as one plain line, fit for a quoted string of a playlist; None when it says nothing."""
    value = "".join(c for c in str(stream.metadata.get(name, "")) if c.isprintable() and c != '"')[:100].strip()
    return value if value not in ("", "und") else None


def _decode_first(container: Any, streams: list[Any]) -> tuple[dict[int, Any], set[int]]:
    """The first frame of each stream that can be decoded, and of which streams there was anything to decode."""
    frames: dict[int, Any] = {}
    met: set[int] = set()
    try:
        for number, packet in enumerate(container.demux(*streams)):
            if packet.size:
                met.add(packet.stream.index)
            if packet.stream.index not in frames:
                try:
                    for frame in packet.decode():
                        frames.setdefault(packet.stream.index, frame)
                except FFmpegError:
                    continue  # a damaged packet: a later one may do
            if len(frames) == len(streams) or number >= _FIRST_PACKETS:
                break
    except FFmpegError:
        pass  # what was decoded until the damage counts
    return frames, met


def _video(path: str, stream: Any, frame: Any) -> VideoTrack:
    _check_size(frame.width, frame.height)
    aspect = stream.sample_aspect_ratio
    rate = stream.average_rate or stream.guessed_rate
    rate = decide_pace(rate, _stamps(path, stream.index), is_interlaced=bool(frame.interlaced_frame))
    return VideoTrack(
        index=stream.index,
        codec=_codec(stream),
        width=frame.width,
        height=frame.height,
        sample_aspect=(aspect.numerator, aspect.denominator) if aspect else (1, 1),
        rotation=round(frame.rotation or 0) % 360,
        frame_rate=(rate.numerator, rate.denominator) if rate else (25, 1),
        is_interlaced=bool(frame.interlaced_frame),
        transfer=_RANGES.get(int(frame.color_trc), "sdr"),
        is_tagged=not {int(frame.color_primaries), int(frame.colorspace)} & UNSTATED,
        colour=Colour(
            int(frame.color_primaries),
            int(frame.color_trc),
            int(frame.colorspace),
            frame.format.is_rgb or frame.format.has_palette,
        ),
        mastering=read_mastering(_side_data(frame, "MASTERING_DISPLAY_METADATA")),
        light=read_light(_side_data(frame, "CONTENT_LIGHT_LEVEL")),
        is_plain=_codec(stream) == "h264"
        and frame.format.name in ("yuv420p", "yuvj420p")
        and (not aspect or aspect == 1)
        and _is_upright(frame)
        and not frame.interlaced_frame
        and max(frame.width, frame.height) <= _PLAIN_SIDE_PX,
    )


def _stamps(path: str, index: int) -> list[list[Fraction]]:
    """When pictures are shown, in seconds: some of the film's beginning, and of its middle where that can be reached."""
    found: list[list[Fraction]] = []
    with av.open(path, options=source.READ_OPTIONS, metadata_errors="replace") as container:
        stream = container.streams[index]
        places = [None] if container.duration is None else [None, (container.start_time or 0) + container.duration // 2]
        for place in places:
            try:
                if place is not None:
                    container.seek(place)
                found += _stretches(islice((p for p in container.demux(stream) if p.size), _PACED_PACKETS))
            except FFmpegError:
                break  # what was read until the damage counts
    return found


def _stretches(packets: Iterable[Any]) -> Iterator[list[Fraction]]:
    """When the pictures of `packets` are shown; a joint, where the clock goes back, ends a stretch."""
    stretch: list[Fraction] = []
    last: int | None = None
    for packet in packets:
        if last is not None and packet.dts is not None and packet.dts < last:
            yield stretch
            stretch = []
        last = packet.dts if packet.dts is not None else last
        if packet.pts is not None:
            stretch.append(packet.pts * packet.time_base)
    yield stretch


def _is_upright(frame: Any) -> bool:
    """Neither turned nor mirrored: a picture on its head has no angle that would say so."""
    matrix = _side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return True
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    return (a, b, c, d) == (_ONE, 0, 0, _ONE)


def _side_data(frame: Any, kind: str) -> bytes | None:
    found = frame.side_data.get(kind)
    return None if found is None else bytes(found)


def _length(path: str, container: Any, indexes: list[int], watch: LayoutWatch) -> tuple[float, dict[int, float]]:
    """Seconds from the file's first time stamp to where the last packet of the wanted streams ends; and where each of them ends.

    `watch` sees every packet of a broadcast, which has to be read to its end anyway.
    """
    declared_s = container.duration / av.time_base if container.duration else None
    names = set(container.format.name.split(","))
    # Elsewhere it is a guess: of a recording whose clock goes back, that it lasts until the clock comes round.
    if declared_s is not None and declared_s > source.MAX_DURATION_S and names & _HONEST_LENGTH:
        raise _Reject(errors.MEDIA_TOO_LARGE, "The file lasts longer than 24 hours.")
    start_s = (container.start_time or 0) / av.time_base
    ends = {}
    if declared_s is not None and names & _HONEST_LENGTH:
        ends = _ends(path, seek_s=start_s + declared_s - _TAIL_S)
    if not all(index in ends for index in indexes):
        ends = _ends(path, seek_s=None, joined=indexes if names & jumps.FORMATS else (), watch=watch)
    wanted = [ends[index] for index in indexes if index in ends]
    if not wanted:
        raise _Reject(errors.TRUNCATED_MEDIA, "The file has a header but no picture or sound after it.")
    duration_s = max(wanted) - start_s
    if duration_s <= 0:
        raise _Reject(errors.NOT_MEDIA, "The file has no length.")
    if duration_s > source.MAX_DURATION_S:
        raise _Reject(errors.MEDIA_TOO_LARGE, "The file lasts longer than 24 hours.")
    if declared_s is not None and names & _HONEST_LENGTH:
        missing_s = declared_s - (max(ends.values()) - start_s)
        if missing_s > max(1.0, 0.02 * declared_s):
            raise _Reject(
                errors.TRUNCATED_MEDIA,
                f"The file is cut off: it should last {declared_s:.0f} s, but {missing_s:.0f} s are missing.",
            )
    return duration_s, ends


def _ends(
    path: str, seek_s: float | None, joined: Sequence[int] = (), watch: LayoutWatch | None = None
) -> dict[int, float]:
    """Where the last packet of each stream ends; the time line of those in `joined` is straightened first."""
    ends: dict[int, float] = {}
    straightener = Straightener()
    with av.open(path, options=source.READ_OPTIONS, metadata_errors="replace") as container:
        try:
            if seek_s is not None and seek_s > 0:
                container.seek(int(seek_s * av.time_base))
            for packet in container.demux():
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and not packet.is_corrupt:
                    end = float((stamp + (packet.duration or 0)) * packet.time_base)
                    index = packet.stream.index
                    if index in joined and packet.dts is not None:
                        unit_us = packet.time_base * av.time_base
                        shift_us = straightener.shift(
                            index, int(packet.dts * unit_us), int((packet.duration or 0) * unit_us)
                        )
                        end += shift_us / av.time_base
                    if watch is not None and packet.stream.type == "audio" and _codec(packet.stream) in DOWNMIXED:
                        watch.look(index, bytes(packet)[:8])
                    ends[index] = max(end, ends.get(index, end))
        except FFmpegError:
            pass  # the end of what can be read
    return ends


if __name__ == "__main__":
    av.logging.set_level(av.logging.PANIC)
    sys.stdout.write(msgspec.json.encode(examine(sys.argv[1])).decode() + "\n")
