"""The parent of all processes: opens the listening socket once, keeps the children alive, ends them in order.

The socket stays with the parent and is inherited, so an edge process that dies or is restarted takes no queued connection
with it: SO_REUSEPORT would drop those. A restart is rolling: an edge process, or the drain, is told to go only once its
successor works. A worker is told to finish: nobody waits for the next one, and hours of encoding are not thrown away.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.process import start_service
from core.settings import ROOT
from edge.local.fault import ServiceFault
from edge.local.installation import Installation
from edge.metric_files import fold
from edge.settings import Settings, as_listen

WATCH_S = 0.1
BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 30
STOP_S = 40
READY_S = 30
READY_POLL_S = 0.02


@dataclass(slots=True)
class Watched:
    """A child that should be running."""

    name: str
    argv: list[str]
    log: Path
    fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    falls: int = 0
    due_at: float = 0.0
    finishes: bool = False
    """It has been told to end when its tasks are done; its successor is started then."""


def open_socket(settings: Settings) -> socket.socket:
    """The listening socket. Raises ServiceFault when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.listen_host, settings.listen_port))
    except OSError as error:
        listening.close()
        where = f"{settings.listen_host}:{settings.listen_port}"
        raise ServiceFault(
            "Penstock",
            f"cannot listen on {where}: {error.strerror}",
            "Set PENSTOCK_LISTEN or --port to another one; --port 0 picks a free one.",
        ) from error
    listening.listen(2048)
    return listening


