"""One connection: its bytes go down the fast lane if they are known by heart, else to an aiohttp handler made when needed.

The lane takes only a chunk that is exactly one request, on a connection where nothing is unfinished: whether aiohttp is
between requests is kept by counting, never guessed, and a connection whose framing we cannot vouch for stays slow for good.
An aiohttp handler and its parser cost 7 KiB, so an idle connection gives them back (`shed`).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.lane import framing
from edge.lane.learned import Answers

if TYPE_CHECKING:
    from edge.lane.lane import Lane

PREFIX = b"GET /hls/"
REST = b"GET /rest/"
LINE_END = b" HTTP/1.1\r\n"
NEVER = b"\0never"
"""What no request begins with; one that does, on a connection that is not armed, finds NO_ANSWERS."""
NO_ANSWERS: Answers = {}
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
        "answers",
        "begun_at",
        "block",
        "cut",
        "ended",
        "handler",
        "head",
        "held",
        "is_posting",
        "lane",
        "lane_at",
        "owed",
        "paused_at",
        "posted",
        "poster",
        "served",
        "session",
        "slow_at",
        "tail",
        "transport",
        "wire",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.transport: Any = None
        self.handler: Any = None
        self.block: bytes | None = None
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
        self.posted: bytes | None = None
        """The head of the post that is in the slow lane, for whoever wants to learn it."""
        self.poster: Callable[[bytes], bool] | None = None
        """Takes this connection's posts that are known by heart (edge/api/beat_lane.py)."""
        self.held: bytes | None = None
        """A request for the lane that came while aiohttp was still tidying up after its last answer (`_hold`), or whose
        session is being checked (`_wait_for_check`)."""
        self.is_posting = False
        """A post that `poster` has taken is on its way to the disk; nothing is read until it is answered."""
        self.wire: socket.socket | None = None
        """The descriptor as files.py needs it; it belongs to uvloop."""
        # How the last request began and ended, while nothing but the lane has touched the connection since: see `_arm`.
        self.head = NEVER
        self.tail = NEVER
        self.cut = slice(0, 0)
        self.answers = NO_ANSWERS
        self.session: Any = None

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
        self.disarm()
        if self.wire is not None:
            self.wire.detach()
            self.wire = None
        if handler is not None:
            handler.connection_lost(exc)
        self.transport = None
        self.poster = None

    def data_received(self, data: bytes) -> None:
        """The lane. A request like the last one on this connection, but for its path, is one look-up."""
        if data.startswith(self.head) and data.endswith(self.tail):
            ready = self.answers.get(data[self.cut])
            if ready is not None:
                session = self.session
                now = now_s()
                if (
                    now < session.good_until
                    and not session.suspect
                    and session.content == ready.content
                    and (session.max_height is None or ready.is_for_all)
                ):
                    if now < ready.joined_until:
                        self.transport.write(ready.joined)
                    elif not self.lane.send(self, ready, now):
                        self._slow(data)
                        return
                    if not ready.answers:
                        self.lane.touched.append(ready)
                    ready.answers += 1
                    self.lane_at = now
                    return
        self._look_up(data)

    def _look_up(self, data: bytes) -> None:
        """The lane when this connection has not been in it: three look-ups. Everything else is `_slow`."""
        lane = self.lane
        if self.held is not None:
            self._release()
        if data.startswith(PREFIX) and self.owed == 0 and not self.paused_at:
            token_end = data.find(b"/", len(PREFIX))
            line_end = data.find(LINE_END, token_end)
            answers = lane.blocks.get(data[line_end + len(LINE_END) :])
            if answers is not None and data[token_end + 1 : line_end] in answers:
                token = data[len(PREFIX) : token_end].decode("latin-1")
                session = lane.session_of(token)
                now = now_s()
                if session is None or session.suspect or now >= session.good_until:
                    if self._wait_for_check(token, now, data):
                        return
                else:
                    if self.handler is not None and not self._handler_rests():
                        self._hold(data)
                        return
                    if self._arm(data, token_end, line_end, answers, session):
                        self.data_received(data)
                        return
        elif data.startswith(REST) and self.owed == 0 and not self.paused_at and self._answer_whole(data):
            return
        elif self.poster is not None and self._is_clear() and self.poster(data):
            self.served = True
            self.active_at = monotonic_s()
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
        self.served = True
        self.active_at = now
        return True

    def _is_clear(self) -> bool:
        """Whether nothing is unfinished on the connection."""
        return self.owed == 0 and not self.paused_at and (self.handler is None or self._handler_rests())

    def take_slowly(self, data: bytes) -> None:
        """A whole request that the lane had taken and could not answer."""
        self._slow(data)

    def _arm(self, data: bytes, token_end: int, line_end: int, answers: Answers, session: Any) -> bool:
        """Keeps what this request and the next ones have in common. False if there was no need, and the lane has refused it.

        Comparing 600 bytes with themselves takes 30 ns, cutting and hashing them 600. Whatever else happens to the connection
        disarms it: while it is armed aiohttp rests, no body is owed, and nothing is held or paused.
        """
        head, tail = data[: token_end + 1], data[line_end:]
        if head == self.head and tail == self.tail and session is self.session and answers is self.answers:
            return False
        self.head, self.tail = head, tail
        self.cut = slice(len(head), -len(tail))
        self.answers, self.session = answers, session
        return True

    def disarm(self) -> None:
        """The next request is looked up in full."""
        self.head = self.tail = NEVER
        self.answers = NO_ANSWERS
        self.session = None

    def _wait_for_check(self, token: str, now: float, data: bytes) -> bool:
        """Keeps a request until its session has been checked, if it is one that the lane will answer then.

        A new token's first request costs 120 us in aiohttp, whose answer would be the same.
        """
        check = self.lane.check(token, now)
        if check is None:
            return False
        self.disarm()
        self.held = data
        self.active_at = monotonic_s()
        check.add_done_callback(self._checked)
        return True

    def _checked(self, check: asyncio.Future[None]) -> None:
        """Into the lane if the session may go on; else to aiohttp, which says what is wrong."""
        self.lane.checks -= 1
        if not check.cancelled():
            check.exception()  # aiohttp meets it again
        held = self.held
        if held is None or self.transport is None:
            return
        session = self.lane.session_of(held[len(PREFIX) : held.find(b"/", len(PREFIX))].decode("latin-1"))
        if session is not None and not session.suspect and now_s() < session.good_until:
            self.held = None
            self.data_received(held)
        else:
            self._release()

    def _hold(self, data: bytes) -> None:
        """Keeps a request for one turn of the loop.

        A client that has its answer sends the next request before aiohttp's task has come to rest; taken to the slow lane,
        that one would leave the same race to the next: 19 of a new token's 20 requests went slow, with this 2.
        """
        self.disarm()
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
        return not self.waits and (self.handler is None or self._handler_rests())

    @property
    def waits(self) -> bool:
        """Whether the lane has taken a request and not answered it yet."""
        return self.held is not None or self.is_posting

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
        self.owed, self.block, self.posted = framing.after(self.owed, data, between=between)
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
