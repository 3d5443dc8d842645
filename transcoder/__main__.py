"""Runs one worker: `python -m transcoder`. Settings from the environment, JSON logs.

SIGHUP    ends when the tasks in hand are done, taking no more
SIGTERM   gives the tasks in hand back, and ends
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from functools import partial
from pathlib import Path

import structlog

from core.database import Database
from core.domain.logins import login_variable
from core.domain.media_dispatch import Consumer
from core.domain.media_encoding import Encoding
from core.domain.media_settings import WorkerSettings, read_worker_settings
from core.objects import ObjectStore
from core.variables import SettingsError, Variables
from transcoder import figures
from transcoder.abilities import find_abilities
from transcoder.codecs import sort_codecs
from transcoder.encoder import executable
from transcoder.reaching import wait_for_database
from transcoder.room import Bounds
from transcoder.sandbox import find_shelter
from transcoder.worker import Worker

log = structlog.get_logger("transcoder")
RECONNECT_S = 1.0
# Whoever sent SIGTERM sends SIGKILL soon after.
STOP_S = 4.5


async def serve(settings: WorkerSettings, variable: str) -> None:
    """Works until SIGTERM, SIGINT or SIGHUP, reconnecting for as long as the database is away.

    Raises SettingsError when the database that `variable` names is there and does not let us in.
    """
    assert settings.database_url is not None
    stop, finish = asyncio.Event(), asyncio.Event()
    pause = partial(_pause, stop, finish)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, finish.set)
    store = ObjectStore(settings.store_url)
    _serve_figures(settings)
    if not await wait_for_database(settings, variable, pause):
        return
    database = await Database.connect(settings.database_url, name="transcoder", max_size=4 + 2 * settings.worker_slots)
    worker = Worker(
        database,
        store,
        settings.scratch,
        ffmpeg=settings.ffmpeg,
        slots=settings.worker_slots,
        chunk_s=settings.chunk_s,
        encoding=settings.encoding,
        ring=settings.secret_keys,
        top=settings.ladder_top,
        bounds=Bounds(settings.scratch_bytes, settings.spare_bytes),
    )
    looking_after = asyncio.create_task(worker.look_after())
    await _tell_shelter()
    await _tell_abilities(executable(settings.ffmpeg), settings.encoding)
    log.info("worker_ready", slots=settings.worker_slots, store=store.provider)
    try:
        heard_at = settings.listen_database_url or settings.database_url
        while True:
            await _consume(heard_at, worker, settings.worker_slots, stop, finish)
            if stop.is_set() or finish.is_set() or not await wait_for_database(settings, variable, pause):
                break
    finally:
        worker.stop()
        await looking_after
        await database.close()
        log.info("worker_stopped")


def _serve_figures(settings: WorkerSettings) -> None:
    try:
        port = figures.serve(settings.worker_metrics)
    except OSError as error:
        # A farm must not stand still for want of its figures.
        log.warning("figures_not_served", at=settings.worker_metrics, error=str(error))
        return
    if port is not None:
        log.info("figures_served", port=port)


async def _tell_shelter() -> None:
    """What decoders are shut in by, and what they could still do, is the operator's to know."""
    shelter = await asyncio.to_thread(find_shelter)
    log.info("sandbox", bubblewrap=shelter.bubblewrap, layers=shelter.layers)
    if shelter.missing:
        hint = "Install bubblewrap, or allow this container Landlock, seccomp or user namespaces."
        log.warning("sandbox_incomplete", decoders_can=shelter.missing, hint=hint)


async def _tell_abilities(exe: Path, encoding: Encoding) -> None:
    """A worker whose ffmpeg lacks what every job asks for would take each and give it back."""
    able = await asyncio.to_thread(find_abilities, exe)
    if lacking := able.lacks(sort_codecs(encoding.codecs or ()), is_hdr=True):
        hint = "Unset PENSTOCK_FFMPEG for the bundled one, or name fewer PENSTOCK_CODECS."
        log.warning("ffmpeg_incomplete", lacks=lacking, hint=hint)
    if encoding.quality == "auto" and able.meter is None:
        log.warning("ffmpeg_incomplete", lacks="libvmaf and xpsnr", hint="Titles get the fixed ladder.")


async def _consume(url: str, worker: Worker, slots: int, stop: asyncio.Event, finish: asyncio.Event) -> None:
    """One life of the queue's connection.

    Returns when it is lost, when `finish` is set and the tasks in hand are done, or when `stop` is and they are given back.
    """
    consumer = Consumer(url, worker.handle, slots=slots)
    running = asyncio.create_task(consumer.run())
    stopping, finishing = asyncio.create_task(stop.wait()), asyncio.create_task(finish.wait())
    await asyncio.wait((running, stopping, finishing), return_when=asyncio.FIRST_COMPLETED)
    if finish.is_set() and not stop.is_set():
        log.info("worker_finishes")
        worker.finish()
        consumer.stop()
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    finishing.cancel()
    if stop.is_set():
        worker.stop()
        consumer.stop()
        _, late = await asyncio.wait((running,), timeout=STOP_S)
        for task in late:
            task.cancel()
    try:
        await running
    except asyncio.CancelledError:
        log.warning("queue_cut_off")
    except Exception as error:
        # The queue's library may raise anything when its connection breaks.
        log.warning("queue_lost", error=f"{type(error).__name__}: {error}")
        await _pause(stop, finish, RECONNECT_S)


async def _pause(stop: asyncio.Event, finish: asyncio.Event, seconds: float) -> bool:
    """Whether the worker has been told to end, sooner than these seconds are over."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, finish)]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)


def main() -> int:
    """The process's exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    variables = Variables()
    try:
        settings = read_worker_settings(variables)
        if settings.database_url is None:
            mend = "Give the worker the database's address, or start everything with ./penstock."
            raise SettingsError("PENSTOCK_DATABASE_URL", "is not set", mend)
        asyncio.run(serve(settings, login_variable(variables)))
    except SettingsError as error:
        sys.stderr.write(f"penstock: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
