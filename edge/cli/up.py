"""`penstock up`: runs an installation until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from edge.cli.pages import ensure_pages
from edge.local.fault import ServiceFault
from edge.local.installation import Installation
from edge.local.supervisor import Supervisor, open_socket
from edge.settings import Settings, read_settings


def settings_for(*, port: int | None, data: Path | None) -> Settings:
    """Settings from the environment, with what the command line says instead. Raises SettingsError."""
    environ = dict(os.environ)
    if data is not None:
        environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())
    settings = read_settings(environ)
    return replace(settings, listen_port=port) if port is not None else settings


def stop_on_signals(at_once: Callable[[], None] = lambda: None) -> asyncio.Event:
    """An event that SIGTERM, SIGINT and SIGHUP set; a second signal calls `at_once` and ends the process."""
    stop = asyncio.Event()

    def hear() -> None:
        if stop.is_set():
            at_once()
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, hear)
    return stop


def run_up(*, port: int | None, data: Path | None, edges: int | None, workers: int) -> int:
    """Runs until a signal; the exit code."""
    return asyncio.run(_up(settings_for(port=port, data=data), edges, workers))


async def _up(settings: Settings, edges: int | None, workers: int) -> int:
    console = Console(stderr=True)
    ensure_pages(console)
    listening = open_socket(settings)
    installation = Installation(settings)
    supervisor = Supervisor(
        installation,
        listening,
        on_fall=lambda name, code: console.print(f"[yellow]{name} ended ({code}): starting it again"),
    )
    stop = stop_on_signals(supervisor.kill)
    renewal = Renewal(supervisor, console)
    try:
        with console.status("Starting PostgreSQL, Valkey and the edge"):
            done = await installation.start()
            supervisor.start(edges=edges or settings.edge_processes, workers=workers)
            await supervisor.wait_ready()
        if done:
            console.print(f"Migrated: {', '.join(done)}")
        console.print(f"Penstock serves at [bold]{supervisor.url}[/]   data: {settings.data}   logs: {settings.logs}")
        renewal.start(stop)
        await supervisor.watch(stop)
        console.print("Stopping")
    finally:
        await renewal.end()
        await asyncio.to_thread(supervisor.stop)
    return 0


@dataclass(slots=True)
class Renewal:
    """SIGHUP: the key ring is read again and every process is replaced, one after another, under full load."""

    supervisor: Supervisor
    console: Console
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def start(self, stop: asyncio.Event) -> None:
        """From here on SIGHUP renews; on a terminal that has gone away it sets `stop`."""
        has_terminal = _terminal_is_there()

        def hear() -> None:
            # The kernel sends SIGHUP to a foreground process whose terminal closes: nobody will be there to stop it.
            if has_terminal and not _terminal_is_there():
                stop.set()
            self._asked.set()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hear)
        folder = self.supervisor.installation.settings.data / "run"
        (folder / "pid").write_text(f"{os.getpid()}\n")
        self._note_keys()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._asked.wait()
            # Asked again while at it: once more afterwards, since what changed may have come too late for the first ones.
            self._asked.clear()
            try:
                self.supervisor.installation.read_keys_again()
                count = await self.supervisor.roll()
                # Those that leave still answer for a moment, with the keys they know.
                await self.supervisor.all_left.wait()
            except ServiceFault as fault:
                self.console.print(f"[red]Not renewed: {fault}")
                continue
            self._note_keys()
            self.console.print(f"Renewed {count} web processes and the drain; a worker follows when its task is done")

    def _note_keys(self) -> None:
        """Leaves word of which keys every process knows, and which signs last: `penstock keys` must not outrun them."""
        settings = self.supervisor.installation.settings
        assert settings.secret_keys is not None
        text = "\n".join(key.id for key in settings.secret_keys.keys) + "\n"
        noted = settings.data / "run" / "keys"
        if noted.exists() and noted.read_text() == text:
            return  # its age says since when the ring is what it is
        fresh = settings.data / "run" / "keys.new"
        fresh.write_text(text)
        fresh.rename(noted)

    async def end(self) -> None:
        """No more renewals; one under way is given up, its predecessor still serving."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def _terminal_is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
