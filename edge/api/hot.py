"""Answers to guests, kept in memory until the database announces that a table has changed.

Decides what may be kept and for how long. Which tables announce their changes is the schema's to say (announce_reads.sql);
a policy may look at a table beside the one that is read, so any announcement empties the whole.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from core.engine.read import Prepared
from core.engine.respond import Answer
from edge.lane.protocol import LaneProtocol
from edge.lane.whole import Wholes

KEEP_S = 5.0
"""The oldest answer that is given: columns that are not announced (views counted), conditions on `now`, a listener cut off."""
BUDGET_BYTES = 32 * 1024 * 1024
MAX_ANSWER_BYTES = 512 * 1024
SMALLEST_GZIP_BYTES = 1024


@dataclass(slots=True)
class Kept:
    """An answer, and the same one compressed as soon as somebody wanted it so."""

    answer: Answer
    read_s: float = 0.0
    epoch: int = -1
    """How often everything had been forgotten when its reading began; -1: it is not kept."""
    small: Answer | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, roughly."""
        return 2 * len(self.answer.body) + 2048

    def gzipped(self) -> Answer:
        """The answer for who accepts gzip."""
        if self.small is None:
            self.small = gzipped(self.answer)
        return self.small


KEPT = web.RequestKey("kept", Kept)
"""Set by who answers a request with what is kept."""


class HotReads:
    """Keeps answers by prepared read, the least recently used go first; many who ask at once cause one reading."""

    def __init__(self, *, budget_bytes: int = BUDGET_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._kept: OrderedDict[Prepared, Kept] = OrderedDict()
        self._reading: dict[Prepared, asyncio.Task[Kept]] = {}
        self._size_bytes = 0
        self._epoch = 0
        self.hits = 0
        self.wholes = Wholes()
        """The same answers by the bytes of whole requests, for the fast lane."""

    async def get(self, prepared: Prepared, read: Callable[[], Awaitable[Answer]]) -> Kept:
        """The answer to `prepared`, from memory or by `read`. Raises what `read` raises."""
        kept = self._kept.get(prepared)
        if kept is not None and self._clock() - kept.read_s < KEEP_S:
            self._kept.move_to_end(prepared)
            self.hits += 1
            return kept
        task = self._reading.get(prepared)
        if task is None:
            task = self._reading[prepared] = asyncio.create_task(self._read(read))
            task.add_done_callback(lambda done: self._done(prepared, done))
        # Shielded: one who hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget_all(self) -> None:
        """Something changed, or may have: nothing is believed, and what is being read now is given but not kept."""
        self._epoch += 1
        self.wholes.forget_all()
        self._kept.clear()
        self._reading.clear()
        self._size_bytes = 0

    async def teach(self, request: web.Request, response: web.StreamResponse) -> None:
        """An `on_response_prepare` signal, the last: what is about to be sent from memory, the lane may send again."""
        kept = request.get(KEPT)
        if kept is None or kept.epoch != self._epoch or response.status != 200 or request.transport is None:
            return
        connection = request.transport.get_protocol()
        is_plain = request.method == hdrs.METH_GET and request.version == (1, 1)
        if not isinstance(connection, LaneProtocol) or connection.block is None or not is_plain:
            return
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            until_s = kept.read_s + KEEP_S
            block, raw = connection.block, request.raw_headers
            self.wholes.learn(request.raw_path, block, raw, response.headers, response.body, until_s)

    async def _read(self, read: Callable[[], Awaitable[Answer]]) -> Kept:
        read_s, epoch = self._clock(), self._epoch
        return Kept(await read(), read_s, epoch)

    def _done(self, prepared: Prepared, task: asyncio.Task[Kept]) -> None:
        """Runs before any waiter does: a change that was announced during the reading has taken the task away."""
        if self._reading.get(prepared) is not task:
            if not task.cancelled():
                task.exception()  # its waiters were told
            return
        del self._reading[prepared]
        if task.cancelled() or task.exception() is not None:
            return
        kept = task.result()
        if kept.answer.status not in (200, 206) or len(kept.answer.body) > MAX_ANSWER_BYTES:
            return
        former = self._kept.pop(prepared, None)
        self._kept[prepared] = kept
        self._size_bytes += kept.size_bytes - (former.size_bytes if former else 0)
        while self._size_bytes > self._budget_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._size_bytes -= dropped.size_bytes


def gzipped(answer: Answer) -> Answer:
    """The same answer compressed; its weak entity tag stays."""
    if len(answer.body) < SMALLEST_GZIP_BYTES:
        return answer
    # Level 1 halves the time of level 6 and gives JSON 1.3 times its bytes.
    return Answer(answer.status, {**answer.headers, "Content-Encoding": "gzip"}, gzip.compress(answer.body, 1, mtime=0))
