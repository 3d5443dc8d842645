"""What all connections of a process share: what is known by heart, whose sessions are good, and how an answer is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from edge.lane.learned import Learned, Ready
from edge.lane.traffic import Traffic

JOIN_BELOW_BYTES = 16 * 1024
MOST_CHECKS = 1024
"""Requests that may wait for a check at once: what is behind, Redis or PostgreSQL, is late then, and more would only wait."""

BeginCheck = Callable[[str, float], "asyncio.Future[None] | None"]
"""Sees to it that the session of a token is checked; None when there is nothing to wait for."""


class Lane:
    """One for a process."""

    __slots__ = (
        "_begin_check",
        "_date",
        "_second",
        "blocks",
        "checks",
        "clock_gap",
        "learned",
        "loop",
        "make_handler",
        "session_of",
        "traffic",
    )

    def __init__(
        self,
        learned: Learned,
        session_of: Callable[[str], Any],
        make_handler: Callable[[], Any],
        traffic: Traffic,
        begin_check: BeginCheck = lambda token, now: None,
    ) -> None:
        self.learned = learned
        self.blocks = learned.blocks
        self.session_of = session_of
        self._begin_check = begin_check
        self.checks = 0
        """Requests that wait for the check of their session."""
        self.make_handler = make_handler
        self.traffic = traffic
        self.loop = asyncio.get_running_loop()
        self.clock_gap = time.time() - time.monotonic()
        self._second = -1
        self._date = b""

    def check(self, token: str, now: float) -> asyncio.Future[None] | None:
        """The check of a session, under way; None when there is none to wait for, or too many wait: aiohttp's side sheds."""
        if self.checks >= MOST_CHECKS:
            return None
        check = self._begin_check(token, now)
        if check is not None:
            self.checks += 1
        return check

    def send(self, transport: Any, ready: Ready, second: int) -> None:
        """Writes the answer with this second's date."""
        if second != self._second:
            self._second = second
            self._date = http_date(second)
        if len(ready.body) < JOIN_BELOW_BYTES:
            ready.joined = b"%s%s\r\n\r\n%s" % (ready.head, self._date, ready.body)
            ready.joined_at = second
            transport.write(ready.joined)
        else:
            # Two buffers, one writev: a large body is never copied.
            transport.writelines((b"%s%s\r\n\r\n" % (ready.head, self._date), ready.body))


def http_date(second: int) -> bytes:
    """A Unix second as HTTP writes it (RFC 9110 section 5.6.7)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
