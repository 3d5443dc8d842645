"""The transcoder's figures: each measures the product's own code against the plainest way to the same end, in the same run."""

from __future__ import annotations

import heapq
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import ffmpeg
import msgspec

from bench.transcode_stage import Stage, watch
from bench.verdict import Figure, Target, median_ratio
from core.domain.media_previews import Preview
from core.domain.media_tasks import Attempt, Kind
from core.ids import uuid7
from core.objects import ObjectStore
from core.process import run_tool
from transcoder import encode
from transcoder.argv import compile_argv, given
from transcoder.assemble import assemble
from transcoder.attempt import perform
from transcoder.codecs import encoder_options
from transcoder.encode_picture import on_the_grid, shaped, video_file, video_outputs
from transcoder.encode_sound import sound_outputs
from transcoder.ladder import Chunk, Plan, decide_chunks, plan
from transcoder.pieces import Shared
from transcoder.preview import make_preview
from transcoder.probe import probe
from transcoder.source import VideoTrack
from transcoder.status import Status
from transcoder.workshop import Workshop

_TOOL_S = 3600
WORKERS = (1, 2, 4, 8, 16)
# A feature, for the simulation: its chunks take as long as those measured, in turn.
_FEATURE_CHUNKS = 160
# What a worker needs from the end of one task to the beginning of the next: take, finish, and the queue's hand-over.
_HAND_OVER_S = 0.25


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


async def _no_preview(preview: Preview) -> bool:
    return False


def _attempt(film: Path, key: str, kind: Kind = "transcode", shared: str | None = None) -> Attempt:
    size_bytes = film.stat().st_size
    return Attempt(
        uuid7(), 1, 1, 5, uuid7(), None, "film", size_bytes, key, f"hls/{uuid7()}/1-1", uuid7(), kind, None, shared
    )


async def ladder(stage: Stage) -> list[Figure]:
    """Probe, encode, package, check, store and read back, against ffmpeg alone with the same outputs and settings."""
    store = ObjectStore(f"file://{_empty(stage.folder / 'store')}")
    await store.put("in/film", stage.film)
    shop = Workshop(store, stage.folder / "scratch", stage.exe, 0)
    rounds = []
    for _ in range(stage.rounds):
        with watch() as plain:
            run_tool(_single(stage, _plain_pictures), timeout_s=_TOOL_S)
        with watch() as whole:
            await perform(_attempt(stage.film, "in/film"), shop, Status(), _no_preview)
        with watch() as ours:
            run_tool(_single(stage, video_outputs), timeout_s=_TOOL_S)
        rounds.append(
            {
                "ffmpeg": plain.wall_s,
                "penstock": whole.wall_s,
                "ffmpeg with our filters": ours.wall_s,
                "ratio": whole.wall_s / plain.wall_s,
            }
        )
    what = "the whole job against one ffmpeg that makes the same ladder"
    beside = median(found["penstock"] / found["ffmpeg with our filters"] for found in rounds)
    note = f"{beside:.2f}x of one ffmpeg that also scales as we do: what probe, checks, stills and the decode of everything cost"
    return [Figure("ladder", what, "s", rounds, median_ratio(rounds), Target("most", 1.05, "x"), (note,))]


def _single(stage: Stage, pictures: Callable[[Any, VideoTrack, Plan, Path, Chunk], list[Any]]) -> list[str]:
    """One ffmpeg that decodes once and encodes every rung and sound with the product's own settings."""
    assert stage.source.video is not None
    assert stage.plan.grid is not None
    raw = _empty(stage.folder / "raw")
    film = given(stage.film, **{"reinit_filter:v": 0})
    outputs = pictures(film, stage.source.video, stage.plan, raw, Chunk(0, stage.plan.grid.frames))
    outputs += sound_outputs(film, stage.plan, stage.source, raw, (0.0,) * len(stage.source.audio))
    return compile_argv(stage.exe, outputs, "-progress", "pipe:1")


def _plain_pictures(film: Any, video: VideoTrack, plan: Plan, raw: Path, chunk: Chunk) -> list[Any]:
    """As anybody would ask for it: the picture split, and each size scaled from the film."""
    assert plan.grid is not None
    ways = on_the_grid(shaped(film, video, plan.rungs[0]), plan.grid, chunk).filter_multi_output(
        "split", len(plan.rungs)
    )
    outputs = []
    for number, rung in enumerate(plan.rungs):
        picture = ways[number].filter("scale", rung.width, rung.height).filter("setsar", 1).filter("format", "yuv420p")
        asked = encoder_options(rung.codec, crf=rung.crf, max_bps=rung.max_bps, gop=plan.grid.gop, lines=rung.lines)
        outputs.append(ffmpeg.output(picture, str(video_file(raw, rung)), **asked))
    return outputs


