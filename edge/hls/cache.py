"""Bytes in memory: a cache with a budget in bytes that one pass over a large library does not empty.

S3-FIFO (Yang et al., SOSP 2023): newcomers enter a small queue of a tenth of the budget; only what is asked for again
while it is there moves to the main queue; a list of ghosts lets what was dropped too early go straight to it. A scan
flows through the small queue and leaves the main one alone. Hits touch a counter and no list, which suits an event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")

SMALL_SHARE = 0.1
MAX_HITS = 3
WANTED_AFTER = 2


class _Slot(Generic[V]):
    __slots__ = ("hits", "size_bytes", "value")

    def __init__(self, value: V, size_bytes: int) -> None:
        self.value = value
        self.size_bytes = size_bytes
        self.hits = 0


class ByteCache(Generic[V]):
    """Values by key, bounded by the sum of their sizes; one load at a time for each key."""

    def __init__(self, budget_bytes: int, size_of: Callable[[V], int]) -> None:
        self._budget_bytes = budget_bytes
        self._size_of = size_of
        self.was_used: Callable[[str], bool] = lambda key: False
        """Whether somebody who holds the value himself has used it since he was last asked."""
        self.dropped: Callable[[str], None] = lambda key: None
        """Told of every key that is let go."""
        self._slots: dict[str, _Slot[V]] = {}
        self._small: deque[str] = deque()
        self._main: deque[str] = deque()
        self._ghosts: OrderedDict[str, int] = OrderedDict()
        """What was let go, and how often it has been asked for since."""
        self._small_bytes = 0
        self._main_bytes = 0
        self._loading: dict[str, asyncio.Task[V]] = {}
        self.hits = 0
        self.misses = 0
        self.joined = 0

    @property
    def size_bytes(self) -> int:
        """The bytes held now."""
        return self._small_bytes + self._main_bytes

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: str) -> bool:
        return key in self._slots

    def get(self, key: str) -> V | None:
        """The value, if it is here."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        if slot.hits < MAX_HITS:
            slot.hits += 1
        self.hits += 1
        return slot.value

    async def get_or_load(self, key: str, load: Callable[[], Awaitable[V]]) -> V:
        """The value; when it is not here, `load()` runs once for everybody who waits.

        A load that fails fails for those who wait on it, and the next one tries afresh.
        """
        value = self.get(key)
        if value is not None:
            return value
        task = self._loading.get(key)
        if task is None:
            self.misses += 1
            task = asyncio.ensure_future(load())
            self._loading[key] = task
            task.add_done_callback(lambda done: self._loaded(key, done))
        else:
            self.joined += 1
        # Shielded: the client that came first may leave; the others still want the object.
        return await asyncio.shield(task)

    def _loaded(self, key: str, done: asyncio.Task[V]) -> None:
        del self._loading[key]
        if not done.cancelled() and done.exception() is None:
            self.put(key, done.result())

    def put(self, key: str, value: V) -> None:
        """Stores the value, making room. One larger than the small queue is not kept: it would push out all else."""
        size_bytes = self._size_of(value)
        if key in self._slots or size_bytes > self._budget_bytes * SMALL_SHARE:
            return
        self._slots[key] = _Slot(value, size_bytes)
        if key in self._ghosts:
            del self._ghosts[key]
            self._main.append(key)
            self._main_bytes += size_bytes
        else:
            self._small.append(key)
            self._small_bytes += size_bytes
        while self.size_bytes > self._budget_bytes:
            self._evict()

    def _evict(self) -> None:
        if self._small and (self._small_bytes > self._budget_bytes * SMALL_SHARE or not self._main):
            key = self._small.popleft()
            slot = self._slots[key]
            self._small_bytes -= slot.size_bytes
            if self.was_used(key) or slot.hits > 0:
                slot.hits = 0
                self._main.append(key)
                self._main_bytes += slot.size_bytes
            else:
                del self._slots[key]
                self._remember_ghost(key)
                self.dropped(key)
            return
        key = self._main.popleft()
        slot = self._slots[key]
        if self.was_used(key) or slot.hits > 0:
            slot.hits = max(0, slot.hits - 1)
            self._main.append(key)
        else:
            self._main_bytes -= slot.size_bytes
            del self._slots[key]
            self.dropped(key)

    def missed_again(self, key: str, size_bytes: int) -> bool:
        """Whether an object that is not here has been asked for so often, so soon, that it should be; it has been now.

        For who can serve it without loading it: one that is wanted comes back, a scan passes by. Of 10,000 objects in turn at
        random 3 % are still remembered from the last time, and loading them all took a fifth of the processor.
        """
        if size_bytes > self._budget_bytes * SMALL_SHARE:
            return False
        times = self._ghosts.get(key, 0) + 1
        if times > WANTED_AFTER:
            return True
        self._remember_ghost(key, times)
        return False

    def _remember_ghost(self, key: str, times: int = 0) -> None:
        self._ghosts[key] = times
        self._ghosts.move_to_end(key)
        # As many ghosts as the main queue has members, the paper's figure.
        while len(self._ghosts) > max(len(self._main), 64):
            self._ghosts.popitem(last=False)
