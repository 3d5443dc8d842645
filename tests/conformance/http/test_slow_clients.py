"""Slow heads, slow bodies and slow readers by the hundred against the real web process, while somebody else is being served.

The limits are the same code as in production with smaller numbers, so that the campaign takes seconds.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass, field

import pytest

from edge.local.valkey import EmbeddedValkey
from tests.conformance.http.conftest import SEGMENT, Front, running_front
from tests.conftest import Servers

HEADER_S, BODY_S, SEND_S = 2.0, 3.0, 3.0
SLACK_S = 3.0
"""The sweep comes once a second, on a machine with two cores."""
LINGER_S = 10.0
"""aiohttp's: who was refused before his body had come may go on sending it for so long."""
DRIP_S = 0.25
BASELINE_S = 2.0

_SERVE = f"""
import socket, sys
import uvloop
from edge.observation import start_logging
from edge.settings import read_settings
from edge.__main__ import serve
from edge.lane.traffic import Traffic
listener = start_logging("edge")
listening = socket.socket(fileno=int(sys.argv[1]))
listening.setblocking(False)
patience = Traffic(header_s={HEADER_S}, body_s={BODY_S}, send_s={SEND_S}, keep_alive_s=5.0)
uvloop.run(serve(read_settings(), listening, traffic=patience))
listener.stop()
"""

HEAD = b"GET /healthz HTTP/1.1\r\nHost: edge.example\r\nX-Slow: " + b"x" * 4000
BODY = (
    b"POST /auth/v1/token?grant_type=password HTTP/1.1\r\nHost: edge.example\r\nContent-Type: application/json\r\n"
    b"Content-Length: 60000\r\n\r\n"
)
CHUNKS = BODY.replace(b"Content-Length: 60000", b"Transfer-Encoding: chunked")
LARGE = b"GET /hls/@TOKEN@/@FILM@/1/video/720p/large.m4s HTTP/1.1\r\nHost: edge.example\r\n\r\n"
SMALL = b"GET /hls/@TOKEN@/@FILM@/1/video/720p/1.m4s HTTP/1.1\r\nHost: edge.example\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: edge.example\r\n\r\n"


def launch(number: int) -> list[str]:
    """The web process, less patient."""
    return [sys.executable, "-c", _SERVE, str(number)]


async def connected(port: int, receive_bytes: int | None = None) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    if receive_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    return client


async def drip(port: int, first: bytes, rest: bytes) -> float:
    """Sends `first`, then `rest` a byte at a time; how long the server put up with it, in seconds."""
    loop = asyncio.get_running_loop()
    client = await connected(port)
    began = time.monotonic()
    ended = asyncio.ensure_future(_end(client))
    try:
        await loop.sock_sendall(client, first)
        for byte in rest:
            await asyncio.wait({ended}, timeout=DRIP_S)
            if ended.done():
                break
            await loop.sock_sendall(client, bytes([byte]))
    except ConnectionError:
        pass
    await asyncio.wait_for(ended, 60)
    client.close()
    return time.monotonic() - began


async def _end(client: socket.socket) -> None:
    try:
        while await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            pass
    except ConnectionError:
        pass


async def take_nothing(port: int, request: bytes) -> float:
    """Asks for much and reads none of it; how long the server put up with it, in seconds."""
    client = await connected(port, receive_bytes=4096)
    began = time.monotonic()
    await asyncio.get_running_loop().sock_sendall(client, request)
    # Sending on is how a client that does not read learns that the server is gone.
    try:
        while time.monotonic() - began < 30:
            await asyncio.sleep(DRIP_S)
            client.send(b"\r\n")
    except (ConnectionError, BlockingIOError):
        pass
    client.close()
    return time.monotonic() - began


@dataclass
class Viewer:
    """A client with nothing wrong: one connection, one request after another, both lanes."""

    port: int
    requests: tuple[bytes, bytes]
    took_s: list[float] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises whatever goes wrong."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while not stop.is_set():
            for request in self.requests:
                began = time.perf_counter()
                writer.write(request)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                assert length in (3, len(SEGMENT)), body[:100]
                self.took_s.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
        writer.close()
        await writer.wait_closed()

    @property
    def p99_s(self) -> float:
        """99 of 100 answers took no longer."""
        return sorted(self.took_s)[int(len(self.took_s) * 0.99)]


async def campaign(front: Front) -> tuple[Viewer, Viewer, list[list[float]]]:
    """A viewer alone, the same among 500 slow clients, and how long those were put up with, kind by kind."""
    requests = (front.fill(SMALL), HEALTH)
    alone, among = Viewer(front.port, requests), Viewer(front.port, requests)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(BASELINE_S, stop.set)
    await alone.run(stop)

    stop = asyncio.Event()
    watching = asyncio.create_task(among.run(stop))
    groups = [
        [drip(front.port, b"", HEAD) for _ in range(200)],
        [drip(front.port, BODY if i % 2 else CHUNKS, b"1\r\nx\r\n" * 100) for i in range(200)],
        [take_nothing(front.port, front.fill(LARGE)) for _ in range(100)],
    ]
    lasted = await asyncio.gather(*(asyncio.gather(*group) for group in groups))
    stop.set()
    await watching
    return alone, among, [list(group) for group in lasted]


@pytest.mark.long
def test_five_hundred_slow_clients_harm_nobody(servers: Servers, valkey: EmbeddedValkey) -> None:
    with running_front(servers, valkey, launch) as front:
        alone, among, (heads, bodies, readers) = asyncio.run(campaign(front))
    assert max(heads) < HEADER_S + SLACK_S
    assert max(bodies) < max(2 * BODY_S, LINGER_S) + SLACK_S
    assert max(readers) < SEND_S + SLACK_S
    assert min(heads) > HEADER_S - 0.1
    assert len(among.took_s) > 500
    # The clients here share the processor with the server: what is left is whether anybody waits for the slow ones.
    assert among.p99_s < max(2 * alone.p99_s, 0.25)
