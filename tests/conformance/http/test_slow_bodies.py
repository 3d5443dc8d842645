"""More slow bodies than there are places, against the real web process: others are answered meanwhile."""

from __future__ import annotations

import asyncio

from edge.api.shedding import BOUNDS
from tests.conformance.http.case import get
from tests.conformance.http.conftest import Front
from tests.conformance.http.peer import answers_in

WAIT_S = 60
SLOW = BOUNDS["api"].under_way + BOUNDS["api"].queued + 60
AT_ONCE = 50
BODY_BYTES = 200
HEAD = (
    b"POST /auth/v1/token?grant_type=password HTTP/1.1\r\nHost: edge.example\r\nContent-Type: application/json\r\n"
    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
) % BODY_BYTES
END = b"Connection: close\r\n"


async def begin_sending(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body has begun to come: the server says itself that it waits for it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD)
    said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    assert said.startswith(b"HTTP/1.1 100 "), said
    writer.write(b"{")
    return reader, writer


async def ask(port: int, raw: bytes) -> int:
    """The status of one answer, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    (answer,) = answers_in(await asyncio.wait_for(reader.read(), WAIT_S))
    writer.close()
    await writer.wait_closed()
    return answer.status


async def test_slow_bodies_hold_no_place(front: Front) -> None:
    slow = []
    while len(slow) < SLOW:
        slow += await asyncio.gather(*(begin_sending(front.port) for _ in range(AT_ONCE)))
    play = (
        f"POST /play/{front.film} HTTP/1.1\r\nHost: edge.example\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    for _ in range(5):
        assert await ask(front.port, get(b"/config.json", END)) == 200
        assert await ask(front.port, play.encode()) == 200
    for _, writer in slow:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in slow), return_exceptions=True)
