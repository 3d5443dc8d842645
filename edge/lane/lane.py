"""What all connections of a process share: what is known by heart, whose sessions are good, and how an answer is sent."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from edge.lane import files
from edge.lane.learned import Learned, Ready
from edge.lane.whole import Wholes

if TYPE_CHECKING:
    from edge.lane.protocol import LaneProtocol
    from edge.lane.traffic import Traffic

JOIN_BELOW_BYTES = 16 * 1024
MOST_CHECKS = 1024
"""Requests that may wait for a check at once: what is behind, Redis or PostgreSQL, is late then, and more would only wait."""

BeginCheck = Callable[[str, float], "asyncio.Future[None] | None"]
"""Sees to it that the session of a token is checked; None when there is nothing to wait for."""


class Posts(Protocol):
    """Takes posts that are known by heart (edge/api/beat_lane.py)."""

    def take(self, connection: LaneProtocol, data: bytes) -> bool:
        """Whether `data`, all that has come of a post, has been taken; else it is aiohttp's."""


class NoPosts:
    """Knows none."""

    def take(self, connection: LaneProtocol, data: bytes) -> bool:
        """False."""
        return False


class Lane:
    """The lane of one process. `session_of` finds a session by token; one that is let go must have `good_until` 0."""

    __slots__ = (
        "_begin_check",
        "_date",
        "_second",
        "blocks",
        "checks",
        "files",
        "learned",
        "loop",
        "make_handler",
        "posts",
        "session_of",
        "touched",
        "traffic",
        "wholes",
    )

    def __init__(
        self,
        learned: Learned,
        session_of: Callable[[str], Any],
        make_handler: Callable[[], Any],
        traffic: Traffic,
        begin_check: BeginCheck = lambda token, now: None,
        wholes: Wholes | None = None,
        posts: Posts | None = None,
    ) -> None:
        self.learned = learned
        self.blocks = learned.blocks
        self.touched = learned.touched
        self.session_of = session_of
        self.wholes = wholes if wholes is not None else Wholes()
        self.posts = posts if posts is not None else NoPosts()
        self._begin_check = begin_check
        self.checks = 0
        """Requests that wait for the check of their session."""
        self.make_handler = make_handler
        self.traffic = traffic
        self.loop = asyncio.get_running_loop()
        self.files = files.OpenFiles(self.loop)
        self._second = -1
        self._date = b""

    def close(self) -> None:
        """From now on everything goes to aiohttp: only it can tell a client that an answer is the last."""
        self.blocks = OrderedDict()
        for connection in self.traffic.connections:
            connection.disarm()

    def check(self, token: str, now: float) -> asyncio.Future[None] | None:
        """The check of a session, under way; None when there is none to wait for, or too many wait: aiohttp's side sheds."""
        if self.checks >= MOST_CHECKS:
            return None
        check = self._begin_check(token, now)
        if check is not None:
            self.checks += 1
        return check

    def send(self, connection: LaneProtocol, ready: Ready, now: float) -> bool:
        """Writes the answer with this second's date; False if that takes the slow lane."""
        second = int(now)
        date = self.date(second)
        body = ready.body
        if body is None:
            if ready.path is None or self.learned.is_wanted(ready.key, ready.size_bytes):
                return False
            head = b"%s%s\r\n\r\n" % (ready.head, date)
            return files.send(self.files, connection, head, ready.path, ready.size_bytes)
        if len(body) < JOIN_BELOW_BYTES:
            ready.joined = b"%s%s\r\n\r\n%s" % (ready.head, date, body)
            ready.joined_until = second + 1.0
            connection.transport.write(ready.joined)
        else:
            # Two buffers, one writev: a large body is never copied.
            connection.transport.writelines((b"%s%s\r\n\r\n" % (ready.head, date), body))
        return True

    def date(self, second: int) -> bytes:
        """The date of `second`, written once."""
        if second != self._second:
            self._second = second
            self._date = http_date(second)
        return self._date


def http_date(second: int) -> bytes:
    """A Unix second as HTTP writes it (RFC 9110 section 5.6.7)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
