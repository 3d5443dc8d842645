"""What the lane knows by heart: header blocks that change nothing about an answer, and answers ready to send.

Both are learnt only from a request that aiohttp parsed and the slow lane answered with 200 and the whole object. A block is
learnt only if it is plain in every respect and reads back, byte for byte, as what the parser understood.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from uuid import UUID

from aiohttp import web

from edge.hls.address import CONTENT_TYPES
from edge.hls.stored import StoredObject, base_headers

MAX_BLOCKS = 4096
MAX_BLOCK_BYTES = 2048

# A header that could change the answer, its framing or the connection keeps a request out of the lane.
NOT_PLAIN = frozenset(
    {
        b"accept-charset", b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect",
        b"forwarded", b"http2-settings", b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since",
        b"keep-alive", b"max-forwards", b"proxy-connection", b"range", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"via",
        b"x-request-id", b"cmcd-request", b"cmcd-object", b"cmcd-status", b"cmcd-session",
    }
)  # fmt: skip


_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Sent:
    """How much of one kind of object the lane has sent."""

    __slots__ = ("answers", "body_bytes")

    def __init__(self) -> None:
        self.answers = 0
        self.body_bytes = 0


class Ready:
    """An answer ready to send, but for the date and the blank line that end its head."""

    __slots__ = ("body", "content", "head", "joined", "joined_at", "sent", "size_bytes", "used")

    def __init__(self, content: bytes, sent: Sent, head: bytes, body: bytes) -> None:
        self.content = content
        """The 16 bytes of the content's id: a token is for one title."""
        self.sent = sent
        self.head = head
        self.body = body
        self.size_bytes = len(body)
        self.used = False
        """Sent since the byte cache last asked."""
        self.joined = b""
        self.joined_at = -1
        """The second for which `joined` holds the whole answer; small answers only."""


Answers = dict[bytes, Ready]


class Learned:
    """Header blocks, each leading to the answers in the form it asks for; bounded, the longest known forgotten first."""

    def __init__(self) -> None:
        self.blocks: OrderedDict[bytes, Answers] = OrderedDict()
        self.plain: Answers = {}
        self.gzipped: Answers = {}
        self.sent: dict[str, Sent] = {suffix: Sent() for suffix in CONTENT_TYPES}
        self._targets: dict[str, bytes] = {}

    def learn_block(self, block: bytes, raw_headers: Iterable[tuple[bytes, bytes]], *, takes_gzip: bool) -> bool:
        """Takes `block` (all after the request line) as known by heart, if the parsed headers say it is plain."""
        if block in self.blocks:
            return True
        if not is_plain(block, tuple(raw_headers)):
            return False
        self.blocks[block] = self.gzipped if takes_gzip else self.plain
        if len(self.blocks) > MAX_BLOCKS:
            self.blocks.popitem(last=False)
        return True

    def learn_answer(self, key: str, target: str, content_id: UUID, suffix: str, stored: StoredObject) -> None:
        """Remembers how `GET /hls/{token}/{target}` is answered; `key` is what the byte cache calls the object."""
        line = f"{target} HTTP/1.1".encode()
        if line in self.plain:
            return
        sent = self.sent[suffix]
        headers = base_headers(stored)
        self.plain[line] = self.gzipped[line] = Ready(
            content_id.bytes, sent, head_of(headers, stored.body), stored.body
        )
        if stored.gzipped is not None:
            headers["Content-Encoding"] = "gzip"
            self.gzipped[line] = Ready(content_id.bytes, sent, head_of(headers, stored.gzipped), stored.gzipped)
        self._targets[key] = line

    def forget_answer(self, key: str) -> None:
        """The byte cache let the object go: so does the lane, which held its bytes only by sharing them."""
        line = self._targets.pop(key, None)
        if line is not None:
            self.plain.pop(line, None)
            self.gzipped.pop(line, None)

    def was_used(self, key: str) -> bool:
        """Whether the lane has sent the object since this was last asked: to the byte cache that is a hit."""
        line = self._targets.get(key)
        if line is None:
            return False
        used = False
        for ready in (self.plain[line], self.gzipped[line]):
            used, ready.used = used or ready.used, False
        return used

    def __len__(self) -> int:
        return len(self.plain)


def is_plain(block: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """Whether `block` is one canonical header section with nothing in it that bears on the answer.

    Canonical: `Name: value` lines, one after the other, exactly as parsed. So nothing was folded, trimmed or merged, no
    second request hides behind it, and the same bytes will always be parsed the same way.
    """
    if not headers or len(block) > MAX_BLOCK_BYTES:
        return False
    values = {name.lower(): value for name, value in headers}
    if len(values) != len(headers) or not NOT_PLAIN.isdisjoint(values):
        return False
    # Chromium says keep-alive in every request; in HTTP/1.1 that changes nothing. Any other value does.
    if values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return False
    if not is_plain_host(values.get(b"host", b"")):
        return False
    return block == b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"


def is_plain_host(host: bytes) -> bool:
    """RFC 9112 section 3.2 asks 400 for a bad Host: only a name or address with an optional port is plain."""
    return _HOST.fullmatch(host) is not None


def head_of(headers: Mapping[str, str], body: bytes) -> bytes:
    """The head of a 200 as aiohttp writes it: our headers in order, the length, then the date that is added when sent."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\nDate: ".encode("latin-1")


def takes_part(request: web.Request) -> bool:
    """Whether a request is of the only shape the lane serves."""
    return request.method == "GET" and request.version == (1, 1) and not request.query_string
