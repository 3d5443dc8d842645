"""When a server that says nothing is taken for away: calls that wait too long raise a suspicion, a trivial question settles it.

A statement may rightly take seconds, so its own length proves nothing; a server that cannot answer the question either is
stopped, hung or cut off, and whoever waits for it is let go at once instead of after his whole timeout. A late event loop
looks the same from inside, so an answer that was missed while we were not listening is asked for again.
Knows no driver and no SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

SUSPECT_S = 0.4
QUESTION_S = 0.5
AGAIN_S = 0.5
STALL_S = 0.2
"""A timer that comes this late says more about our loop than about any server."""

Question = Callable[[], Awaitable[bool]]
"""Whether the server answers something trivial; may hang, may raise OSError."""


class Patience:
    """Calls under way to one server. Not thread-safe: it belongs to one event loop."""

    def __init__(self, name: str, question: Question, let_go: Callable[[], Awaitable[None]]) -> None:
        """`let_go` is called once each time the server is found to be away: it must fail what is waiting."""
        self._name = name
        self._question = question
        self._let_go = let_go
        self._calls: dict[Hashable, float] = {}
        self._answered_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self.is_away = False

    def begin(self, call: Hashable) -> None:
        """A call is sent."""
        self._calls[call] = monotonic()
        if self._timer is None and self._asking is None:
            self._watch(asyncio.get_running_loop())

    def end(self, call: Hashable, *, was_answered: bool) -> None:
        """It has come back, one way or the other. While some are answered, the server is busy and not away."""
        self._calls.pop(call, None)
        if was_answered:
            self._answered_at = monotonic()

    def close(self) -> None:
        """Watches no longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(SUSPECT_S, self._look, loop, loop.time() + SUSPECT_S)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = None
        now = loop.time()
        if not self._calls:
            return
        silent_since = max(self._answered_at, min(self._calls.values()))
        if now - due > STALL_S or monotonic() - silent_since < SUSPECT_S:
            self._watch(loop)
            return
        self._asking = loop.create_task(self._settle())
        self._asking.add_done_callback(self._settled)

    async def _settle(self) -> None:
        """Asks; while the server is away, asks again until it is back."""
        while not await self._answers():
            if not self.is_away:
                self.is_away = True
                log.warning("server_away", server=self._name, waiting=len(self._calls))
                await self._let_go()
            await asyncio.sleep(AGAIN_S)
        if self.is_away:
            self.is_away = False
            log.info("server_back", server=self._name)

    async def _answers(self) -> bool:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(QUESTION_S):
                    return await self._question()
            except TimeoutError:
                if loop.time() - began < QUESTION_S + STALL_S:
                    return False
            except OSError:
                return False

    def _settled(self, done: asyncio.Task[None]) -> None:
        self._asking = None
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self.is_away = False
            log.error("question_failed", server=self._name, error=f"{type(error).__name__}: {error}")
        if self._calls:
            self._watch(asyncio.get_running_loop())
