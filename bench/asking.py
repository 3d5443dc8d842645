"""A plain HTTP/1.1 question over an open connection: enough to set a stage and to poll, and nothing more."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import dataclass

PATIENCE_S = 15.0
"""A question that is not answered by then never will be: better a figure that fails than a benchmark that hangs."""

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


async def ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: str,
    *,
    body: bytes | None = None,
    token: str | None = None,
) -> Answer:
    """One GET, or a POST of JSON when there is a body. The connection stays open."""
    head = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: localhost\r\n"
    if token is not None:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"\r\n" + (body or b""))
    return await read_answer(reader)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on the connection, which must name its length. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return Answer(int(head[9:12]), await reader.readexactly(int(length[1])) if length else b"")


async def ask_once(port: int, target: str) -> Answer:
    """One GET on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(reader, writer, target)
    finally:
        writer.close()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_until_answers(port: int, target: str, *, timeout_s: float = 30) -> None:
    """Returns when GET `target` answers 200. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if (await ask_once(port, target)).status == 200:
                return
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nothing answers at port {port} after {timeout_s:g} s")
