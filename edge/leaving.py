"""How a web process ends so that no client notices: it goes on answering while every connection is told to close.

A connection closed under a client that is just sending looks like a failure to it. So nothing that may still speak is
closed at first: each connection's next answer says `Connection: close`, and only who stayed silent for the whole grace
is hung up on.

    SIGTERM          the above; a second one: at once
    SIGINT           without the grace: nobody takes over
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from aiohttp import hdrs, web

from edge.lane.traffic import Traffic

log = structlog.get_logger(__name__)

GRACE_S = 5.0
DRAIN_S = 30.0
"""From the signal to the end, whatever still runs."""
POLL_S = 0.02


@dataclass(slots=True)
class Leaving:
    """What a process has been asked to do about ending. `begun` may also be set by the process itself."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def heed_signals(self) -> None:
        """Takes SIGTERM and SIGINT; needs a running loop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_leave)
        loop.add_signal_handler(signal.SIGINT, self._asked_to_hurry)

    def _asked_to_leave(self) -> None:
        if self.begun.is_set():
            os._exit(130)
        self.begun.set()

    def _asked_to_hurry(self) -> None:
        self.hurry.set()
        self.begun.set()

    async def say_close(self, request: web.Request, response: web.StreamResponse) -> None:
        """An `on_response_prepare` signal: while leaving, every answer is its connection's last."""
        if self.begun.is_set():
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    async def let_go(self, traffic: Traffic) -> None:
        """Returns when every connection has had its last answer or kept silent for the grace, or when it hurries."""
        asyncio.get_running_loop().call_later(DRAIN_S, cut_off, traffic)
        deadline = time.monotonic() + GRACE_S
        while traffic.connections and time.monotonic() < deadline:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self.hurry.wait()
                    return


def cut_off(traffic: Traffic) -> None:
    """The end of all patience: whoever is still being served is not any longer."""
    if traffic.connections:
        log.warning("connections_cut_off", connections=len(traffic.connections))
    for connection in list(traffic.connections):
        if connection.transport is not None:
            connection.transport.abort()
