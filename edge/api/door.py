"""The door: what shedding.py would refuse anyway is refused before aiohttp parses it, makes tasks for it or runs a middleware.

A refusal by way of the application costs two thirds of what an answer does (170 us against 260): at fifteen times what can
be answered, saying no left no time to answer anything. Here it costs 5 us and two system calls; and because even so little is too
much when it is asked often enough, a process says no so many times a second and lets the rest wait for it, unread.
Only what came whole and well formed is refused here: everything else takes aiohttp's way, which knows all the rules.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from edge.api.boundary import SECURITY_HEADERS
from edge.api.observe import REQUESTS, SHED, area_of
from edge.api.shedding import TICK_S, Kind, Shedding, full, kind_of, retry_after_s
from edge.lane.lane import http_date
from edge.lane.plain import is_plain_host

PER_TICK = 100
"""Refusals in TICK_S, 2,000 in a second: a tenth of the processor. More are owed until their turn."""
FEWEST_PER_TICK = 20
LATE_S = 0.01
"""Later than this the loop has less than it could use: with half a processor half as many are refused in a tick."""
KNOWN = 2048
LARGEST_KNOWN_BYTES = 2048
"""Players send the same header block with every request: what the last ones say is remembered, 8 MB at most."""

_LINE = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (/[!-~]*) HTTP/1\.1")
_BLOCK = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n")
_READ = frozenset({b"host", b"connection", b"origin", b"x-request-id", b"content-length"})
_NOT_HERE = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CLEAN_ID = re.compile(rb"[A-Za-z0-9_\-]{8,64}")


@dataclass(frozen=True, slots=True)
class Line:
    """What a refusal must know of a request line."""

    kind: Kind
    area: str
    method: str


@dataclass(frozen=True, slots=True)
class Block:
    """What it must know of the headers."""

    body_bytes: int
    closes: bool
    crosses_origins: bool
    request_id: bytes | None


@lru_cache(KNOWN)
def read_line(line: bytes) -> Line | None:
    """A request line without its end; None for what is never refused, or is aiohttp's to judge."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    path = match[2].partition(b"?")[0].decode()
    kind = kind_of(path)
    return None if kind is None else Line(kind, area_of(path), match[1].decode())


@lru_cache(KNOWN)
def read_block(block: bytes) -> Block | None:
    """All headers with the blank line behind them; None when aiohttp should judge them."""
    if _BLOCK.fullmatch(block) is None:
        return None
    fields: dict[bytes, bytes] = {}
    for line in block[:-4].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if (name := name.lower()) in _NOT_HERE or name in fields:
            return None
        if name in _READ:
            fields[name] = value.strip()
    connection = fields.get(b"connection", b"keep-alive").lower()
    length = fields.get(b"content-length", b"0")
    if (
        not is_plain_host(fields.get(b"host", b""))
        or connection not in (b"keep-alive", b"close")
        or _LENGTH.fullmatch(length) is None
    ):
        return None
    asked_id = fields.get(b"x-request-id", b"")
    return Block(
        int(length), connection == b"close", b"origin" in fields, asked_id if _CLEAN_ID.fullmatch(asked_id) else None
    )


@dataclass(frozen=True, slots=True)
class No:
    """A refusal that is to be said."""

    line: Line
    block: Block


@dataclass(slots=True)
class Door:
    """Decides for one web process what is refused before it is parsed, and says so at its own pace."""

    shedding: Shedding
    is_leaving: Callable[[], bool] = lambda: False
    refused: Counter[Line] = field(default_factory=Counter)
    """Since they were last counted in the metrics."""
    owed: deque[tuple[Any, No]] = field(default_factory=deque)
    """Transports that are not read from until they have been told no."""
    _tick: int = -1
    _left: int = 0
    _second: int = -1
    _date: bytes = b""

    def refusal(self, data: bytes) -> No | None:
        """What `data`, which begins a request, is refused with; None when it is let in, or is not just one whole request."""
        line_end = data.find(b"\r\n")
        head_end = data.find(b"\r\n\r\n", line_end) + 4
        if head_end > LARGEST_KNOWN_BYTES:
            return None
        line = read_line(data[:line_end])
        # Who leaves says so in every answer, which aiohttp's way does.
        if line is None or self.is_leaving():
            return None
        if not self.shedding.is_closed(line.kind):
            self.shedding.let_in(line.kind)
            return None
        block = read_block(data[line_end + 2 : head_end])
        return None if block is None or len(data) != head_end + block.body_bytes else No(line, block)

    def say(self, transport: Any, no: No) -> None:
        """Refuses, now or when it is its turn; until then nothing more is read from there."""
        loop = asyncio.get_running_loop()
        self._begin_tick(loop.time())
        if self._left > 0 and not self.owed:
            self._say(transport, no)
            return
        if not self.owed:
            loop.call_later(TICK_S, self._say_owed)
        transport.pause_reading()
        self.owed.append((transport, no))

    def _begin_tick(self, now: float) -> None:
        tick = int(now / TICK_S)
        if tick != self._tick:
            self._tick, self._left = tick, self._per_tick()

    def _per_tick(self) -> int:
        if self.shedding.late_s < LATE_S:
            return PER_TICK
        return max(FEWEST_PER_TICK, int(PER_TICK * self.shedding.processor_share))

    def _say_owed(self) -> None:
        loop = asyncio.get_running_loop()
        self._begin_tick(loop.time())
        while self.owed and self._left > 0:
            transport, no = self.owed.popleft()
            if not transport.is_closing():
                self._say(transport, no)
                if not no.block.closes:
                    transport.resume_reading()
        if self.owed:
            loop.call_later(TICK_S, self._say_owed)

    def _say(self, transport: Any, no: No) -> None:
        self._left -= 1
        self.refused[no.line] += 1
        transport.write(self._answer(no))
        if no.block.closes:
            transport.close()

    def _answer(self, no: No) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, http_date(second)
        return b"%s%d\r\nX-Request-Id: %s\r\n%s%sDate: %s\r\n\r\n%s" % (
            _HEAD,
            retry_after_s(),
            no.block.request_id or b"%016x" % random.getrandbits(64),
            b"Connection: close\r\n" if no.block.closes else b"",
            _CROSS_ORIGIN if no.block.crosses_origins else b"",
            self._date,
            _BODY if no.line.method != "HEAD" else b"",
        )

    def count(self) -> None:
        """Adds to the metrics what was refused since the last time."""
        for line, number in self.refused.items():
            REQUESTS.labels(line.area, line.method, "503").inc(number)
            SHED.labels(line.kind).inc(number)
        self.refused.clear()


_BODY = orjson.dumps(full().body())
_HEAD = "".join(
    (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n",
        f"Content-Length: {len(_BODY)}\r\nCache-Control: no-store\r\n",
        *(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items()),
        "Retry-After: ",
    )
).encode()
_CROSS_ORIGIN = b"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Retry-After, X-Request-Id\r\n"
