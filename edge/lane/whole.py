"""Whole requests known by heart: reads that guests repeat byte for byte, each with its answer while that is sure to hold.

Where media is looked up by token and object, an API read is looked up by everything that was sent: no header can matter that
is not among those bytes. Learnt only from a request that aiohttp parsed and answered with 200 from memory, and whose header
block is plain; forgotten when the database announces a change.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from edge.lane.learned import Sent
from edge.lane.plain import is_plain

MAX_REQUESTS = 2048
MAX_BYTES = 16 * 1024 * 1024
# Of every answer its own; the date is this second's.
_OWN = frozenset({"date", "x-request-id"})


class Whole:
    """An answer: its head but for date and request id, its body, and until when it holds (monotonic seconds)."""

    __slots__ = ("body", "head", "until_s")

    def __init__(self, head: bytes, body: bytes, until_s: float) -> None:
        self.head = head
        self.body = body
        self.until_s = until_s

    def sent_at(self, date: bytes) -> bytes:
        """The bytes of one answer."""
        request_id = secrets.token_hex(8).encode()
        return b"%sDate: %s\r\nX-Request-Id: %s\r\n\r\n%s" % (self.head, date, request_id, self.body)


class Wholes:
    """Requests and their answers, bounded; when there is no more room all are learnt anew."""

    def __init__(self) -> None:
        self.known: dict[bytes, Whole] = {}
        self.sent = Sent()
        self.is_closed = False
        self._size_bytes = 0

    def learn(
        self,
        target: str,
        block: bytes,
        raw_headers: Iterable[tuple[bytes, bytes]],
        headers: Mapping[str, str],
        body: bytes,
        until_s: float,
    ) -> bool:
        """Takes `GET target` with these very header bytes as answered by 200 with `headers` and `body` until `until_s`."""
        if self.is_closed or not is_plain(block, tuple(raw_headers)) or "Connection" in headers:
            return False
        request = b"GET %s HTTP/1.1\r\n%s" % (target.encode(), block)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() not in _OWN)
        size_bytes = len(request) + len(lines) + len(body)
        if len(self.known) >= MAX_REQUESTS or self._size_bytes + size_bytes > MAX_BYTES:
            self.forget_all()
        self.known[request] = Whole(b"HTTP/1.1 200 OK\r\n" + lines.encode("latin-1"), body, until_s)
        self._size_bytes += size_bytes
        return True

    def forget_all(self) -> None:
        """Something changed, or may have."""
        self.known.clear()
        self._size_bytes = 0

    def close(self) -> None:
        """Nothing is answered or learnt any more: every answer must now say that it is the last."""
        self.is_closed = True
        self.forget_all()
