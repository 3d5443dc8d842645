"""Measures a title: short samples encoded at every size and several qualities, compared with the source by a quality meter.

Decides which samples; what follows from the measurements is hull.py's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

import ffmpeg
import msgspec
import structlog

from core.errors import Refusal
from transcoder import encoder
from transcoder.abilities import find_abilities
from transcoder.argv import compile_argv, given
from transcoder.encode import seek_options
from transcoder.encode_picture import on_the_grid, shaped, to_sdr
from transcoder.hull import Point, decide_ladder
from transcoder.ladder import Chunk, Grid, Plan, Rung, Tuned
from transcoder.source import Source
from transcoder.status import Status

log = structlog.get_logger(__name__)

CRFS = (18, 22, 26, 30, 34)
MAX_SAMPLES = 4
SAMPLE_EVERY_S = 30
# The meters need far longer than the encoders; neighbouring pictures hardly differ in quality.
_METER_EVERY = 5
# XPSNR in dB on VMAF's scale: 20 dB is ruined, 45 dB beyond telling apart.
_XPSNR_FROM_DB, _XPSNR_TO_DB = 20.0, 45.0
_XPSNR = re.compile(r"XPSNR average.*?\by: *([\d.]+|inf)")
_REFERENCE = "reference.mkv"


@dataclass(frozen=True, slots=True)
class _Trial:
    """One size at one quality."""

    rung: Rung
    crf: int

    @property
    def name(self) -> str:
        return f"trial-{self.rung.lines}-{self.crf}"


def decide_samples(grid: Grid) -> tuple[Chunk, ...]:
    """One group of pictures out of every half minute, evenly, at most four; a short film whole."""
    wanted = max(1, min(MAX_SAMPLES, int(grid.duration / SAMPLE_EVERY_S) + 1))
    groups = -(-grid.frames // grid.gop)
    firsts = sorted({(2 * n + 1) * groups // (2 * wanted) * grid.gop for n in range(wanted)})
    return tuple(Chunk(first, min(grid.gop, grid.frames - first)) for first in firsts if first < grid.frames)


async def measure_title(
    exe: Path, path: Path, source: Source, plan: Plan, work: Path, status: Status
) -> tuple[Tuned, ...]:
    """The title's own ladder; nothing, and so the fixed one, when it cannot be measured. Raises Transient."""
    video, grid = source.video, plan.grid
    meter = (await asyncio.to_thread(find_abilities, exe)).meter
    if video is None or grid is None or meter is None:
        log.warning("title_not_measured", why="ffmpeg has no quality meter" if meter is None else "there is no picture")
        return ()
    status.enter("measuring", 0.0)
    samples = decide_samples(grid)
    trials = [_Trial(rung, crf) for rung in plan.base for crf in CRFS]
    bits = dict.fromkeys(trials, 0)
    scores: dict[_Trial, list[float]] = {trial: [] for trial in trials}
    try:
        for number, sample in enumerate(samples):
            folder = work / f"sample-{number}"
            folder.mkdir()
            length_s = float(sample.frames / grid.rate)
            argv = trial_argv(exe, path, source, plan, trials, sample, folder)
            await encoder.run(argv, length_s * len(trials), reads=[path], writes=folder)
            argv = meter_argv(exe, plan.base[0], trials, folder, meter)
            await encoder.run(argv, length_s * len(trials) * 4, reads=[folder], writes=folder)
            for trial in trials:
                bits[trial] += 8 * (folder / f"{trial.name}.264").stat().st_size
                scores[trial].append(read_score(meter, (folder / f"{trial.name}.log").read_text("utf-8", "replace")))
            await asyncio.to_thread(_empty, folder)
            status.enter("measuring", 0.1 * (number + 1) / len(samples))
    except (Refusal, OSError, ValueError) as error:
        # The fixed ladder is good enough for a title that resists being measured.
        log.warning("title_not_measured", why=str(error)[-500:])
        return ()
    seconds = sum(sample.frames for sample in samples) / grid.rate
    points = [
        Point(
            trial.rung.lines, trial.crf, float(bits[trial] / seconds), harmonic_mean([1 + s for s in scores[trial]]) - 1
        )
        for trial in trials
    ]
    tuned = decide_ladder(points, plan.base)
    log.info("title_measured", meter=meter, samples=len(samples), ladder=[(t.lines, t.crf, t.max_bps) for t in tuned])
    return tuned


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def trial_argv(
    exe: Path, path: Path, source: Source, plan: Plan, trials: Sequence[_Trial], sample: Chunk, folder: Path
) -> list[str]:
    """Encodes one sample in every trial, and once without loss, each a bare stream: its size is its rate."""
    assert source.video is not None
    assert plan.grid is not None
    film = given(path, **seek_options(sample.first / plan.grid.rate))
    picture = to_sdr(on_the_grid(shaped(film, source.video, plan.base[0]), plan.grid, sample), source.video)
    branches = picture.filter_multi_output("split", len(plan.base) + 1)
    outputs: list[Any] = []
    lossless = {"c:v": "libx264", "preset": "ultrafast", "qp": 0, "f": "matroska"}
    outputs.append(ffmpeg.output(_plain(branches[0], plan.base[0]), str(folder / _REFERENCE), **lossless))
    for number, rung in enumerate(plan.base, 1):
        ours = [trial for trial in trials if trial.rung == rung]
        ways = _plain(branches[number], rung).filter_multi_output("split", len(ours))
        for way, trial in enumerate(ours):
            options = {"c:v": "libx264", "preset": "veryfast", "crf": trial.crf, "f": "h264"}
            outputs.append(ffmpeg.output(ways[way], str(folder / f"{trial.name}.264"), **options))
    return compile_argv(exe, outputs, "-copyts", "-start_at_zero")


