"""Moves beats from the stream into PostgreSQL: read, fold, commit, then acknowledge. Runs in as many processes as wanted.

An entry is acknowledged only after the commit, so a death in between means it is read again, and the ledger makes that
harmless. What fails for reasons of its own goes to the dead letters after `MAX_DELIVERIES`; what fails because a server is
away waits for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import structlog

from core.database import Database, DatabaseDown
from core.errors import TIMEOUT, Refusal
from core.ids import DEFAULT_TENANT
from core.redis_client import Redis, RedisError, ResponseError
from core.viewer import service
from edge.progress.beat import Beat
from edge.progress.stream import DrainStream, Entry
from edge.progress.write import SQL, write_beats

log = structlog.get_logger(__name__)

READ_ENTRIES = 32
BLOCK_MS = 1000
# A reader that is only slow may be overtaken: the ledger lets one of the two transactions count. A dead one's beats
# should not wait longer than that.
CLAIM_IDLE_MS = 8_000
CLAIM_EVERY_S = 2
KEEP_EVERY_S = 3600
MAX_DELIVERIES = 5
BACK_OFF_S = 0.5


class Drain:
    """One consumer."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._stream = DrainStream(redis, f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
        self._stopping = asyncio.Event()
        self._unfinished: list[Entry] = []
        self.beats = 0
        self.buried = 0

    def stop(self) -> None:
        """Ends after the batch in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; survives the absence of either server."""
        opened = False
        claimed_at = kept_at = -float("inf")
        while not self._stopping.is_set():
            try:
                if not opened:
                    await self._stream.open()
                    opened = True
                now = time.monotonic()
                if now - kept_at > KEEP_EVERY_S:
                    await self._keep()
                    kept_at = now
                entries = self._unfinished
                if not entries and now - claimed_at > CLAIM_EVERY_S:
                    entries = await self._stream.claim(READ_ENTRIES, CLAIM_IDLE_MS)
                    claimed_at = now
                self._unfinished = entries or await self._stream.read(READ_ENTRIES, BLOCK_MS)
                if self._unfinished:
                    await self._settle(self._unfinished)
                    self._unfinished = []
            except ResponseError as error:
                # NOGROUP: the stream was emptied under us, by a restore or a flush.
                opened = False
                log.warning("drain_stream", error=str(error))
                await self._pause()
            except (DatabaseDown, RedisError, OSError, TimeoutError) as error:
                log.warning("drain_waits", error=f"{type(error).__name__}: {error}")
                await self._pause()
        with suppress(RedisError, OSError):
            await self._stream.leave()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_OFF_S):
                await self._stopping.wait()

    async def _keep(self) -> None:
        async with self._database.transaction(service(DEFAULT_TENANT)) as tx:
            await tx.value(SQL["views_partitions_ensure"])
            await tx.run(SQL["ledger_forget_old"])

    async def _settle(self, entries: Sequence[Entry]) -> None:
        """Commits and acknowledges `entries`; a poisonous one among them is found by taking them one at a time."""
        readable: list[tuple[Entry, list[Beat]]] = []
        for entry in entries:
            try:
                readable.append((entry, entry.beats()))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                await self._bury(entry, f"unreadable: {error}")
        if not readable:
            return
        try:
            self.beats += await write_beats(self._database, [beat for _, beats in readable for beat in beats])
            await self._stream.done([entry for entry, _ in readable])
            return
        except Refusal as refusal:
            if refusal.code is TIMEOUT:
                raise DatabaseDown("a batch timed out") from refusal
            log.warning("drain_batch_refused", entries=len(readable), error=str(refusal), details=refusal.details)
        for entry, beats in readable:
            try:
                self.beats += await write_beats(self._database, beats)
                await self._stream.done([entry])
            except Refusal as refusal:
                await self._bury(entry, f"{refusal}")

    async def _bury(self, entry: Entry, reason: str) -> None:
        self.buried += 1
        log.error("beat_entry_dead", entry=entry.id.decode(), reason=reason)
        await self._stream.bury(entry, reason)
