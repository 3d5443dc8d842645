"""Small synthetic sources, made once a test process, and the whole local pipeline over one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.process import run_tool
from transcoder import encode, encoder
from transcoder.assemble import Generation, add_stills, assemble
from transcoder.ladder import PLAIN, Plan, Wishes, plan
from transcoder.probe import probe
from transcoder.progress import Progress
from transcoder.source import Source
from transcoder.whole import encode_whole

FAST = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@cache
def ffmpeg() -> Path:
    """The encoder that the product uses too."""
    return encoder.executable(None)


def make(target: Path, *arguments: str) -> Path:
    """Runs ffmpeg with `arguments` into `target`."""
    done = run_tool([ffmpeg(), "-v", "error", "-nostdin", "-y", *arguments, str(target)], timeout_s=60)
    assert done.returncode == 0, done.stderr
    return target


def picture(size: str = "320x180", rate: str = "25", seconds: float = 3) -> tuple[str, ...]:
    """Arguments for a moving test picture."""
    return ("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}")


def sound(hertz: int = 440, seconds: float = 3) -> tuple[str, ...]:
    """Arguments for a tone."""
    return ("-f", "lavfi", "-i", f"sine={hertz}:r=44100:d={seconds}")


def film(target: Path, seconds: float = 3, rate: str = "25", size: str = "320x180") -> Path:
    """A picture with sound."""
    return make(target, *picture(size, rate, seconds), *sound(seconds=seconds), *FAST, "-c:a", "aac")


@dataclass(frozen=True)
class Made:
    """A generation and what it was made from."""

    source: Source
    plan: Plan
    generation: Generation
    progress: tuple[float, ...]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.generation.folder


async def encode_locally(path: Path, work: Path, language: str | None = None, wishes: Wishes = PLAIN) -> Made:
    """Probe, encode and assemble, as attempt.py does, without store and database."""
    source = await probe(path)
    wanted = plan(source, wishes)
    raw = work / "raw"
    raw.mkdir(parents=True)
    percents: list[float] = []

    def moved(progress: Progress) -> None:
        percents.append(progress.percent)

    await encode_whole(ffmpeg(), path, source, wanted, raw, moved)
    generation = assemble(source, wanted, raw, work / "out", language)
    if wanted.grid is not None:
        argv = encode.stills_argv(ffmpeg(), wanted, generation.folder, raw)
        await encoder.run(argv, float(wanted.duration), reads=[generation.folder], writes=raw)
    generation = add_stills(generation, wanted, raw)
    return Made(source, wanted, generation, tuple(percents))


async def decode_warnings(folder: Path) -> str:
    """What ffmpeg says when it decodes the whole generation: nothing, or what is wrong with it."""
    return await encoder.run(encode.decode_argv(ffmpeg(), folder / "master.m3u8"), 60, reads=[folder], writes=folder)


def frames_of(argv_input: Sequence[str | Path]) -> str:
    """The per-frame times (`pts_time type` a line) of an input, as ffmpeg's own decoder sees them."""
    done = run_tool(
        [ffmpeg(), "-nostdin", "-v", "info", *argv_input, "-map", "0:v:0", "-vf", "showinfo", "-f", "null", "-"],
        timeout_s=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