def _plain(picture: Any, rung: Rung) -> Any:
    return picture.filter("scale", rung.width, rung.height).filter("setsar", 1).filter("format", "yuv420p")


def meter_argv(exe: Path, top: Rung, trials: Sequence[_Trial], folder: Path, meter: str) -> list[str]:
    """Compares every trial, enlarged to `top`, with the reference; each comparison writes a log of its own."""
    ours = {"protocol_whitelist": "file"}
    counted = "N/TB/25"
    references = (
        ffmpeg.input(str(folder / _REFERENCE), format_whitelist="matroska", **ours)
        .video.filter("setpts", counted)
        .filter_multi_output("split", len(trials))
    )
    outputs = []
    for number, trial in enumerate(trials):
        coded = ffmpeg.input(str(folder / f"{trial.name}.264"), f="h264", **ours).video
        shown = coded.filter("setpts", counted).filter("scale", top.width, top.height, flags="bicubic")
        # Named from the folder that the encoder works in: a path in a filter's options would have to be escaped.
        name = f"{trial.name}.log"
        ours_of = {"libvmaf": {"log_path": name, "log_fmt": "json", "n_subsample": _METER_EVERY}}
        options = ours_of.get(meter, {"stats_file": name})
        compared = ffmpeg.filter([shown, references[number]], meter, **options)
        outputs.append(ffmpeg.output(compared, "-", f="null"))
    return compile_argv(exe, outputs)


def read_score(meter: str, text: str) -> float:
    """The score, 0 to 100, in a comparison's log. Raises ValueError when it says none."""
    if meter == "libvmaf":
        try:
            found = float(msgspec.json.decode(text)["pooled_metrics"]["vmaf"]["harmonic_mean"])
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ValueError(f"the meter's log says no score: {error}") from error
    else:
        match = _XPSNR.search(text)
        if match is None:
            raise ValueError("the meter's log says no score")
        found = 100 * (float(match[1]) - _XPSNR_FROM_DB) / (_XPSNR_TO_DB - _XPSNR_FROM_DB)
    return max(0.0, min(100.0, found))
