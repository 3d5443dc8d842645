"""What happens when more is asked than can be answered: some are sent away at once, so that the rest is answered in time.

Requests are of a kind, and each kind has its bound of requests under way; one too many waits a moment for a place, if it
is to be had by then. When the event loop itself runs late, the kinds that can best wait are cut to a part of their places
until it has caught up, and media last. What tells an operator how we are is never refused.
A request takes its place once its body is there (arriving.py). Most of what is refused never gets as far as this
(door.py): here is decided what is, there it is done at less cost.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Middleware

from core.errors import UNAVAILABLE, Refusal
from edge.api.arriving import WITH_BODY, Arriving
from edge.api.observe import SENT_AWAY, SHED

Kind = Literal["media", "beats", "upload", "api"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WAIT_S = 0.1
TICK_S = 0.05
LATE_TICKS = 3
"""So many in a row: one garbage collection or a moment without the processor is no overload."""
LATE_SHARE = 4
"""A kind that is cut keeps one in so many of its places."""
LEAST_QUEUE_SHARE = 8
"""Of its places, one in so many may be waited for however slowly they come free: else nobody would notice that they do."""
RATE_WEIGHT = 0.2
"""Of one tick in the running mean: it has followed a change after a quarter of a second."""

_KINDS = re.compile(r"/(?:(hls)|(progress)|(storage/v1/upload)|(healthz|readyz|metrics))(?:/|$)")


@dataclass(frozen=True, slots=True)
class Bound:
    """What one kind may use."""

    under_way: int
    """Requests whose answer is being made; its sending does not count."""
    late_s: float
    """How late the event loop may run before this kind is cut to a part of that."""

    @property
    def queued(self) -> int:
        """How many may wait WAIT_S for a place while it is not known how fast they come free."""
        return self.under_way * 4

    def room(self, freed_per_s: float | None) -> int:
        """How many may wait when places come free at this rate: those behind them would only wait in vain.

        Half of what would do if the rate never fell: one that has waited in vain has cost as much as one that is served.
        """
        if freed_per_s is None:
            return self.queued
        least = max(1, self.under_way // LEAST_QUEUE_SHARE)
        return min(self.queued, max(least, int(freed_per_s * WAIT_S / 2)))


# A thousand viewers may wait for one cold segment, and a slow disk may hold as many heartbeats. The rest shares 8 database
# connections; an upload lasts as long as its sender likes.
BOUNDS: Mapping[Kind, Bound] = MappingProxyType(
    {
        "media": Bound(4096, 2.0),
        "beats": Bound(4096, 1.0),
        "upload": Bound(64, 0.5),
        "api": Bound(128, 0.25),
    }
)


@lru_cache(2048)
def kind_of(path: str) -> Kind | None:
    """The kind of a request by its path; None for what is never refused."""
    match = _KINDS.match(path)
    if match is None:
        return "api"
    media, beats, upload, _ = match.groups()
    return "media" if media else "beats" if beats else "upload" if upload else None


@dataclass(slots=True)
class _Places:
    free: int
    queue: deque[asyncio.Future[None]] = field(default_factory=deque)
    coming: int = 0
    """Let in at the door, and not come here yet. One turn of the loop takes what hundreds of clients have sent, and only
    then runs the first task: without this all of them would pass."""
    freed: int = 0
    """Places given back since the last tick."""
    freed_per_s: float | None = None
    """How fast they came back the last time that all were taken."""

    def forget(self, handed: asyncio.Future[None]) -> None:
        """Its waiter has given up; `leave` may have come across it already."""
        with suppress(ValueError):
            self.queue.remove(handed)

    def note_tick(self, seconds: float) -> None:
        """Another `seconds` have passed. Only while all are taken is what comes back all that can."""
        if self.free == 0 and seconds > 0:
            now = self.freed / seconds
            before = now if self.freed_per_s is None else self.freed_per_s
            self.freed_per_s = before + (now - before) * RATE_WEIGHT
        self.freed = 0
        # What did not parse never comes: so few are forgotten sooner than they could do harm.
        self.coming = 0


@dataclass(slots=True)
class Shedding:
    """The requests under way in one web process, by kind."""

    bounds: Mapping[Kind, Bound] = field(default_factory=lambda: BOUNDS)
    arriving: Arriving = field(default_factory=Arriving)
    late_s: float = 0.0
    """How late the loop has been for LATE_TICKS in a row: the least of them."""
    processor_share: float = 1.0
    """How much of the last tick's time the loop had the processor."""
    _ticks: list[float] = field(default_factory=list)
    _places: dict[Kind, _Places] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {kind: _Places(bound.under_way) for kind, bound in self.bounds.items()}

    async def watch(self) -> None:
        """For ever: measures how late the event loop runs its timers."""
        loop = asyncio.get_running_loop()
        while True:
            began, worked = loop.time(), time.thread_time()
            await asyncio.sleep(TICK_S)
            passed_s = loop.time() - began
            self.note_tick(max(0.0, passed_s - TICK_S))
            self.processor_share = min(1.0, (time.thread_time() - worked) / passed_s)
            for places in self._places.values():
                places.note_tick(passed_s)
            self.arriving.keep_to_budget()

    def note_tick(self, late_s: float) -> None:
        """One measurement."""
        self._ticks = [*self._ticks[1 - LATE_TICKS :], late_s]
        self.late_s = min(self._ticks) if len(self._ticks) == LATE_TICKS else 0.0

    def layer(self) -> Middleware:
        """The middleware; inside the boundary, which words the refusals."""

        @web.middleware
        async def shed(request: web.Request, handler: Handler) -> web.StreamResponse:
            kind = kind_of(request.path)
            if kind is None:
                return await handler(request)
            places = self._places[kind]
            places.coming = max(0, places.coming - 1)
            try:
                # An upload is as large as its sender likes, and is written as it comes.
                if kind != "upload" and request.method in WITH_BODY:
                    self.check(kind)
                    await self.arriving.receive(request)
                await self.enter(kind)
            except Refusal:
                request[SENT_AWAY] = True
                raise
            try:
                return await handler(request)
            finally:
                self.leave(kind)

        return shed

    def is_closed(self, kind: Kind) -> bool:
        """Whether a request of this kind would only wait in vain."""
        places, bound = self._places[kind], self.bounds[kind]
        under_way = bound.under_way - places.free + places.coming
        if self.late_s > bound.late_s:
            # Late, a few are still let in: refusing all would keep us as busy, and nobody would be served.
            return under_way * LATE_SHARE >= bound.under_way
        before = under_way + len(places.queue) - bound.under_way
        return before >= 0 and before >= bound.room(places.freed_per_s)

    def let_in(self, kind: Kind) -> None:
        """A request has come as far as the door, and will ask for its place when its task runs."""
        self._places[kind].coming += 1

    def check(self, kind: Kind) -> None:
        """Raises Refusal 503 when there is nothing to wait for."""
        if self.is_closed(kind):
            raise _full(kind)

    async def enter(self, kind: Kind) -> None:
        """Takes a place, waiting WAIT_S for one at most; `leave` gives it back. Raises Refusal 503."""
        self.check(kind)
        places = self._places[kind]
        if places.free > 0:
            places.free -= 1
            return
        handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        places.queue.append(handed)
        try:
            async with asyncio.timeout(WAIT_S):
                await handed
        except TimeoutError:
            if not handed.cancelled():
                return  # it came at the same moment
            places.forget(handed)
            raise _full(kind) from None
        except asyncio.CancelledError:
            if handed.cancelled():
                places.forget(handed)
            else:
                self.leave(kind)
            raise

    def leave(self, kind: Kind) -> None:
        """Gives a place back: to whoever waits longest, if somebody does."""
        places = self._places[kind]
        places.freed += 1
        while places.queue:
            handed = places.queue.popleft()
            if not handed.done():
                handed.set_result(None)
                return
        places.free += 1


def full() -> Refusal:
    """What is said to those who are sent away."""
    return Refusal(UNAVAILABLE, "Too much is asked of the service right now.", retry_after_s=retry_after_s())


def retry_after_s() -> int:
    """1 to 4. Jitter: those sent away together must not come back together."""
    return 1 + int(random.random() * 4)  # noqa: S311


def _full(kind: Kind) -> Refusal:
    SHED.labels(kind).inc()
    return full()
