"""What all connections of a process share: what is known by heart, and how an answer is sent."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.lane import files
from edge.lane.learned import Learned, Ready

if TYPE_CHECKING:
    from edge.lane.protocol import LaneProtocol
    from edge.lane.traffic import Traffic

JOIN_BELOW_BYTES = 16 * 1024


class Lane:
    """The lane of one process. `session_of` finds a session by token; one that is let go must have `good_until` 0."""

    __slots__ = ("_date", "_second", "blocks", "learned", "loop", "make_handler", "session_of", "touched", "traffic")

    def __init__(
        self, learned: Learned, session_of: Callable[[str], Any], make_handler: Callable[[], Any], traffic: Traffic
    ) -> None:
        self.learned = learned
        self.blocks = learned.blocks
        self.touched = learned.touched
        self.session_of = session_of
        self.make_handler = make_handler
        self.traffic = traffic
        self.loop = asyncio.get_running_loop()
        self._second = -1
        self._date = b""

    def close(self) -> None:
        """From now on everything goes to aiohttp: only it can tell a client that an answer is the last."""
        self.blocks = OrderedDict()
        for connection in self.traffic.connections:
            connection.disarm()

    def send(self, connection: LaneProtocol, ready: Ready, now: float) -> bool:
        """Writes the answer with this second's date; False if that takes the slow lane."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = http_date(second)
        body = ready.body
        if body is None:
            if ready.path is None or self.learned.is_wanted(ready.key, ready.size_bytes):
                return False
            head = b"%s%s\r\n\r\n" % (ready.head, self._date)
            return files.send(connection, head, ready.path, ready.size_bytes)
        if len(body) < JOIN_BELOW_BYTES:
            ready.joined = b"%s%s\r\n\r\n%s" % (ready.head, self._date, body)
            ready.joined_until = second + 1.0
            connection.transport.write(ready.joined)
        else:
            # Two buffers, one writev: a large body is never copied.
            connection.transport.writelines((b"%s%s\r\n\r\n" % (ready.head, self._date), body))
        return True


def http_date(second: int) -> bytes:
    """A Unix second as HTTP writes it (RFC 9110 section 5.6.7)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
