"""Clients that keep their connections, written on bare sockets: every request that fails in any way is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ANSWER_S = 60


@dataclass
class Load:
    """What was sent and what became of it."""

    answered: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def total(self) -> int:
        """Requests that were answered."""
        return self.answered.total()


Request = Callable[[], bytes]


def get(url: str, path: str, *more: str) -> Request:
    """A GET as a browser's player sends it: always the same bytes."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "User-Agent: load/1", "Accept: */*",
        "Accept-Encoding: gzip, deflate", *more,
    ]  # fmt: skip
    text = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return lambda: text


def post(url: str, path: str, token: str, body: Callable[[], object]) -> Request:
    """A POST of JSON made anew each time."""

    def make() -> bytes:
        data = json.dumps(body()).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    return make


class Connection:
    """One keep-alive connection, opened again when the server has said that it closes it."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (where.hostname, where.port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer, whole. Raises OSError, EOFError, TimeoutError when there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        async with asyncio.timeout(ANSWER_S):
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            if status not in (204, 304):
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        if b"\r\nconnection: close\r\n" in head:
            self.close()
        return status

    def close(self) -> None:
        """Ends it; the next question opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def keep_asking(load: Load, url: str, requests: Sequence[Request], every_s: float, stop: asyncio.Event) -> None:
    """One client: a request every `every_s`, in turn, on one connection for as long as that lasts."""
    connection = Connection(url)
    due = time.monotonic()
    number = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            load.answered[await connection.ask(requests[number % len(requests)]())] += 1
            load.slowest_s = max(load.slowest_s, time.monotonic() - began)
        except (OSError, EOFError, TimeoutError) as error:
            load.failures.append(f"{type(error).__name__}: {error}")
            connection.close()
        number += 1
        due += every_s
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await stop.wait()
        except TimeoutError:
            continue
    connection.close()


@asynccontextmanager
async def running_load(url: str, clients: Sequence[tuple[Sequence[Request], float]]) -> AsyncIterator[Load]:
    """These clients (their requests, and seconds between two) at work until the end of the block."""
    load, stop = Load(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for requests, every_s in clients:
            group.create_task(keep_asking(load, url, requests, every_s, stop))
        try:
            yield load
        finally:
            stop.set()
