"""Runs ffmpeg: encodes with progress, decodes to check. Decides when it hangs, what an end means."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from core import errors
from core.errors import Refusal
from core.process import Child, Limits, running
from transcoder.confine import EXIT_UNCONFINED
from transcoder.encode import EXIT_TOO_MANY_ERRORS
from transcoder.progress import Progress
from transcoder.sandbox import find_shelter, shut_in

STALL_S = 120.0
# Slower than this against the film's length is no encode any more, on any machine.
_MAX_SLOWNESS = 200
_MIN_PATIENCE_S = 300.0
_MEMORY_BYTES = 16 << 30
_FILE_BYTES = 256 << 30
# SVT-AV1 writes twenty lines of its settings to stderr, where an error's last words are looked for.
_ENVIRONMENT = {"SVT_LOG": "1"}
_STOPPED_BY = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STOPPED = tuple(-number for number in _STOPPED_BY)


class Transient(Exception):  # noqa: N818 - states the fact
    """Nothing is wrong with the source: another attempt may succeed. Carries what a person is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


async def encode(
    argv: Sequence[str], total_s: float, moved: Callable[[Progress], None], *, reads: Sequence[Path], writes: Path
) -> None:
    """Runs the ladder's ffmpeg to its end: it sees `reads` and changes `writes`. Raises Refusal for a bad source, else Transient."""
    progress = Progress(total_s, time.monotonic())
    last_moved_at = time.monotonic()
    try:
        async with (
            asyncio.timeout(patience_s(total_s)),
            confined(argv, total_s, reads=reads, writes=[writes], cwd=writes) as child,
        ):
            async for line in child.lines():
                if progress.read(line):
                    last_moved_at = time.monotonic()
                    moved(progress)
                elif time.monotonic() - last_moved_at > STALL_S:
                    raise TimeoutError
            await _end(child)
    except TimeoutError:
        raise Refusal(errors.ENCODE_FAILED, "The encoder stopped making progress.") from None


async def run(argv: Sequence[str], total_s: float, *, reads: Sequence[Path], writes: Path) -> str:
    """Runs a shorter ffmpeg to its end; what it said on stderr. Raises Refusal, Transient."""
    try:
        async with (
            asyncio.timeout(patience_s(total_s)),
            confined(argv, total_s, reads=reads, writes=[writes], cwd=writes) as child,
        ):
            async for _ in child.lines():
                pass
            await _end(child)
            return child.stderr_tail.strip()
    except TimeoutError:
        raise Refusal(errors.ENCODE_FAILED, "The encoder did not end in time.") from None


@asynccontextmanager
async def confined(
    argv: Sequence[str],
    total_s: float,
    *,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
    cwd: Path,
    is_fed: bool = False,
) -> AsyncIterator[Child]:
    """A running ffmpeg that sees `reads` and changes `writes`; `is_fed`: its input comes from us."""
    shelter = await asyncio.to_thread(find_shelter)
    cpu_s = int(patience_s(total_s)) * (os.cpu_count() or 1)
    limits = Limits(cpu_s=cpu_s, memory_bytes=_MEMORY_BYTES, file_bytes=_FILE_BYTES)
    shut = shut_in(shelter, argv, reads=reads, writes=writes, cwd=cwd if writes else Path("/"))
    async with running(shut, env=_ENVIRONMENT, cwd=cwd, limits=limits, is_fed=is_fed) as child:
        yield child


def patience_s(total_s: float) -> float:
    """Wall-clock seconds after which a run over `total_s` of media is given up."""
    return max(_MIN_PATIENCE_S, _MAX_SLOWNESS * total_s)


async def _end(child: Child) -> None:
    code = await child.wait()
    if code != 0:
        raise explain(code, child.stderr_tail)


def explain(code: int, stderr: str) -> Refusal | Transient:
    """What ffmpeg's exit means: our disk, our machine, or the source."""
    tail = "\n".join(stderr.splitlines()[-5:])
    if "No space left on device" in stderr or "Disk quota exceeded" in stderr:
        return Transient(Refusal(errors.DISK_FULL, details=tail))
    if code == EXIT_UNCONFINED:
        return Transient(Refusal(errors.NOT_CONFINED, details=tail))
    # bubblewrap tells a signal as a shell does.
    if code in _STOPPED or code - 128 in _STOPPED_BY or "Cannot allocate memory" in stderr:
        # Killed (out of memory, an operator): the source may be fine. A crash is the source's doing, and would come again.
        return Transient(Refusal(errors.ENCODE_FAILED, "The encoder was stopped from outside.", details=tail))
    if code == EXIT_TOO_MANY_ERRORS:
        return Refusal(errors.TRUNCATED_MEDIA, "Too much of the file is damaged to be shown.", details=tail)
    return Refusal(errors.ENCODE_FAILED, details=tail)


def executable(configured: Path | None) -> Path:
    """The configured ffmpeg, or the one that comes with imageio-ffmpeg."""
    if configured is not None:
        return configured
    import imageio_ffmpeg  # an optional dependency: only looked for when nothing is configured

    return Path(imageio_ffmpeg.get_ffmpeg_exe())
