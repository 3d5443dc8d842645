"""Builds ffmpeg's arguments for sound: one output for each language in stereo, one more where the source has 5.1. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ffmpeg

from transcoder.argv import QUIET, compile_argv, given
from transcoder.ladder import AUDIO_RATE_HZ, Plan, Sound
from transcoder.source import Source

_LAYOUTS = {2: "stereo", 6: "5.1"}
_NONE: Mapping[int, Path] = MappingProxyType({})


def audio_file(folder: Path, number: int) -> Path:
    """Where the encoder writes a sound of the plan."""
    return folder / f"audio-{number}.mp4"


def even_file(folder: Path, number: int) -> Path:
    """Where a sound of the plan lies for a while when its source changes on the way."""
    return folder / f"even-{number}.mka"


def sound_options(source: Source) -> dict[str, Any]:
    """Input options: a filter graph that is rebuilt when the number of channels changes would begin the time line anew."""
    return {f"downmix:{track.index}": "stereo" for track in source.audio if track.is_changing}


def sound_outputs(
    source: Any,
    plan: Plan,
    tracks: Source,
    folder: Path,
    gains_db: Sequence[float],
    frag_us: int = 4_000_000,
    even: Mapping[int, Path] = _NONE,
) -> list[Any]:
    """Every sound of the plan in fragments of `frag_us`; `gains_db` has one entry for each of them, `even` those made even."""
    return [
        _output(
            given(even[number])["0"] if number in even else source[str(tracks.audio[sound.track].index)],
            sound,
            plan,
            audio_file(folder, number),
            gains_db[number],
            frag_us,
        )
        for number, sound in enumerate(plan.sounds)
    ]


def _output(stream: Any, sound: Sound, plan: Plan, target: Path, gain_db: float, frag_us: int) -> Any:
    # True 48 kHz on a time line that starts at zero: what is missing is filled, what is too much is dropped. The layout comes
    # first, since ffmpeg-python takes two equal filters on one stream for one with two outputs.
    heard = stream.filter("aformat", sample_fmts="fltp", channel_layouts=_LAYOUTS[sound.channels])
    heard = heard.filter("aresample", AUDIO_RATE_HZ, **{"async": 1, "first_pts": 0})
    if gain_db:
        heard = heard.filter("volume", volume=f"{gain_db:.2f}dB", precision="float")
    heard = heard.filter("apad").filter("atrim", end_sample=plan.audio_samples)
    return ffmpeg.output(
        heard,
        str(target),
        **{
            "c:a": "aac",
            "b:a": sound.bps,
            # The encoder's priming frame lies before zero. Players disagree about edit lists, so it is left out.
            "bsf:a": "noise=drop=lt(pts\\,0)",
            "map_metadata": -1,
            "map_chapters": -1,
            "movflags": "+empty_moov+default_base_moof",
            "frag_duration": frag_us,
            "flush_packets": 1,
            "f": "mp4",
        },
    )


def even_argv(exe: Path, path: Path, source: Source, sound: Sound, target: Path) -> list[str]:
    """Makes one rate and one layout of a sound whose source changes either on the way, where it stands in time.

    A filter graph is rebuilt at each change. One that fills and pads would begin the time line anew and write out what is left
    of it each time; this one does neither, and what reads its output is never rebuilt.
    """
    stream = given(path, **sound_options(source))[str(source.audio[sound.track].index)]
    heard = stream.filter("aformat", channel_layouts=_LAYOUTS[sound.channels]).filter("aresample", AUDIO_RATE_HZ)
    # A second stream that begins at zero: a file is taken to begin with its first packet.
    zero = ffmpeg.input("anullsrc=r=48000:cl=mono:d=0.1", f="lavfi")
    options = {"c:a": "flac", "sample_fmt": "s16", "map_metadata": -1, "map_chapters": -1, "f": "matroska"}
    return compile_argv(exe, [ffmpeg.output(heard, zero, str(target), **options)])


def measure_argv(exe: Path, path: Path, source: Source, sound: Sound, even: Path | None = None) -> list[str]:
    """Measures how loud a sound of the plan will be; the summary is on stderr (`loudness.read_summaries`).

    What six channels add up to in two is louder, and has higher peaks, than any of them.
    """
    film, index = (given(path, **sound_options(source)), source.audio[sound.track].index)
    if even is not None:
        film, index = given(even), 0
    heard = film[str(index)].filter("aformat", sample_fmts="fltp", channel_layouts=_LAYOUTS[sound.channels])
    heard = heard.filter("ebur128", framelog="quiet", peak="true")
    output = ffmpeg.output(heard, "-", f="null").global_args(*QUIET, "-loglevel", "info")
    return [str(part) for part in ffmpeg.compile(output, cmd=str(exe))]
