"""One connection: its bytes go down the fast lane if they are known by heart, else to an aiohttp handler made when needed.

The lane takes only a chunk that is exactly one request, on a connection where nothing is unfinished: whether aiohttp is
between requests is kept by counting, never guessed, and a connection whose framing we cannot vouch for stays slow for good.
An aiohttp handler and its parser cost 7 KiB, so an idle connection gives them back (`shed`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.lane.learned import Learned, Ready
from edge.lane.whole import Wholes

if TYPE_CHECKING:
    from edge.lane.traffic import Traffic

JOIN_BELOW_BYTES = 16 * 1024
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]{1,15})(?=\r\n)", re.IGNORECASE)
_ODD_FRAMING = re.compile(
    rb"\r\n(?:transfer-encoding|upgrade|expect)[^a-z0-9-]|\r\ncontent-length(?!: [0-9]{1,15}\r\n)"
    rb"|\r\n[ \t]|[^\r]\n|\r[^\n]",
    re.IGNORECASE,
)
# Timeouts are `Traffic`'s: aiohttp's own would close a connection that is busy in the lane.
_NEVER_S = 1e9

now_s = time.time
monotonic_s = time.monotonic


class LaneProtocol(asyncio.Protocol):
    """A connection. `owed` counts the bytes of the request in the slow lane that are still to come; -1: not known, ever.

    `begun_at` is when the first bytes of a head came that is not complete yet, 0 if there are none; `ended` says that the
    client will send nothing more. Both, `active_at` and `paused_at` are for `Traffic`, in monotonic seconds.
    """

    __slots__ = (
        "active_at",
        "begun_at",
        "block",
        "ended",
        "handler",
        "held",
        "lane",
        "owed",
        "paused_at",
        "served",
        "slow_at",
        "transport",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.transport: Any = None
        self.handler: Any = None
        self.block: bytes | None = None
        self.owed = 0
        self.served = 0
        self.paused_at = 0.0
        self.active_at = 0.0
        self.slow_at = 0.0
        """When aiohttp was last needed: a connection busy in the lane gives its handler back too, and is faster without."""
        self.begun_at = 0.0
        self.ended = False
        self.held: bytes | None = None
        """A request for the lane that came while aiohttp was still tidying up after its last answer; see `_hold`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admits the connection, or closes it when there are too many."""
        self.transport = transport
        self.active_at = monotonic_s()
        self.lane.traffic.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tells the handler, if there is one."""
        self.lane.traffic.closed(self)
        handler, self.handler = self.handler, None
        self.held = None
        if handler is not None:
            handler.connection_lost(exc)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """The lane: three look-ups, then bytes. Everything else is `_slow`."""
        lane = self.lane
        if self.held is not None:
            self._release()
        if data[:9] == b"GET /hls/" and self.owed == 0 and not self.paused_at:
            line_end = data.find(b"\r\n", 9)
            token_end = data.find(b"/", 9)
            answers = lane.blocks.get(data[line_end + 2 :])
            if answers is not None:
                ready = answers.get(data[token_end + 1 : line_end])
                if ready is not None:
                    session = lane.session_of(data[9:token_end].decode("latin-1"))
                    if session is not None:
                        now = now_s()
                        if (
                            now < session.good_until
                            and not session.suspect
                            and session.content == ready.content
                            and session.max_height is None
                        ):
                            if self.handler is not None and not self._handler_rests():
                                self._hold(data)
                                return
                            second = int(now)
                            if ready.joined_at == second:
                                self.transport.write(ready.joined)
                            else:
                                lane.send(self.transport, ready, second)
                            ready.used = True
                            sent = ready.sent
                            sent.answers += 1
                            sent.body_bytes += ready.size_bytes
                            self.served = 1
                            self.active_at = now - lane.clock_gap
                            return
        elif data[:10] == b"GET /rest/" and self.owed == 0 and not self.paused_at and self._answer_whole(data):
            return
        self._slow(data)

    def _answer_whole(self, data: bytes) -> bool:
        """A read that was answered in these very bytes a moment ago (edge/lane/whole.py)."""
        whole = self.lane.wholes.known.get(data)
        now = monotonic_s()
        if whole is None or now >= whole.until_s:
            return False
        if self.handler is not None and not self._handler_rests():
            self._hold(data)
            return True
        self.transport.write(whole.sent_at(self.lane.date(int(now_s()))))
        sent = self.lane.wholes.sent
        sent.answers += 1
        sent.body_bytes += len(whole.body)
        self.served = 1
        self.active_at = now
        return True

    def _hold(self, data: bytes) -> None:
        """Keeps a request for one turn of the loop.

        A client that has its answer sends the next request before aiohttp's task has come to rest; taken to the slow lane,
        that one would leave the same race to the next: 19 of a new token's 20 requests went slow, with this 2.
        """
        self.held = data
        self.lane.loop.call_soon(self._retry)

    def _retry(self) -> None:
        """One turn later: into the lane if aiohttp rests now, else to aiohttp."""
        held = self.held
        if held is None or self.transport is None:
            return
        if self._handler_rests():
            self.held = None
            self.data_received(held)
        else:
            self._release()

    def _release(self) -> None:
        """What was held goes to aiohttp, before anything that came after it."""
        held, self.held = self.held, None
        if held is not None:
            self._slow(held)

    def _handler_rests(self) -> bool:
        """Whether aiohttp waits for a next request, with none queued."""
        handler = self.handler
        waiter = handler._waiter
        return (
            waiter is not None
            and not waiter.done()
            and not handler._messages
            and not handler._force_close
            and not handler._close
        )

    @property
    def rests(self) -> bool:
        """Whether no request is being received in body, answered or queued."""
        return self.held is None and (self.handler is None or self._handler_rests())

    def _slow(self, data: bytes) -> None:
        self.active_at = self.slow_at = monotonic_s()
        handler = self.handler
        if handler is None:
            handler = self.handler = self.lane.make_handler()
            handler._keepalive_timeout = _NEVER_S
            handler.connection_made(self.transport)
            between = True
        else:
            between = self._handler_rests()
        fresh = self.owed == 0
        self._count(data, between)
        parsed = handler._request_count
        handler.data_received(data)
        if handler._request_count != parsed:
            self.served = 1
            self.begun_at = 0.0
        elif between or fresh:
            # Bytes that made no request: the beginning of one, or noise. Either way the parser is not where we could tell.
            self.owed = -1
            self.block = None
            self.begun_at = self.begun_at or self.active_at

    def _count(self, data: bytes, between: bool) -> None:
        """Keeps `owed` and `block` for one more chunk that goes to aiohttp, which is `between` two requests or in one."""
        self.block = None
        if self.owed < 0:
            return
        if between and self.owed > 0:
            # A body that the parser sees elsewhere than we do.
            self.owed = -1
            return
        if self.owed > 0:
            self.owed = self.owed - len(data) if len(data) <= self.owed else -1
            return
        end = data.find(_HEAD_END)
        lengths = _LENGTH.findall(data, 0, end + 2)
        if end < 0 or len(lengths) > 1 or _ODD_FRAMING.search(data, 0, end + 4):
            self.owed = -1
            return
        body = int(lengths[0]) if lengths else 0
        rest = end + 4 + body - len(data)
        self.owed = rest if rest >= 0 else -1
        if rest == 0 and body == 0:
            self.block = data[data.find(b"\r\n") + 2 :]

    def shed(self) -> None:
        """Gives an idle aiohttp handler back, leaving the connection open."""
        handler = self.handler
        if handler is None or self.owed != 0 or self.held is not None or not self._handler_rests():
            return
        self.handler = None
        # Without its transport the handler cannot close it; told of the loss, it ends its task and leaves the server's list.
        handler.transport = None
        handler.connection_lost(None)

    def eof_received(self) -> bool | None:
        """A client that has finished sending still gets what it asked for whole; else the connection is closed."""
        self._release()
        if self.handler is None or self._handler_rests():
            return None
        request = self.handler._current_request
        if request is not None and not request.content.is_eof():
            return None
        self.owed = -1
        self.ended = True
        return True

    def pause_writing(self) -> None:
        """The client reads more slowly than we send: take no more of its requests until it has caught up."""
        self.paused_at = monotonic_s()
        if self.handler is not None:
            self.handler.pause_writing()
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.paused_at = 0.0
        self.active_at = monotonic_s()
        if self.handler is not None and self.handler._paused:  # it may have been made since the pause
            self.handler.resume_writing()
        if self.transport.is_closing():
            return
        if self.handler is None or not (self.handler._reading_paused or self.handler._buffer_paused):
            self.transport.resume_reading()


