"""Where accepted beats are made durable: the stream while Redis answers, PostgreSQL itself while it does not.

Both ways end in the same rows by the same fold, and the ledger knows a beat by its event id whichever way it came: one
whose stream entry was written although the answer was lost is written here too, and counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from edge.progress.beat import Beat
from edge.progress.stream import IntakeStream
from edge.redis_client import RedisDown, RedisError

log = structlog.get_logger(__name__)

PROBE_S = 0.5

Write = Callable[[Sequence[Beat]], Awaitable[object]]
"""Writes beats into PostgreSQL in one transaction. Raises DatabaseDown, Refusal."""


class Intake:
    """`store` is what a Batcher calls: one batch, one commit or one stream entry."""

    def __init__(self, stream: IntakeStream, write: Write) -> None:
        self._stream = stream
        self._write = write
        self._probing: asyncio.Task[None] | None = None
        self.direct = 0
        """Beats that went to PostgreSQL without the stream."""

    @property
    def is_direct(self) -> bool:
        """Whether beats go straight to PostgreSQL now."""
        return self._probing is not None

    async def store(self, beats: Sequence[Beat]) -> None:
        """Returns when `beats` are on disk, here or there. Raises DatabaseDown, Refusal."""
        if self._probing is None:
            try:
                await self._stream.add(beats)
                return
            except (RedisDown, RedisError) as error:
                log.warning("beats_go_to_database", error=f"{type(error).__name__}: {error}")
                # Not the next batch finds out whether Redis is back: its senders would wait for the answer. Of several batches
                # that fail together, one begins it.
                if self._probing is None:
                    self._probing = asyncio.create_task(self._probe())
        await self._write(beats)
        self.direct += len(beats)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            with suppress(RedisDown, RedisError):
                await self._stream.ping()
                break
        log.info("beats_go_to_stream", written_directly=self.direct)
        self._probing = None

    async def close(self) -> None:
        """Ends the probing. Safe to call twice."""
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing
