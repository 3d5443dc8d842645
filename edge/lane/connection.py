"""One connection and its way to aiohttp: a handler that is made when needed and given back, and what is still unfinished.

Whether aiohttp is between requests is kept by counting, never guessed (framing.py), and a connection whose framing we cannot
vouch for stays slow for good. An aiohttp handler and its parser cost 7 KiB, so an idle connection gives them back (`shed`).
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

from edge.lane import framing

if TYPE_CHECKING:
    from edge.lane.lane import Lane

# Timeouts are `Traffic`'s: aiohttp's own would close a connection that is busy in the lane.
_NEVER_S = 1e9

monotonic_s = time.monotonic


class Connection(asyncio.Protocol):
    """`owed` counts the bytes of the request in the slow lane that are still to come; -1: not known, ever.

    `begun_at` is when the first bytes of a head came that is not complete yet, 0 if there are none; `ended` says that the
    client will send nothing more. Both, `active_at` and `paused_at` are for `Traffic`, in monotonic seconds.
    """

    __slots__ = (
        "active_at",
        "begun_at",
        "behind",
        "block",
        "ended",
        "handler",
        "held",
        "is_posting",
        "lane",
        "lane_at",
        "owed",
        "part",
        "paused_at",
        "posted",
        "served",
        "slow_at",
        "transport",
        "wire",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.transport: Any = None
        self.handler: Any = None
        self.block: bytes | None = None
        """The header block of the request without a body that is in the slow lane, for whoever wants to learn it."""
        self.posted: bytes | None = None
        """The head of the post that is there, for the same."""
        self.owed = 0
        self.served = False
        self.paused_at = 0.0
        self.active_at = 0.0
        self.lane_at = 0.0
        """When the lane last answered, in seconds since the epoch."""
        self.slow_at = 0.0
        """When aiohttp was last needed: a connection busy in the lane gives its handler back too, and is faster without."""
        self.begun_at = 0.0
        self.ended = False
        self.held: bytes | None = None
        """A request that the lane has taken and not answered yet."""
        self.is_posting = False
        """A post that the lane has taken is on its way to the disk; nothing behind it is looked at until it is answered."""
        self.behind = b""
        """What came behind that post."""
        self.part = b""
        """The head of a post that is known by heart and whose body has not come yet."""
        self.wire: socket.socket | None = None
        """The descriptor as files.py needs it; it belongs to uvloop."""

    def disarm(self) -> None:
        """Whatever was remembered of the last request is not true any more."""

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
        self.part = self.behind = b""
        self.disarm()
        if self.wire is not None:
            self.wire.detach()
            self.wire = None
        if handler is not None:
            handler.connection_lost(exc)
        self.transport = None

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
        return not self.waits and self.is_at_rest

    @property
    def is_at_rest(self) -> bool:
        """Whether aiohttp has nothing to do here."""
        return self.handler is None or self._handler_rests()

    @property
    def waits(self) -> bool:
        """Whether the lane has taken a request and not answered it yet."""
        return self.held is not None or self.is_posting or self.part != b""

    def _slow(self, data: bytes) -> None:
        self.disarm()
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
        begins = self.owed <= 0
        self.owed, self.block, posted = framing.after(self.owed, data, between=between)
        if begins or self.owed < 0:
            self.posted = posted
        parsed = handler._request_count
        handler.data_received(data)
        if handler._request_count != parsed:
            self.served = True
            self.begun_at = 0.0
        elif between or fresh:
            # Bytes that made no request: the beginning of one, or noise. Either way the parser is not where we could tell.
            self.owed = -1
            self.block = None
            self.begun_at = self.begun_at or self.active_at

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
        if self.is_posting:
            self.ended = True
            return True
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
        self.disarm()
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

    def _release(self) -> None:
        """What was held goes to aiohttp, before anything that came after it."""
        held, self.held = self.held, None
        if held is not None:
            self._slow(held)
