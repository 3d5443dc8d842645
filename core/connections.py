"""Connections to PostgreSQL, at most so many, lent to those who wait in the order in which they came.

asyncpg's own pool lets whoever comes at the right moment overtake those who wait: of 32 callers for 8 connections one in
3,000 waited for all of 0.9 s in vain. It also makes a task of every return, an eighth of what a list costs the edge.
A connection is lent again only after it has answered everything: whatever was cut short takes its connection with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import asyncpg

Row = asyncpg.Record
Connection = asyncpg.Connection

ACQUIRE_TIMEOUT_S = 0.9
IDLE_S = 300.0


class Connections:
    """Belongs to one event loop. `connect` opens one; `most` are open at a time."""

    def __init__(self, connect: Callable[[], Awaitable[Connection[Row]]], most: int) -> None:
        self._connect = connect
        self._most = most
        self._opening = 0
        self._lent: set[Connection[Row]] = set()
        self._idle: list[tuple[Connection[Row], float]] = []
        """With the time of their return, the latest last: the same few are used again and the others are let go."""
        self._waiting: deque[asyncio.Future[Connection[Row] | None]] = deque()
        self._tidying: asyncio.TimerHandle | None = None
        self._all_back: asyncio.Event | None = None
        """Set when the last one is back; there from `close` on."""

    async def take(self) -> Connection[Row]:
        """One to be given back, within ACQUIRE_TIMEOUT_S. Raises TimeoutError, and what connecting raises."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
        loop = asyncio.get_running_loop()
        until = loop.time() + ACQUIRE_TIMEOUT_S
        if self._all_back is not None:
            raise asyncpg.InterfaceError("the pool is closed")
        if len(self._lent) + self._opening >= self._most:
            handed = await self._wait(loop)
            if handed is not None:
                return handed
        else:
            self._opening += 1
        return await self._open(until)

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> Connection[Row] | None:
        """What is handed on: a connection, already noted as lent, or None for the right to open one."""
        handed: asyncio.Future[Connection[Row] | None] = loop.create_future()
        self._waiting.append(handed)
        late = loop.call_later(ACQUIRE_TIMEOUT_S, _give_up, handed)
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                self._pass_on(handed.result())
            raise
        finally:
            late.cancel()

    async def _open(self, until: float) -> Connection[Row]:
        try:
            async with asyncio.timeout_at(until):
                connection = await self._connect()
        except BaseException:
            self._pass_on(None)
            raise
        self._opening -= 1
        self._lent.add(connection)
        return connection

    def give(self, connection: Connection[Row], *, is_sound: bool) -> None:
        """Back from who took it; `is_sound`: every question was answered."""
        if is_sound and self._all_back is None and not connection.is_closed() and not connection.is_in_transaction():
            self._pass_on(connection)
            return
        connection.terminate()
        self._lent.discard(connection)
        self._opening += 1
        self._pass_on(None)

    def _pass_on(self, connection: Connection[Row] | None) -> None:
        """To whoever has waited longest; else a connection lies idle, and a right to open one lapses."""
        while self._waiting:
            handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(connection)
                return
        if connection is None:
            self._opening -= 1
        else:
            self._lent.discard(connection)
            loop = asyncio.get_running_loop()
            self._idle.append((connection, loop.time()))
            if self._tidying is None:
                self._tidying = loop.call_later(IDLE_S, self._tidy, loop)
        if self._all_back is not None and not self._lent and not self._opening:
            self._all_back.set()

    def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        kept = [(connection, since) for connection, since in self._idle if loop.time() - since < IDLE_S]
        for connection, _ in self._idle[: len(self._idle) - len(kept)]:
            connection.terminate()
        self._idle = kept
        self._tidying = loop.call_later(IDLE_S, self._tidy, loop) if kept else None

    def cut(self) -> None:
        """Ends every connection at once; whoever uses one is told so by asyncpg."""
        for connection in [*self._lent, *(connection for connection, _ in self._idle)]:
            connection.terminate()
        self._idle.clear()

    async def close(self, patience_s: float) -> None:
        """Lends no more, waits for what is lent and ends it all."""
        self._all_back = asyncio.Event()
        for handed in self._waiting:
            _give_up(handed)
        if self._tidying is not None:
            self._tidying.cancel()
        if self._lent or self._opening:
            async with asyncio.timeout(patience_s):
                await self._all_back.wait()
        await asyncio.wait_for(asyncio.gather(*(connection.close() for connection, _ in self._idle)), patience_s)


def _give_up(handed: asyncio.Future[Connection[Row] | None]) -> None:
    if not handed.done():
        handed.set_exception(TimeoutError())
