"""The fast lane of heartbeats: a player's next POST /progress is taken before any parser runs.

A player repeats its header block on a connection, but for the body's length. Once aiohttp has parsed such a post and the
slow way has acknowledged it, the block, what its token vouches for and the answer's head are kept with the connection. A
chunk that is that block, byte for byte, with a body of exactly the length it names, is decoded and checked by the same
functions as ever; whatever is the least unusual, or refused, goes the slow way from its first byte.
"""

from __future__ import annotations

import secrets
import time

from aiohttp import web

from core.errors import Refusal
from edge.api.boundary import SECURITY_HEADERS, cors_headers
from edge.lane.lane import http_date
from edge.lane.plain import MAX_BLOCK_BYTES, NOT_PLAIN, is_plain_host
from edge.lane.protocol import LaneProtocol
from edge.progress.batcher import Batcher
from edge.progress.beat import Source, check, decode

LINE = b"POST /progress HTTP/1.1\r\n"
# What a post must have, and a GET of the lane must not.
_OF_A_POST = frozenset({b"authorization", b"content-length", b"content-type"})


class BeatLane:
    """What all connections of a process share. `taken` and `posts` are counted here and collected by the pulse."""

    __slots__ = ("_date", "_second", "batcher", "is_open", "posts", "taken")

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.is_open = True
        """False while the process leaves: each answer must then say that it is the last."""
        self.posts = 0
        self.taken = 0
        self._second = -1
        self._date = b""

    def learn(self, request: web.Request, source: Source, good_until: float) -> None:
        """The slow way has acknowledged `request`: its connection may take the next one like it by heart."""
        connection = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(connection, LaneProtocol) or connection.posted is None or request.version != (1, 1):
            return
        head, connection.posted = connection.posted, None
        length = request.headers.get("Content-Length", "").encode()
        if not is_plain_post(head, tuple(request.raw_headers)):
            return
        before, found, after = head.partition(b"\r\nContent-Length: " + length + b"\r\n")
        if not found or len(head) > MAX_BLOCK_BYTES:
            return  # it spells the name in another way; correct, and not worth a case of its own
        answer = {**SECURITY_HEADERS, **cors_headers(request)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer.items())
        connection.poster = Poster(
            self,
            connection,
            before + b"\r\nContent-Length: ",
            b"\r\n" + after,
            source,
            good_until,
            f"HTTP/1.1 204 No Content\r\n{lines}X-Request-Id: ".encode("latin-1"),
        )

    def date(self, now: float) -> bytes:
        """The Date header's value, made once a second."""
        second = int(now)
        if second != self._second:
            self._second, self._date = second, http_date(second)
        return self._date


class Poster:
    """One connection's posts. At most one is under way: until it is answered, nothing more is read."""

    __slots__ = ("_after", "_answer", "_before", "_connection", "_data", "_good_until", "_lane", "_source")

    def __init__(
        self,
        lane: BeatLane,
        connection: LaneProtocol,
        before: bytes,
        after: bytes,
        source: Source,
        good_until: float,
        answer: bytes,
    ) -> None:
        self._lane = lane
        self._connection = connection
        self._before = before
        self._after = after
        self._source = source
        self._good_until = good_until
        self._answer = answer
        self._data = b""

    def __call__(self, data: bytes) -> bool:
        """Whether this chunk has been taken: it is one post, known but for its beats, and they are on their way to the disk."""
        before = self._before
        if not data.startswith(before) or not self._lane.is_open:
            return False
        length_end = data.find(b"\r\n", len(before))
        body_at = length_end + len(self._after)
        if not data.startswith(self._after, length_end):
            return False
        # Compared as text: one spelling of a number is enough, and `+5` or `05` is none.
        if data[len(before) : length_end] != b"%d" % (len(data) - body_at) or body_at == len(data):
            return False
        now = time.time()
        if now > self._good_until:
            return False
        try:
            token, wire, prefix = decode(data[body_at:])
            if token is not None:
                return False
            beats = check(wire, self._source, prefix, now)
        except Refusal:
            return False
        if not self._lane.batcher.offer(beats, self._stored):
            return False
        self._data = data
        self._connection.is_posting = True
        self._connection.transport.pause_reading()
        self._lane.posts += 1
        self._lane.taken += len(beats)
        return True

    def _stored(self, refusal: Refusal | None) -> None:
        """The beats are on disk, or could not be brought there."""
        connection, data = self._connection, self._data
        self._data = b""
        connection.is_posting = False
        transport = connection.transport
        if transport is None or transport.is_closing():
            return
        transport.resume_reading()
        if refusal is not None:
            # The slow way tries once more, and finds the words if it fails as well. No beat counts twice by that.
            self._lane.posts -= 1
            self._lane.taken -= len(decode(data[data.find(b"\r\n\r\n") + 4 :])[1])
            connection.take_slowly(data)
            return
        transport.write(
            b"%s%s\r\nDate: %s\r\n\r\n" % (self._answer, secrets.token_hex(8).encode(), self._lane.date(time.time()))
        )


def is_plain_post(head: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """Whether `head` is canonical (edge/lane/plain.py) and nothing in it bears on the answer but what a post must say."""
    values = {name.lower(): value for name, value in headers}
    if len(values) != len(headers) or not (NOT_PLAIN - _OF_A_POST).isdisjoint(values):
        return False
    if not values.keys() >= _OF_A_POST or values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return False
    if not is_plain_host(values.get(b"host", b"")):
        return False
    return head == LINE + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"
