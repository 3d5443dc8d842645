"""Collects beats while the last batch is being made durable, then stores them all at once.

No timer: the fsync of one batch is the time in which the next one gathers, so a quiet server answers at once and a busy
one spends one fsync on hundreds of beats. A batch that has grown large leaves before the last one is back: then there is always
one to write answers for. Bounded; when full it says so and drops nothing it has accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from core.errors import INTAKE_FULL, TIMEOUT, Refusal
from edge.progress.beat import Beat

log = structlog.get_logger(__name__)

MAX_PENDING = 20_000
MAX_BATCH = 1_000
RETRY_AFTER_S = 2
MOST_UNDER_WAY = 3
LARGE_BATCH = 96
"""So many beats do not wait for the batches under way. A batch costs the edge 0.2 ms and more: with 64 a post took a sixth more."""

Store = Callable[[Sequence[Beat]], Awaitable[None]]
"""Makes beats durable, or raises."""
Done = Callable[[Refusal | None], None]
"""Told once what became of a request's beats: None when they are on disk."""
Waiting = tuple[Sequence[Beat], Done]


class Batcher:
    """`add` returns when the beats are durable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[Waiting] = []
        self._pending_beats = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self.batches = 0
        self.refused = 0

    def start(self) -> None:
        """Begins to work; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    async def add(self, beats: Sequence[Beat]) -> None:
        """Returns when `beats` are on disk. Raises Refusal 503 when they cannot be taken now."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(refusal: Refusal | None) -> None:
            if stored.done():
                return  # whoever waited has left
            if refusal is None:
                stored.set_result(None)
            else:
                stored.set_exception(refusal)

        if not self.offer(beats, done):
            raise Refusal(INTAKE_FULL, retry_after_s=RETRY_AFTER_S)
        await stored

    def offer(self, beats: Sequence[Beat], done: Done) -> bool:
        """The same without a task: False when they cannot be taken now, else `done` is called later, and must not raise."""
        if self._closing or self._pending_beats + len(beats) > MAX_PENDING:
            self.refused += len(beats)
            return False
        self._pending.append((beats, done))
        self._pending_beats += len(beats)
        self._wake.set()
        return True

    async def _run(self) -> None:
        while not self._closing or self._pending or self._under_way:
            await self._wake.wait()
            self._wake.clear()
            while self._pending and self._may_leave():
                batch = asyncio.create_task(self._settle(self._take()))
                self._under_way.add(batch)
                batch.add_done_callback(self._is_back)

    def _may_leave(self) -> bool:
        under_way = len(self._under_way)
        return under_way == 0 or (under_way < MOST_UNDER_WAY and self._pending_beats >= LARGE_BATCH)

    def _is_back(self, batch: asyncio.Task[None]) -> None:
        self._under_way.discard(batch)
        self._wake.set()

    async def _settle(self, taken: Sequence[Waiting]) -> None:
        """Stores what was taken and tells every waiter. A batch refused for what is in it is tried group by group."""
        beats = [beat for group, _ in taken for beat in group]
        failure: Refusal | None = None
        try:
            await self._store(beats)
            self.batches += 1
        except Exception as error:  # whatever it was, the waiters must hear of it
            log.warning("beats_not_stored", beats=len(beats), error=f"{type(error).__name__}: {error}")
            if isinstance(error, Refusal) and error.code is not TIMEOUT and len(taken) > 1:
                for waiting in taken:
                    await self._settle([waiting])
                return
            self.refused += len(beats)
            failure = Refusal(INTAKE_FULL, retry_after_s=RETRY_AFTER_S)
        for _, done in taken:
            done(failure)

    def _take(self) -> list[Waiting]:
        beats = count = 0
        for group, _ in self._pending:
            if beats and beats + len(group) > MAX_BATCH:
                break
            beats += len(group)
            count += 1
        taken = self._pending[:count]
        del self._pending[:count]
        self._pending_beats -= beats
        return taken

    async def stop(self) -> None:
        """Takes no more, stores what was accepted, ends. Safe to call twice."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
