"""What the transcoder's figures are measured on: two films made here, and a stop-watch for wall and processor time."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.process import run_tool
from transcoder import encoder
from transcoder.ladder import Plan, plan
from transcoder.probe import probe
from transcoder.source import Source

_MAKE_S = 3600


@dataclass(frozen=True)
class Stage:
    """A film to encode with its plan, a long one that players can take as it is, and a folder to work in."""

    folder: Path
    exe: Path
    film: Path
    source: Source
    plan: Plan
    long_film: Path
    chunk_s: int
    rounds: int


@dataclass(slots=True)
class Spent:
    """Seconds on the clock, and of the processor in ended children."""

    wall_s: float = 0.0
    cpu_s: float = field(default=0.0)


@contextmanager
def watch() -> Iterator[Spent]:
    """What the block and the programs it waited for took."""
    spent, began, before = Spent(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield spent
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.wall_s = time.monotonic() - began
    spent.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def made(folder: Path, *, size: str, seconds: int, long_s: int, chunk_s: int, rounds: int) -> Stage:
    """The stage. The films move and have grain, so that an encoder has something to do."""
    exe = encoder.executable(None)
    film, long_film = folder / "film.mkv", folder / "long.mp4"
    await _make(exe, film, size, seconds, ("-g", "250", "-preset", "veryfast", "-crf", "16"))
    await _make(exe, long_film, size, long_s, ("-g", "60", "-preset", "ultrafast", "-crf", "28"))
    source = await probe(film)
    return Stage(folder, exe, film, source, plan(source), long_film, chunk_s, rounds)


async def _make(exe: Path, target: Path, size: str, seconds: int, coded: Sequence[str]) -> None:
    picture = f"testsrc2=s={size}:r=30:d={seconds},noise=alls=6:allf=t"
    sound = f"sine=440:r=48000:d={seconds}"
    argv: list[str | Path] = [
        exe,
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-f",
        "lavfi",
        "-i",
        picture,
        "-f",
        "lavfi",
        "-i",
        sound,
    ]
    argv += ["-c:v", "libx264", "-pix_fmt", "yuv420p", *coded, "-c:a", "aac", target]
    done = await asyncio.to_thread(lambda: run_tool(argv, timeout_s=_MAKE_S))
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
