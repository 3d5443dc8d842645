"""Bodies are received before a place is taken; of too many at once, the one longest on its way is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edge.api.arriving import Arriving
from edge.api.boundary import boundary, cors
from edge.api.shedding import Bound, Kind, Shedding
from tests.waiting import until

HEAD = "{method} {path} HTTP/1.1\r\nHost: edge.example\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
MAX_BODY_BYTES = 64 * 1024


@dataclass
class Front:
    """A server that says how many bytes it was sent, with one place for all who ask."""

    server: TestServer
    arriving: Arriving
    bodies: list[bytes] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)

    async def sending(self, framing: str, body: bytes = b"", method: str = "POST", path: str = "/x") -> Sender:
        """A request whose head and first bytes are sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(HEAD.format(method=method, path=path, framing=framing).encode() + body)
        self.senders.append(Sender(reader, writer))
        return self.senders[-1]


@dataclass
class Sender:
    """The client's side of one request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self) -> int:
        """That of the answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)
        return int(head.split(b" ", 2)[1])

    async def leave(self) -> None:
        """Ends the connection, whatever is still owed."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    bounds: dict[Kind, Bound] = dict.fromkeys(("media", "beats", "upload", "api"), Bound(1, 60.0))
    arriving = Arriving(budget_bytes=100_000)
    shedding = Shedding(bounds, arriving)
    app = web.Application(middlewares=[boundary, shedding.layer(), cors], client_max_size=MAX_BODY_BYTES)
    made = Front(TestServer(app), arriving)

    async def take(request: web.Request) -> web.Response:
        made.bodies.append(await request.read())
        return web.Response(text="taken")

    async def leave_it(request: web.Request) -> web.Response:
        return web.Response(text="not read")

    app.router.add_post("/x", take)
    app.router.add_post("/storage/v1/upload", leave_it)
    app.router.add_get("/x", leave_it)
    async with made.server:
        yield made
        for sender in made.senders:
            await sender.leave()


async def test_who_is_quick_is_answered_while_others_are_still_sending(front: Front) -> None:
    slow = [await front.sending("Content-Length: 10", b"12345") for _ in range(20)]
    await until(lambda: len(front.arriving) == 20, 60)
    quick = await front.sending("Content-Length: 3", b"abc")
    assert await quick.status() == 200
    for sender in slow:
        sender.writer.write(b"67890")
        assert await sender.status() == 200
    assert front.bodies == [b"abc", *[b"1234567890"] * 20]
    assert len(front.arriving) == 0


async def test_a_body_in_chunks_is_whole_when_it_is_read(front: Front) -> None:
    sender = await front.sending("Transfer-Encoding: chunked", b"3\r\nabc\r\n")
    await until(lambda: len(front.arriving) == 1, 60)
    sender.writer.write(b"2\r\nde\r\n0\r\n\r\n")
    assert await sender.status() == 200
    assert front.bodies == [b"abcde"]


async def test_a_body_in_chunks_ends_where_it_is_too_large(front: Front) -> None:
    sender = await front.sending(
        "Transfer-Encoding: chunked", b"%x\r\n" % (10 * MAX_BODY_BYTES) + bytes(MAX_BODY_BYTES + 1)
    )
    assert await sender.status() == 413
    assert front.bodies == []


async def test_over_the_budget_the_oldest_is_given_up(front: Front) -> None:
    senders = []
    for number in range(4):
        senders.append(await front.sending("Content-Length: 30000", bytes(29_000)))
        await until(lambda number=number: len(front.arriving) == number + 1, 60)
    await until(lambda: sum(body.total_bytes for body in front.arriving._bodies.values()) == 4 * 29_000, 60)
    front.arriving.keep_to_budget()
    assert await senders[0].status() == 503
    for sender in senders[1:]:
        sender.writer.write(bytes(1000))
        assert await sender.status() == 200
    assert front.arriving.given_up == 1
    assert len(front.arriving) == 0


async def test_one_that_leaves_is_forgotten(front: Front) -> None:
    sender = await front.sending("Content-Length: 10", b"12345")
    await until(lambda: len(front.arriving) == 1, 60)
    await sender.leave()
    await until(lambda: len(front.arriving) == 0, 60)
    front.arriving.keep_to_budget()
    assert front.bodies == []


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("GET", "/x", 10, 200),
        ("POST", "/nothing", 10, 404),
        ("PUT", "/x", 10, 405),
        ("POST", "/x", MAX_BODY_BYTES + 1, 0),
        ("POST", "/storage/v1/upload", 10, 200),
    ],
)
async def test_what_nobody_reads_at_once_is_not_waited_for(
    front: Front, method: str, path: str, length: int, status: int
) -> None:
    sender = await front.sending(f"Content-Length: {length}", b"1", method, path)
    if status:
        assert await sender.status() == status
    else:
        sender.writer.write(bytes(MAX_BODY_BYTES))
        assert await sender.status() == 413, "its handler's to refuse"
    assert len(front.arriving) == 0
