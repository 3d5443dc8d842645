"""Child processes: the only module that starts one.

A child gets a process group of its own and dies with its parent (PR_SET_PDEATHSIG), so a kill -9 of ours leaves no encoder
running; its stderr is drained into a bounded tail, since a full pipe stops the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAIL_LINES = 200
LINE_BYTES = 64 * 1024
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use at most; None leaves a limit as it is."""

    cpu_s: int | None = None
    memory_bytes: int | None = None
    file_bytes: int | None = None


NO_LIMITS = Limits()


def die_with_parent(limits: Limits = NO_LIMITS, death_signal: int = signal.SIGKILL) -> Callable[[], None]:
    """What the child runs between fork and exec. Uses only system calls: other threads may hold locks."""
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            # It died between the fork and the line above, so nothing will be sent any more.
            os.kill(os.getpid(), signal.SIGKILL)
        for kind, value, more in (
            # SIGXCPU comes before SIGKILL, which could be anybody's: who was ended by its own limit can be told.
            (resource.RLIMIT_CPU, limits.cpu_s, 1),
            (resource.RLIMIT_AS, limits.memory_bytes, 0),
            (resource.RLIMIT_FSIZE, limits.file_bytes, 0),
        ):
            if value is not None:
                resource.setrlimit(kind, (value, value + more))

    return prepare


class Child:
    """A running child: its stdout lines can be read, its stderr tail is kept. `pid` is its group's too, `stdin` feeds it where it is fed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self.stdin, self.pid = process, process.stdin, process.pid
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._drain = asyncio.create_task(self._keep_tail())

    @property
    def stderr_tail(self) -> str:
        """The last lines it wrote to stderr."""
        return "\n".join(self._tail)

    async def _keep_tail(self) -> None:
        assert self._process.stderr is not None
        line = None
        while line != b"":
            with contextlib.suppress(ValueError):  # a line longer than the buffer: drop it, keep draining
                if line := await self._process.stderr.readline():
                    self._tail.append(line.decode("utf-8", "replace").rstrip())

    async def lines(self) -> AsyncIterator[str]:
        """Its stdout, a line at a time."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            yield line.decode("utf-8", "replace").rstrip("\n")

    async def wait(self) -> int:
        """Its exit code, once stderr has been read to the end."""
        code = await self._process.wait()
        await self._drain
        return code

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


@asynccontextmanager
async def running(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limits: Limits = NO_LIMITS,
    is_fed: bool = False,
) -> AsyncIterator[Child]:
    """Starts `argv` (no shell) and yields it; on leaving, whatever is left of its group is killed. `is_fed`: it reads its stdin."""

    async def start() -> Child:
        process = await asyncio.create_subprocess_exec(
            *(str(part) for part in argv),
            stdin=asyncio.subprocess.PIPE if is_fed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=env,
            limit=LINE_BYTES,
            start_new_session=True,
            preexec_fn=die_with_parent(limits),
        )
        return Child(process)

    # Let come to its end whoever gives up: a start that is cancelled kills what it knows, and waits for the pipes of all.
    starting = asyncio.create_task(start())
    try:
        yield await asyncio.shield(starting)
    finally:
        await asyncio.shield(_ended(starting))


async def _ended(starting: asyncio.Task[Child]) -> None:
    child = await starting
    child.kill()
    await child.wait()


def _as(user: tuple[int, int] | None) -> dict[str, Any]:
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}


def start_service(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    death_signal: int = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a long-lived service with its output appended to `log`, as `user` (uid, gid) if given.

    `death_signal` is what it gets should we be killed outright: PostgreSQL wants SIGINT for a fast, clean stop.
    """
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - argv is ours, never a shell's
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            **_as(user),
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            preexec_fn=die_with_parent(death_signal=death_signal),
        )


def run_tool(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    user: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a short tool to its end and returns what it printed; does not raise on a bad exit code."""
    return subprocess.run(  # noqa: S603 - argv is ours, never a shell's
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        **_as(user),
        env=None if env is None else dict(env),
        cwd=cwd,
        check=False,
    )
