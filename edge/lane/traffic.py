"""All connections of a process: how many there may be, which have waited long enough, and how they end.

aiohttp has no header, body or send timeout: a client that drips a byte now and then holds its connection for ever. One
sweep a second over the connections is cheaper than a timer for each: 10,000 take about a millisecond.
"""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass, field
from typing import Any

from edge.lane.connection import Connection
from edge.lane.files import files_cap

SWEEP_S = 1.0
HEADER_S = 10.0
BODY_S = 20.0
SEND_S = 30.0
KEEP_ALIVE_S = 75.0
SHED_AFTER_S = 2.0
MIN_BODY_BYTES_PER_S = 1024
SPARE_FDS = 256


def connection_cap() -> int:
    """How many connections fit below the limit of open files, with room for media files, pools and pipes."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, soft - files_cap() - SPARE_FDS)


@dataclass(slots=True)
class Traffic:
    """The connections that are open, and how long a client may take, in seconds.

    `header_s` for a whole head; `body_s` is the time over which a body must keep MIN_BODY_BYTES_PER_S; `send_s` without
    taking a byte of an answer; `keep_alive_s` between requests.
    """

    cap: int = field(default_factory=connection_cap)
    header_s: float = HEADER_S
    body_s: float = BODY_S
    send_s: float = SEND_S
    keep_alive_s: float = KEEP_ALIVE_S
    connections: set[Connection] = field(default_factory=set)
    refused: int = 0
    timed_out: int = 0
    _sending: dict[Connection, tuple[float, int]] = field(default_factory=dict)
    """Since when a client has taken nothing, and how many bytes wait for it."""
    _receiving: dict[Connection, tuple[Any, float, int]] = field(default_factory=dict)
    """The body that is coming in, since when its rate is taken, and how much of it had come by then."""

    def opened(self, connection: Connection) -> None:
        """A new one; over the cap it is closed at once, which costs less than letting it wait."""
        if len(self.connections) >= self.cap:
            self.refused += 1
            connection.transport.abort()
            return
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self.connections.discard(connection)
        self._sending.pop(connection, None)
        self._receiving.pop(connection, None)

    async def sweep(self) -> None:
        """For ever: ends what has waited too long, sheds what idles."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep_once(time.monotonic())

    def sweep_once(self, now: float) -> None:
        """One pass."""
        clock_gap = time.time() - time.monotonic()
        for connection in list(self.connections):
            if connection.transport is None:
                continue
            if connection.lane_at:
                connection.active_at = max(connection.active_at, connection.lane_at - clock_gap)
                connection.lane_at, connection.served = 0.0, True
            if self._overdue(connection, now):
                self.timed_out += 1
                connection.transport.abort()
            elif connection.handler is not None and now - connection.slow_at >= SHED_AFTER_S:
                connection.shed()

    def _overdue(self, connection: Connection, now: float) -> bool:
        if connection.paused_at:
            return self._stalled(connection, now)
        idle_s = now - connection.active_at
        handler = connection.handler
        if handler is None:
            if connection.part:
                return idle_s > self.body_s
            return idle_s > (self.keep_alive_s if connection.served else self.header_s)
        if handler._current_request is not None:
            body = handler._current_request.content
            return not (body.is_eof() or handler._reading_paused) and self._drips(connection, body, idle_s, now)
        if connection.transport.is_closing():
            # Its last answer waits to be taken, and is too small to have paused us.
            return idle_s > self.send_s
        if connection.ended and idle_s >= SWEEP_S and not handler._request_in_progress and not handler._messages:
            # All is answered; or all but a body that will not come any more.
            connection.transport.close()
            return False
        if not connection.rests:
            return False
        if connection.begun_at:
            return now - connection.begun_at > self.header_s
        return idle_s > self.keep_alive_s

    def _stalled(self, connection: Connection, now: float) -> bool:
        """Whether a client we wait for has taken nothing for `send_s`. One that reads slowly, but reads, may go on."""
        left = connection.transport.get_write_buffer_size()
        since, before = self._sending.get(connection, (0.0, 0))
        if since < connection.paused_at:
            since, before = connection.paused_at, left
        elif left < before:
            since = now
        self._sending[connection] = (since, left)
        return now - since > self.send_s

    def _drips(self, connection: Connection, body: Any, idle_s: float, now: float) -> bool:
        """Whether a body comes in more slowly than it must."""
        if idle_s > self.body_s:
            return True
        measured, since, before = self._receiving.get(connection, (None, 0.0, 0))
        if measured is not body:
            self._receiving[connection] = (body, now, body.total_bytes)
            return False
        if now - since < self.body_s:
            return False
        self._receiving[connection] = (body, now, body.total_bytes)
        return bool(body.total_bytes - before < (now - since) * MIN_BODY_BYTES_PER_S)

    def close_idle(self) -> None:
        """At the start of a drain: connections that wait for nothing are closed, the others after their answer."""
        for connection in list(self.connections):
            if connection.handler is None and not connection.waits and connection.transport is not None:
                connection.transport.close()

    async def drained(self, timeout_s: float) -> None:
        """Returns when every connection has been sent what it is owed, or the time is up."""
        deadline = time.monotonic() + timeout_s
        while self.connections and time.monotonic() < deadline:
            for connection in list(self.connections):
                if connection.transport is None or connection.waits:
                    continue
                if not connection.transport.get_write_buffer_size():
                    connection.transport.close()
            await asyncio.sleep(0.02)
