"""Real sockets on the loop that production runs: half-closed clients, clients that do not read, a thousand requests at once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import uvloop

from edge.lane.protocol import LaneProtocol
from edge.lane.traffic import SEND_S
from tests.edge.lane.stage import LARGE, SEGMENT, Stage, get, open_stage
from tests.waiting import until

T = TypeVar("T")
HIGH_WATER_BYTES = 64 * 1024
SLOW = b"GET /nothing HTTP/1.1\r\nHost: edge.example\r\n\r\n"
LAST = SLOW.replace(b"Host", b"Connection: close\r\nHost")
HUGE = LARGE * 64
"""2 MiB: more than the kernel takes off our hands."""


class Served:
    """A stage on a port, and clients of it."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage = stage
        self.port = port
        self.clients: list[socket.socket] = []

    async def connect(self, receive_bytes: int | None = None) -> tuple[socket.socket, LaneProtocol]:
        """A client, and the server's side of it. A small `receive_bytes` fills the kernel's buffers soon."""
        loop = asyncio.get_running_loop()
        known = set(self.stage.traffic.connections)
        client = socket.socket()
        self.clients.append(client)
        client.setblocking(False)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await until(lambda: self.stage.traffic.connections - known, 60)
        (connection,) = self.stage.traffic.connections - known
        return client, connection

    async def ask(self, client: socket.socket, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(client, data)

    async def read(self, client: socket.socket) -> bytes:
        """Until the server closes."""
        got = bytearray()
        async with asyncio.timeout(60):
            while data := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
                got += data
        return bytes(got)


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    async def read(key: str) -> bytes:
        return HUGE if key.endswith("huge.m4s") else SEGMENT

    stage = await open_stage(read)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(stage.fast, "127.0.0.1", 0)
    here = Served(stage, server.sockets[0].getsockname()[1])
    for path in ("v/huge.m4s", "v/1.m4s"):
        client, _ = await here.connect()
        await here.ask(client, get(path) + LAST)
        await here.read(client)
        await here.ask((await here.connect())[0], get(path))
        await until(lambda at=path: any(at.encode() in line for line in stage.lane.learned.plain), 60)
    try:
        yield here
    finally:
        for client in here.clients:
            client.close()
        stage.held.set()
        for connection in list(stage.traffic.connections):
            connection.transport.abort()
        await until(lambda: not stage.traffic.connections, 60)
        server.close()
        await stage.close()


def on_uvloop(scenario: Callable[[Served], Awaitable[None]]) -> Callable[[], None]:
    """A test that pytest calls without a loop."""

    async def run() -> None:
        async with served() as here:
            await scenario(here)

    def test() -> None:
        uvloop.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@on_uvloop
async def test_a_half_closed_client_gets_its_answers(here: Served) -> None:
    for requests, count in (
        (SLOW, 1),
        (get("v/1.m4s"), 1),
        (get("v/huge.m4s"), 1),
        (SLOW * 5, 5),
        (get("v/1.m4s") + SLOW, 2),
    ):
        client, _ = await here.connect()
        await here.ask(client, requests)
        client.shutdown(socket.SHUT_WR)

        async def swept() -> bytes:
            reading = asyncio.ensure_future(here.read(client))  # noqa: B023 - awaited in this very turn
            while not reading.done():
                here.stage.traffic.sweep_once(time.monotonic() + 1.5)
                await asyncio.sleep(0.01)
            return await reading

        got = await swept()
        assert got.count(b"HTTP/1.1 ") == count
        client.close()


@on_uvloop
async def test_a_client_that_reads_nothing_is_not_buffered_without_end(here: Served) -> None:
    """Nor is it read from: what it asks for beyond that waits in its own kernel."""
    client, connection = await here.connect(receive_bytes=4096)
    before = here.stage.hits
    request = get("v/huge.m4s")
    for _ in range(200):
        client.send(request)
        await asyncio.sleep(0)
        assert connection.transport.get_write_buffer_size() <= len(HUGE) + 1024 + HIGH_WATER_BYTES
    await until(lambda: connection.paused_at, 60)
    assert here.stage.hits - before < 5
    here.stage.traffic.sweep_once(time.monotonic())
    here.stage.traffic.sweep_once(time.monotonic() + SEND_S - 1)
    assert connection in here.stage.traffic.connections
    here.stage.traffic.sweep_once(time.monotonic() + SEND_S + 1)
    await until(lambda: connection not in here.stage.traffic.connections, 60)
    client.close()


@on_uvloop
async def test_a_client_that_reads_late_gets_it_all(here: Served) -> None:
    client, connection = await here.connect(receive_bytes=4096)
    for _ in range(3):
        await here.ask(client, get("v/huge.m4s"))
        await until(lambda: connection.paused_at or not connection.transport.get_write_buffer_size(), 60)
    await here.ask(client, LAST)
    got = await here.read(client)
    assert got.count(b"HTTP/1.1 200") == 3
    assert got.count(b"HTTP/1.1 404") == 1
    assert got.count(HUGE) == 3
    client.close()


@pytest.mark.parametrize("path", ["v/huge.m4s", "v/1.m4s", None])
def test_a_thousand_requests_in_one_go(path: str | None) -> None:
    """Read as slowly as can be: at no time is more waiting for the client than an answer and what the buffers hold."""

    async def run() -> None:
        async with served() as here:
            client, connection = await here.connect(receive_bytes=4096)
            count = 1000 if path != "v/huge.m4s" else 20
            request = SLOW if path is None else get(path)
            sending = asyncio.ensure_future(here.ask(client, request * count + LAST))
            most = got = answers = 0
            seen = b""
            async with asyncio.timeout(60):
                while data := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
                    got += len(data)
                    seen += data
                    answers += seen.count(b"Date: ")
                    # What may be the beginning of one that is cut in two between the reads.
                    seen = seen[1 - len(b"Date: ") :]
                    if connection.transport is not None:
                        most = max(most, connection.transport.get_write_buffer_size())
            await sending
            assert most <= (len(HUGE) if path == "v/huge.m4s" else len(SEGMENT)) + 2048 + HIGH_WATER_BYTES
            assert answers == count + 1
            client.close()

    uvloop.run(run())


@on_uvloop
async def test_clients_that_break_off_leave_nothing(here: Served) -> None:
    tasks = len(asyncio.all_tasks())
    part = b"POST /measure HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"
    for request in (b"GET /hls/", SLOW, get("v/huge.m4s"), get("v/huge.m4s", b"Host: a\r\n\r\n"), part):
        for _ in range(20):
            client, _ = await here.connect(receive_bytes=4096)
            await here.ask(client, request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.close()
    idle = 2  # those that taught the lane
    await until(lambda: len(here.stage.traffic.connections) <= idle, 60)
    await until(lambda: len(asyncio.all_tasks()) <= tasks, 60)
    await until(lambda: len(here.stage.server.connections) <= idle, 60)
