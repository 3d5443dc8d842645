"""What the lane knows by heart: header blocks that change nothing about an answer, and answers ready to send.

Both are learnt only from a request that aiohttp parsed and the slow lane answered with 200 and the whole object. A block is
learnt only if it is plain in every respect and reads back, byte for byte, as what the parser understood.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from aiohttp import web

from edge.hls.address import CONTENT_TYPES
from edge.hls.stored import StoredObject, base_headers
from edge.lane.plain import is_plain

MAX_BLOCKS = 4096
MAX_ON_DISK = 20_000
"""Answers whose bodies are no longer in memory but in a file at hand; a kilobyte each."""


class Sent:
    """How much of one kind of object the lane has sent."""

    __slots__ = ("answers", "body_bytes")

    def __init__(self) -> None:
        self.answers = 0
        self.body_bytes = 0


class Ready:
    """An answer ready to send, but for the date and the blank line that end its head."""

    __slots__ = (
        "answers",
        "body",
        "content",
        "head",
        "is_for_all",
        "joined",
        "joined_until",
        "key",
        "path",
        "sent",
        "size_bytes",
        "used",
    )

    def __init__(self, content: bytes, key: str, sent: Sent, head: bytes, body: bytes, *, is_for_all: bool) -> None:
        self.content = content
        """The 16 bytes of the content's id: a token is for one title."""
        self.key = key
        """What the byte cache calls the object."""
        self.sent = sent
        self.head = head
        self.body: bytes | None = body
        """None when only the file has it."""
        self.path: str | None = None
        """The file it lies in, when that can be sent from without waiting for anybody but this machine."""
        self.size_bytes = len(body)
        self.is_for_all = is_for_all
        """The same under a quality ceiling as without: all but the manifests."""
        self.answers = 0
        """Sent since `settle`."""
        self.used = False
        """Sent since the byte cache last asked."""
        self.joined = b""
        self.joined_until = 0.0
        """Until when `joined` holds the whole answer, date and all; small answers only."""


Answers = dict[bytes, Ready]


class Learned:
    """Header blocks, each leading to the answers in the form it asks for; bounded, the longest known forgotten first."""

    def __init__(self) -> None:
        self.blocks: OrderedDict[bytes, Answers] = OrderedDict()
        self.plain: Answers = {}
        self.gzipped: Answers = {}
        self.sent: dict[str, Sent] = {suffix: Sent() for suffix in CONTENT_TYPES}
        self.touched: list[Ready] = []
        """What was sent since `settle`, each once."""
        self.is_wanted: Callable[[str, int], bool] = lambda key, size_bytes: False
        """Whether the byte cache would rather have an object that it let go back than see it sent from its file."""
        self._targets: dict[str, bytes] = {}
        self._on_disk: OrderedDict[str, None] = OrderedDict()

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

    def learn_answer(
        self, key: str, target: str, content_id: UUID, suffix: str, stored: StoredObject, path: str | None = None
    ) -> None:
        """Remembers how `GET /hls/{token}/{target}` is answered; `key` is what the byte cache calls the object.

        `path` is the file that holds its bytes and never changes, if there is one to send from.
        """
        line = target.encode()
        known = self.plain.get(line)
        self._on_disk.pop(key, None)
        if known is not None and known.size_bytes == len(stored.body):
            known.body = stored.body
            return
        sent, is_for_all = self.sent[suffix], not target.endswith(("/master.m3u8", ".mpd"))

        def ready(body: bytes) -> Ready:
            return Ready(content_id.bytes, key, sent, head_of(headers, body), body, is_for_all=is_for_all)

        headers = base_headers(stored)
        self.plain[line] = self.gzipped[line] = ready(stored.body)
        if stored.gzipped is not None:
            headers["Content-Encoding"] = "gzip"
            self.gzipped[line] = ready(stored.gzipped)
        else:
            self.plain[line].path = path
        self._targets[key] = line

    def forget_answer(self, key: str) -> None:
        """The byte cache let the object go: so does the lane, which held its bytes only by sharing them."""
        line = self._targets.get(key)
        if line is None:
            return
        ready = self.plain[line]
        if ready.path is None:
            self._forget(key, line)
            return
        ready.body, ready.joined, ready.joined_until = None, b"", 0.0
        self._on_disk[key] = None
        if len(self._on_disk) > MAX_ON_DISK:
            oldest, _ = self._on_disk.popitem(last=False)
            self._forget(oldest, self._targets[oldest])

    def _forget(self, key: str, line: bytes) -> None:
        del self._targets[key]
        del self.plain[line]
        del self.gzipped[line]

    def was_used(self, key: str) -> bool:
        """Whether the lane has sent the object since this was last asked: to the byte cache that is a hit."""
        line = self._targets.get(key)
        if line is None:
            return False
        self.settle()
        used = False
        for ready in (self.plain[line], self.gzipped[line]):
            used, ready.used = used or ready.used, False
        return used

    def settle(self) -> None:
        """Brings `sent` and `used` up to date with what the lane counted: an integer for each answer, the rest here."""
        for ready in self.touched:
            ready.sent.answers += ready.answers
            ready.sent.body_bytes += ready.answers * ready.size_bytes
            ready.answers, ready.used = 0, True
        self.touched.clear()

    def __len__(self) -> int:
        return len(self.plain)


def head_of(headers: Mapping[str, str], body: bytes) -> bytes:
    """The head of a 200 as aiohttp writes it: our headers in order, the length, then the date that is added when sent."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\nDate: ".encode("latin-1")


def takes_part(request: web.Request) -> bool:
    """Whether a request is of the only shape the lane serves."""
    return request.method == "GET" and request.version == (1, 1) and not request.query_string