@dataclass(slots=True)
class Supervisor:
    """Runs edge processes, a drain, a deliverer and workers over a started installation."""

    installation: Installation
    listening: socket.socket
    on_fall: Callable[[str, int], None] = lambda name, code: None
    children: list[Watched] = field(default_factory=list)
    leaving: dict[subprocess.Popen[bytes], float] = field(default_factory=dict)
    """Processes that have been told to go, and when patience with them ends."""
    all_left: asyncio.Event = field(default_factory=asyncio.Event)
    """Nobody is leaving any more; known to whoever runs `watch`."""
    _server_falls: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the edge listens."""
        host, port = self.listening.getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - shown, not bound
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    def start(self, *, edges: int, workers: int) -> None:
        """Starts every child."""
        settings = self.installation.settings
        shutil.rmtree(self._metrics, ignore_errors=True)
        self._metrics.mkdir(parents=True)
        fd = self.listening.fileno()
        for number in range(edges):
            argv = [sys.executable, "-m", "edge", "serve", "--fd", str(fd)]
            self.children.append(Watched(f"edge-{number}", argv, settings.logs / "edge.log", (fd,)))
        self.children.append(Watched("drain", [sys.executable, "-m", "edge", "drain"], settings.logs / "drain.log"))
        self.children.append(
            Watched("deliverer", [sys.executable, "-m", "edge", "deliver"], settings.logs / "deliverer.log")
        )
        for number in range(workers):
            self.children.append(
                Watched(f"worker-{number}", [sys.executable, "-m", "transcoder"], settings.logs / "worker.log")
            )
        for child in self.children:
            self._launch(child)

    def _launch(self, child: Watched) -> None:
        child.process = self._process_for(child)
        child.finishes = False
        child.started_at = time.monotonic()

    def _process_for(self, child: Watched, *, ready_fd: int | None = None) -> subprocess.Popen[bytes]:
        extra = [] if ready_fd is None else ["--ready", str(ready_fd)]
        fds = child.fds if ready_fd is None else (*child.fds, ready_fd)
        return start_service([*child.argv, *extra], log=child.log, env=self._environment(child), pass_fds=fds, cwd=ROOT)

    def _environment(self, child: Watched) -> Mapping[str, str]:
        environment = dict(self.installation.environment())
        # Port 0 has become another one, and links in mail begin with it.
        environment["PENSTOCK_LISTEN"] = as_listen(*self.listening.getsockname()[:2])
        if child.name.startswith(("edge", "deliverer", "worker")):
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(self._metrics)
        return environment

    @property
    def _metrics(self) -> Path:
        return self.installation.settings.data / "run" / "metrics"

    async def roll(self) -> int:
        """Replaces every process by a fresh one in today's environment; how many edge processes were replaced.

        One that does not come to serve leaves its predecessor in place and ends the roll. Workers follow as they finish.
        Raises ServiceFault.
        """
        rolled = 0
        for child in [child for child in self.children if not child.name.startswith("worker")]:
            await self._replace(child)
            rolled += child.name.startswith("edge")
        for child in self.children:
            if child.name.startswith("worker") and child.process is not None:
                child.finishes = True
                child.process.send_signal(signal.SIGHUP)
        return rolled

    async def _replace(self, child: Watched) -> None:
        listens, tells = os.pipe()
        successor: subprocess.Popen[bytes] | None = None
        try:
            try:
                successor = self._process_for(child, ready_fd=tells)
            finally:
                os.close(tells)
            if not await _told_ready(listens):
                raise ServiceFault(
                    "Penstock",
                    f"a new {child.name} does not come to serve; the old one goes on",
                    f"Its log is {child.log}.",
                )
        except BaseException:
            if successor is not None:
                successor.kill()
                successor.wait()
            raise
        finally:
            os.close(listens)
        # What `child.process` is now may be younger than this roll: it fell and was started again meanwhile.
        predecessor, child.process = child.process, successor
        child.started_at, child.falls = time.monotonic(), 0
        if predecessor is not None:
            predecessor.send_signal(signal.SIGTERM)
            self.leaving[predecessor] = time.monotonic() + STOP_S
            self.all_left.clear()

    def _see_off(self) -> None:
        """Forgets those that have left; ends those that have overstayed."""
        for process, until in list(self.leaving.items()):
            if process.poll() is not None:
                del self.leaving[process]
                fold(self._metrics, process.pid)
            elif time.monotonic() > until:
                process.kill()
        if not self.leaving:
            self.all_left.set()

    async def wait_ready(self, timeout_s: float = 30) -> None:
        """Returns when an edge answers that it is ready. Raises ServiceFault when it does not in time, or a server died."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._check_servers()
            if await asyncio.to_thread(self._is_ready):
                return
            await asyncio.sleep(WATCH_S)
            self._relaunch_fallen()
        raise ServiceFault(
            "Penstock", f"was not ready within {timeout_s:g} s", f"The logs are in {self.installation.settings.logs}."
        )

    def _is_ready(self) -> bool:
        host, port = self.listening.getsockname()[:2]
        try:
            with socket.create_connection((host, port), timeout=2) as probe:
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return probe.recv(16).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    async def watch(self, stop: asyncio.Event) -> None:
        """Until `stop`: a child that falls is started again, sooner at first, later if it keeps falling."""
        backing_up = asyncio.create_task(self.installation.back_up(stop))
        try:
            while not stop.is_set():
                self._check_servers()
                self._relaunch_fallen()
                self._see_off()
                try:
                    async with asyncio.timeout(WATCH_S):
                        await stop.wait()
                except TimeoutError:
                    continue
        finally:
            backing_up.cancel()

    def _check_servers(self) -> None:
        """The embedded servers are started again at once when they die: everything else waits for them."""
        for server in (self.installation.postgres, self.installation.valkey):
            if server is None or server.process is None or (code := server.process.poll()) is None:
                continue
            now = time.monotonic()
            name = type(server).__name__
            tries, due_at = self._server_falls.get(name, (0, 0.0))
            if now < due_at:
                continue
            self.on_fall(name, code)
            try:
                server.start()
                self._server_falls.pop(name, None)
            except (ServiceFault, OSError):
                # After a kill -9 the old backends may still hold the data folder for a moment.
                if tries + 1 >= len(BACK_OFF_S):
                    raise
                self._server_falls[name] = (tries + 1, now + BACK_OFF_S[tries + 1])

    def _relaunch_fallen(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.due_at:
                    self._launch(child)
            elif (code := child.process.poll()) is not None:
                fold(self._metrics, child.process.pid)
                child.process = None
                # One that was told so early that it could not listen yet ended by the signal itself.
                if child.finishes and code in (0, -signal.SIGHUP):
                    self._launch(child)
                    continue
                child.falls = 1 if now - child.started_at > STEADY_S else child.falls + 1
                child.due_at = now + BACK_OFF_S[min(child.falls - 1, len(BACK_OFF_S) - 1)]
                self.on_fall(child.name, code)

    def stop(self) -> None:
        """Ends every child, together; SIGKILL to one that has not ended in time. Then the servers."""
        ending: list[subprocess.Popen[bytes]] = []
        for child in self.children:
            if child.process is not None:
                # Nobody takes over from an edge now: SIGINT spares the wait for connections that keep silent.
                child.process.send_signal(signal.SIGINT if child.name.startswith("edge") else signal.SIGTERM)
                ending.append(child.process)
        for process in self.leaving:
            process.send_signal(signal.SIGINT)
            ending.append(process)
        deadline = time.monotonic() + STOP_S
        for process in ending:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.children.clear()
        self.leaving.clear()
        self.listening.close()
        self.installation.stop()

    def kill(self) -> None:
        """SIGKILL to every child, at once; the servers end by themselves when their parent does. Safe in a signal handler."""
        for process in [*(child.process for child in self.children if child.process is not None), *self.leaving]:
            process.kill()


async def _told_ready(listens: int) -> bool:
    """Whether a byte comes down the pipe in time; False also when its other end is closed without one."""
    os.set_blocking(listens, False)
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            return bool(os.read(listens, 1))
        except BlockingIOError:
            await asyncio.sleep(READY_POLL_S)
    return False
