"""The fast lane of heartbeats: a player's next POST /progress is taken before any parser runs.

A player repeats its header block, but for the body's length. Once aiohttp has parsed such a post and the slow way has
acknowledged it, the block is known by heart, with what its token vouches for and the answer's head, on every connection of
the process: a browser posts on whichever of its connections is free, and a proxy mixes players on one. Bytes that are a known
block with a body of exactly the length it names are decoded and checked by the same functions as ever; whatever is the least
unusual, or refused, goes the slow way from its first byte.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial

from aiohttp import web

from core.errors import Refusal
from edge.api.boundary import SECURITY_HEADERS, cors_headers
from edge.lane.lane import http_date
from edge.lane.plain import MAX_BLOCK_BYTES, NOT_PLAIN, is_plain_host
from edge.lane.protocol import LaneProtocol
from edge.progress.batcher import Batcher
from edge.progress.beat import MAX_BODY_BYTES, Source, check, decode

LINE = b"POST /progress HTTP/1.1\r\n"
MAX_HEADS = 32_768
"""Of a kilobyte each, the longest known forgotten first: a core's connections are fewer, behind a proxy its players may be more."""

_LENGTH = b"\r\nContent-Length: "
_LONGEST_LENGTH = len(str(MAX_BODY_BYTES))
_IDS_AT_ONCE = 512
# What a post must have, and a GET of the lane must not.
_OF_A_POST = frozenset({b"authorization", b"content-length", b"content-type"})


class Head:
    """A header block known by heart: its token, what that vouches for, until when, and how its answer begins."""

    __slots__ = ("answer", "good_until", "source", "token")

    def __init__(self, token: str, source: Source, good_until: float, answer: bytes) -> None:
        self.token = token
        self.source = source
        self.good_until = good_until
        self.answer = answer


class BeatLane:
    """What all connections of a process share. `taken` and `posts` are counted here and collected by the pulse."""

    __slots__ = ("_answers", "_ends", "_ids", "_lengths", "_second", "batcher", "heads", "is_open", "posts", "taken")

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.is_open = True
        """False while the process leaves: each answer must then say that it is the last."""
        self.heads: OrderedDict[bytes, Head] = OrderedDict()
        """By the head without the digits of its length."""
        self.posts = 0
        self.taken = 0
        self._answers: dict[bytes, bytes] = {}
        self._lengths: dict[bytes, int] = {}
        """What the digits that have come so far say; of so many digits there are not many."""
        self._ids = _request_ids()
        self._second = -1
        self._ends = b""

    def learn(self, request: web.Request, token: str, source: Source, good_until: float) -> None:
        """The slow way has acknowledged `request`, for which `token` in its head vouches: the next one like it is known by heart."""
        connection = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(connection, LaneProtocol) or connection.posted is None or request.version != (1, 1):
            return
        head, connection.posted = connection.posted, None
        if len(head) > MAX_BLOCK_BYTES or not is_plain_post(head, tuple(request.raw_headers)):
            return
        found = head.find(_LENGTH)
        if found < 0:
            return  # it spells the name in another way; correct, and not worth a case of its own
        at = found + len(_LENGTH)
        headers = {**SECURITY_HEADERS, **cors_headers(request)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = f"HTTP/1.1 204 No Content\r\n{lines}X-Request-Id: ".encode("latin-1")
        # There are two of them: with and without what another origin needs.
        answer = self._answers.setdefault(answer, answer)
        self.heads[head[:at] + head[head.find(b"\r\n", at) :]] = Head(token, source, good_until, answer)
        if len(self.heads) > MAX_HEADS:
            self.heads.popitem(last=False)

    def take(self, connection: LaneProtocol, data: bytes) -> bool:
        """Whether these bytes have been taken: one known post, its beats on their way to the disk, or the head of one.

        The caller vouches that no request on `connection` is unfinished but one that aiohttp may be about to leave.
        """
        at = data.find(_LENGTH) + len(_LENGTH)
        length_end = data.find(b"\r\n", at)
        length = self._lengths.get(data[at:length_end]) or self._length_of(data[at:length_end])
        if not length:
            return False
        # A known head ends where its blank line does: one that reaches up to the body is whole, and the body as long as it says.
        body_at = len(data) - length
        is_whole = True
        head = self.heads.get(data[:at] + data[length_end:body_at]) if body_at > length_end else None
        if head is None:
            is_whole = False
            head = self.heads.get(data[:at] + data[length_end:]) if data.endswith(b"\r\n\r\n") else None
        if head is None or not self.is_open:
            return False
        now = time.time()
        if now > head.good_until:
            return False
        if not connection.is_at_rest:
            connection.hold(data)
            return True
        if not is_whole:
            return length <= MAX_BODY_BYTES and connection.wait_for_body(data)
        body = data[body_at:]
        try:
            token, wire, prefix = decode(body)
            # Our page says its token in the body too, for when it can set no header (sendBeacon).
            if token is not None and token != head.token:
                return False
            beats = check(wire, head.source, prefix, now)
        except Refusal:
            return False
        # A connection has at most one on its way: until it is answered, nothing behind it is looked at.
        if not self.batcher.offer(beats, partial(self._settled, connection, head.answer, data, len(beats))):
            return False
        connection.post_begins()
        self.posts += 1
        self.taken += len(beats)
        return True

    def _length_of(self, digits: bytes) -> int:
        """What a Content-Length says, 0 if nothing that a post of the lane has. One spelling of a number is enough: `+5` or `05` is none."""
        if not digits.isdigit() or digits.startswith(b"0") or len(digits) > _LONGEST_LENGTH:
            return 0
        length = int(digits)
        if length <= MAX_BODY_BYTES:
            self._lengths[digits] = length
        return length

    def _settled(
        self, connection: LaneProtocol, answer: bytes, data: bytes, beats: int, refusal: Refusal | None
    ) -> None:
        """The beats of the post that is `data` are on disk, or could not be brought there."""
        if refusal is not None:
            # The slow way tries once more, and finds the words if it fails as well. No beat counts twice by that.
            self.posts -= 1
            self.taken -= beats
            connection.post_ends(None, data)
            return
        second = int(time.time())
        if second != self._second:
            self._second, self._ends = second, b"\r\nDate: %s\r\n\r\n" % http_date(second)
        connection.post_ends(answer + next(self._ids) + self._ends, data)


def _request_ids() -> Iterator[bytes]:
    """Names for answers, drawn many at once: one by itself takes 0.4 us."""
    while True:
        drawn = os.urandom(8 * _IDS_AT_ONCE).hex().encode()
        for at in range(0, len(drawn), 16):
            yield drawn[at : at + 16]


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