class Lane:
    """What all connections of a process share."""

    __slots__ = (
        "_date",
        "_second",
        "blocks",
        "clock_gap",
        "learned",
        "loop",
        "make_handler",
        "session_of",
        "traffic",
        "wholes",
    )

    def __init__(
        self,
        learned: Learned,
        session_of: Callable[[str], Any],
        make_handler: Callable[[], Any],
        traffic: Traffic,
        wholes: Wholes | None = None,
    ) -> None:
        self.learned = learned
        self.blocks = learned.blocks
        self.wholes = wholes if wholes is not None else Wholes()
        self.session_of = session_of
        self.make_handler = make_handler
        self.traffic = traffic
        self.loop = asyncio.get_running_loop()
        self.clock_gap = now_s() - monotonic_s()
        self._second = -1
        self._date = b""

    def send(self, transport: Any, ready: Ready, second: int) -> None:
        """Writes the answer with this second's date."""
        date = self.date(second)
        if len(ready.body) < JOIN_BELOW_BYTES:
            ready.joined = b"%s%s\r\n\r\n%s" % (ready.head, date, ready.body)
            ready.joined_at = second
            transport.write(ready.joined)
        else:
            # Two buffers, one writev: a large body is never copied.
            transport.writelines((b"%s%s\r\n\r\n" % (ready.head, date), ready.body))

    def date(self, second: int) -> bytes:
        """The date of `second`, written once."""
        if second != self._second:
            self._second = second
            self._date = http_date(second)
        return self._date


def http_date(second: int) -> bytes:
    """A Unix second as HTTP writes it (RFC 9110 section 5.6.7)."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