async def chunks(stage: Stage) -> list[Figure]:
    """The same pictures in one run and in chunks: processor time, and what a viewer would see of the difference."""
    cut = decide_chunks(stage.plan, stage.chunk_s)
    if not cut:
        raise RuntimeError(f"a film of {float(stage.plan.duration):.0f} s is not cut into chunks of {stage.chunk_s} s")
    silent = msgspec.structs.replace(stage.source, audio=(), text=())
    wanted = plan(silent)
    rounds = []
    for _ in range(stage.rounds):
        whole, parts = _empty(stage.folder / "whole"), _empty(stage.folder / "parts")
        with watch() as one:
            run_tool(encode.pictures_argv(stage.exe, stage.film, silent, wanted, whole), timeout_s=_TOOL_S)
        with watch() as many:
            _encode_chunks(stage, parts)
        rounds.append({"one run": one.cpu_s, "chunks": many.cpu_s, "ratio": many.cpu_s / one.cpu_s})
    out = _empty(stage.folder / "out")
    joined = assemble(silent, wanted, parts, out / "joined", None, len(cut)).folder
    single = assemble(silent, wanted, whole, out / "single", None).folder
    scores = {name: _vmaf(stage, folder) for name, folder in (("one run", single), ("chunks", joined))}
    apart = abs(scores["one run"] - scores["chunks"])
    return [
        Figure("chunks", f"processor time of {len(cut)} chunks against one run", "s", rounds, median_ratio(rounds), Target("most", 1.08, "x")),
        Figure("vmaf", "VMAF of the top rendition, chunks against one run", "", [scores], apart, Target("most", 0.5, "")),
    ]  # fmt: skip


def _encode_chunks(stage: Stage, parts: Path) -> list[float]:
    """Seconds that each chunk takes on this machine alone. Not shut in: a sandbox hides its processor time from its parent."""
    taken = []
    for number, chunk in enumerate(decide_chunks(stage.plan, stage.chunk_s)):
        folder = parts / str(number)
        folder.mkdir()
        began = time.monotonic()
        run_tool(encode.chunk_argv(stage.exe, stage.film, stage.source, stage.plan, folder, chunk), timeout_s=_TOOL_S)
        taken.append(time.monotonic() - began)
    return taken


def _vmaf(stage: Stage, folder: Path) -> float:
    rung = stage.plan.rungs[0]
    made = folder / f"video/{rung.lines}p/playlist.m3u8"
    compare = "[0:v]setpts=PTS-STARTPTS[a];[1:v]setpts=PTS-STARTPTS[b];[a][b]libvmaf=n_threads=2"
    argv: list[str | Path] = [
        stage.exe,
        "-nostdin",
        "-hide_banner",
        "-i",
        made,
        "-i",
        stage.film,
        "-lavfi",
        compare,
        "-f",
        "null",
        "-",
    ]
    done = run_tool(argv, timeout_s=_TOOL_S)
    found = re.findall(r"VMAF score: ([\d.]+)", done.stderr)
    if not found:
        raise RuntimeError(f"no VMAF score: {done.stderr[-300:]}")
    return float(found[-1])


async def preview(stage: Stage) -> list[Figure]:
    """From the first look at a long film to the moment when players are given its first segments."""
    store = ObjectStore(f"file://{_empty(stage.folder / 'store')}")
    await store.put("in/long", stage.long_film)
    shop = Workshop(store, stage.folder / "scratch", stage.exe)
    rounds = []
    for _ in range(stage.rounds):
        began, shown = time.monotonic(), list[float]()

        async def show(found: Preview, shown: list[float] = shown) -> bool:
            shown.append(time.monotonic())
            return True

        source = await probe(stage.long_film)
        probed = time.monotonic()
        shared = msgspec.json.encode(Shared(source, stage.chunk_s)).decode()
        attempt = _attempt(stage.long_film, "in/long", "preview", shared)
        await make_preview(attempt, shop, _empty(stage.folder / "preview"), Status(), show)
        rounds.append({"probed": probed - began, "playable": shown[0] - began, "whole": time.monotonic() - began})
    value = median(found["playable"] for found in rounds) + 2 * _HAND_OVER_S
    minutes = f"{float(plan(source).duration) / 60:.1f}"
    note = f"two hand-overs of {_HAND_OVER_S} s between tasks are added to what was measured"
    what = f"first playable second of a film of {minutes} min that is remuxed"
    return [Figure("preview", what, "s", rounds, value, Target("most", 3.0, "s"), (note,))]


async def workers(stage: Stage) -> list[Figure]:
    """Chunks' measured times on many simulated workers: what a feature of 160 of them would take."""
    taken = _encode_chunks(stage, _empty(stage.folder / "parts"))
    tasks = [taken[n % len(taken)] for n in range(_FEATURE_CHUNKS)]
    spans = {f"{count} workers": makespan(tasks, count) for count in WORKERS}
    efficiency = {name: spans["1 workers"] / (count * spans[name]) for name, count in zip(spans, WORKERS, strict=True)}
    note = "efficiency: " + ", ".join(f"{name} {value:.2f}" for name, value in efficiency.items())
    own = "the joining, which is one task, is not part of it"
    what = f"efficiency of 8 workers on {_FEATURE_CHUNKS} chunks, simulated"
    return [Figure("workers", what, "s", [spans], efficiency["8 workers"], Target("least", 0.9, ""), (note, own))]


def makespan(tasks: Sequence[float], count: int) -> float:
    """Seconds until the last of `tasks`, taken in order by whoever is free, with a hand-over before each."""
    free = [0.0] * count
    for task in tasks:
        heapq.heappush(free, heapq.heappop(free) + _HAND_OVER_S + task)
    return max(free)
