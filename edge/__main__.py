"""`python -m edge serve --fd N` runs one web process on a socket its parent opened; `python -m edge drain` one drain,
`python -m edge deliver` one deliverer of effects.

On the pipe of `--ready M` each writes one byte once it does its work: the shared port cannot say which process answered.
What only one of the three does is imported by it: all that the web process knows takes 0.6 s and 40 MB.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import uvloop

from core.database import Database
from core.variables import SettingsError
from edge.observation import start_logging
from edge.redis_client import connect
from edge.settings import Settings, read_settings

if TYPE_CHECKING:
    from edge.lane.traffic import Traffic

log = structlog.get_logger("edge")

BACKLOG = 2048
COLLECT_AFTER_OBJECTS = 20_000
DRAIN_COLLECT_AFTER_OBJECTS = 200_000


async def serve(
    settings: Settings, listening: socket.socket, ready_fd: int | None = None, traffic: Traffic | None = None
) -> None:
    """Serves until a signal, then lets what runs finish (edge/leaving.py). `traffic` says how patient it is with clients."""
    from aiohttp import web

    from edge.api.boundary import LARGEST_FIELD_BYTES, LARGEST_TARGET_BYTES, refuse_unparsed
    from edge.api.knocking import DoorProtocol, handlers
    from edge.app import open_edge
    from edge.lane.handler import parses_in_c
    from edge.lane.lane import Lane
    from edge.lane.traffic import KEEP_ALIVE_S, Traffic
    from edge.leaving import DRAIN_S, GRACE_S

    if not parses_in_c():
        raise SettingsError(
            "AIOHTTP_NO_EXTENSIONS",
            "aiohttp's C parser is missing, and its other one does not refuse all that it must",
            "Unset it, and install aiohttp from a wheel.",
        )
    edge = await open_edge(settings)
    runner = web.AppRunner(
        edge.app(),
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=DRAIN_S - GRACE_S,
        handle_signals=False,
        max_line_size=LARGEST_TARGET_BYTES,
        max_field_size=LARGEST_FIELD_BYTES,
    )
    await runner.setup()
    assert runner.server is not None
    edge.leaving.heed_signals()
    traffic = traffic or Traffic()
    lane = Lane(
        edge.learned,
        edge.sessions.session_of,
        handlers(runner.server, refuse_unparsed),
        traffic,
        edge.sessions.begin_check,
        edge.wholes,
        edge.beat_lane,
    )
    server = await asyncio.get_running_loop().create_server(
        lambda: DoorProtocol(lane, edge.door), sock=listening, backlog=BACKLOG
    )
    sweeping = asyncio.create_task(traffic.sweep())
    # What stands now stays, and a new session is a few dozen objects: at Python's 700, looking through them for cycles
    # was a fifth of what a new token cost.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 20, 20)
    gc.enable()
    log.info("serving", address=str(listening.getsockname()), connections_at_most=traffic.cap)
    _tell_ready(ready_fd)
    await edge.leaving.begun.wait()
    edge.health.draining.set()
    server.close()
    lane.close()
    edge.beat_lane.is_open = False
    edge.wholes.close()
    await edge.leaving.let_go(traffic)
    traffic.close_idle()
    await runner.cleanup()
    await traffic.drained(DRAIN_S)
    sweeping.cancel()
    lane.files.close()


def _tell_ready(ready_fd: int | None) -> None:
    if ready_fd is not None:
        with suppress(OSError):  # whoever asked may be gone
            os.write(ready_fd, b"1")
        os.close(ready_fd)


async def drain(settings: Settings, ready_fd: int | None = None) -> None:
    """Drains heartbeats until SIGTERM."""
    from edge.progress.drain import Drain
    from edge.progress.fold import rules_from

    if settings.database_url is None or settings.redis_url is None:
        raise SettingsError(
            "PENSTOCK_DATABASE_URL", "PENSTOCK_REDIS_URL must be set too", "Or start it with `./penstock up`."
        )
    lanes = settings.progress_partitions
    database = await Database.connect(settings.database_url, name="drain", max_size=min(lanes, 7) + 1)
    redis = connect(settings.redis_url, blocking=True, max_connections=256 + 16)
    worker = Drain(
        database,
        redis,
        partitions=lanes,
        rules=rules_from(settings),
        keep_months=settings.views_keep_months,
        errors_keep_days=settings.errors_keep_days,
        sessions_keep_days=settings.sessions_keep_days,
    )
    # A batch is tens of thousands of objects that live for a moment and are no cycles. Looking through them took a fifth of the
    # drain's time as Python has it, a tenth with COLLECT_AFTER_OBJECTS.
    gc.freeze()
    gc.set_threshold(DRAIN_COLLECT_AFTER_OBJECTS, 20, 20)
    try:
        await _until_told(worker.run, worker.stop, ready_fd)
    finally:
        await redis.aclose()
        await database.close()


async def deliver(settings: Settings, ready_fd: int | None = None) -> None:
    """Delivers effects until SIGTERM; what is in hand is finished."""
    from edge.effects.process import open_courier

    async with open_courier(settings) as courier:
        await _until_told(courier.run, courier.stop, ready_fd)


async def _until_told(run: Callable[[], Awaitable[None]], stop: Callable[[], None], ready_fd: int | None) -> None:
    """Awaits `run()`, which ends some time after `stop()`: SIGTERM and SIGINT call that."""
    loop = asyncio.get_running_loop()
    # Before anybody hears that it works: whoever hears it may send the signal at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _tell_ready(ready_fd)
    await run()


def main(argv: list[str]) -> int:
    """Runs what `argv` says; the exit code."""
    ready_fd: int | None = None
    match argv:
        case ["serve", "--fd", number] if number.isdigit():
            name = "edge"
        case ["serve", "--fd", number, "--ready", ready] if number.isdigit() and ready.isdigit():
            name, ready_fd = "edge", int(ready)
        case ["drain" | "deliver" as role]:
            name = role
        case ["drain" | "deliver" as role, "--ready", ready] if ready.isdigit():
            name, ready_fd = role, int(ready)
        case _:
            sys.stderr.write(
                "usage: python -m edge serve --fd N [--ready M] | drain [--ready M] | deliver [--ready M]\n"
            )
            return 2
    listener = start_logging(name)
    try:
        settings = read_settings()
        if name == "edge":
            listening = socket.socket(fileno=int(argv[2]))
            listening.setblocking(False)
            # Until it serves: what is imported stays, and looking through it for cycles is a fifth of the time that it takes.
            gc.disable()
            uvloop.run(serve(settings, listening, ready_fd))
        else:
            uvloop.run(drain(settings, ready_fd) if name == "drain" else deliver(settings, ready_fd))
    except SettingsError as error:
        log.error("settings", error=str(error))
        return 2
    finally:
        with suppress(RuntimeError):
            listener.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
