"""The fast lane: a connection's bytes are answered at once if they are known by heart, else go to aiohttp.

It takes only a chunk that is exactly one request, on a connection where nothing is unfinished.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from edge.lane.connection import Connection, monotonic_s
from edge.lane.learned import Answers

if TYPE_CHECKING:
    from edge.lane.lane import Lane

PREFIX = b"GET /hls/"
REST = b"GET /rest/"
POST = b"POST "
LINE_END = b" HTTP/1.1\r\n"
NEVER = b"\0never"
"""What no request begins with; one that does, on a connection that is not armed, finds NO_ANSWERS."""
NO_ANSWERS: Answers = {}

now_s = time.time


class LaneProtocol(Connection):
    """A connection with a lane."""

    __slots__ = ("answers", "cut", "head", "session", "tail")

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        # How the last request began and ended, while nothing but the lane has touched the connection since: see `_arm`.
        self.head = NEVER
        self.tail = NEVER
        self.cut = slice(0, 0)
        self.answers = NO_ANSWERS
        self.session: Any = None

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
        if self.is_posting:
            self._wait_behind(data)
            return
        if self.held is not None:
            self._release()
        if self.part:
            data, self.part = self.part + data, b""
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
                    if not self.is_at_rest:
                        self.hold(data)
                        return
                    if self._arm(data, token_end, line_end, answers, session):
                        self.data_received(data)
                        return
        elif self.owed == 0 and not self.paused_at and self._take(data):
            return
        self._slow(data)

    def _take(self, data: bytes) -> bool:
        """A read, or a post, that is known by heart as a whole."""
        if data.startswith(REST):
            return self._answer_whole(data)
        return data.startswith(POST) and self.lane.posts.take(self, data)

    def _answer_whole(self, data: bytes) -> bool:
        """A read that was answered in these very bytes a moment ago (edge/lane/whole.py)."""
        whole = self.lane.wholes.known.get(data)
        now = monotonic_s()
        if whole is None or now >= whole.until_s:
            return False
        if not self.is_at_rest:
            self.hold(data)
            return True
        self.transport.write(whole.sent_at(self.lane.date(int(now_s()))))
        sent = self.lane.wholes.sent
        sent.answers += 1
        sent.body_bytes += len(whole.body)
        self.served = True
        self.active_at = now
        return True

    def wait_for_body(self, head: bytes) -> bool:
        """Keeps the known head of a post until its body comes: Chromium sends the two apart when they are long. True."""
        self.disarm()
        self.part = head
        self.active_at = monotonic_s()
        return True

    def post_begins(self) -> None:
        """The lane has taken a post, and it is on its way to the disk."""
        self.disarm()
        self.is_posting = True

    def post_ends(self, answer: bytes | None, data: bytes) -> None:
        """It is on disk, and this is the answer; or it is not, and `data`, the post, goes to aiohttp."""
        self.is_posting = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if answer is None:
            self._slow(data)
        else:
            self.served = True
            self.active_at = monotonic_s()
            transport.write(answer)
        if self.behind:
            self._go_on()
        if self.ended and not self.waits and self.is_at_rest and not transport.is_closing():
            transport.close()

    def _wait_behind(self, data: bytes) -> None:
        """Keeps what comes before the post under way is answered. No more is read, so it is one chunk at most."""
        self.behind += data
        self.transport.pause_reading()

    def _go_on(self) -> None:
        behind, self.behind = self.behind, b""
        if not self.paused_at:
            self.transport.resume_reading()
        self.data_received(behind)

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

    def hold(self, data: bytes) -> None:
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
