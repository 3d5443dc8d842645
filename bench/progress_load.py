"""The load: players on keep-alive connections, each with its own token, each sending its next heartbeats when the last are acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles

from bench.peers import cpu_s
from bench.progress_stage import Bodies


class Player(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, run: Run, token: str, bodies: Bodies) -> None:
        self._run = run
        self._bodies = bodies
        # As Chromium's fetch() sends it from a page of the same origin.
        self._head = (
            f"POST /progress HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: %d\r\n"
            f"Authorization: Bearer {token}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/156.0.0.0 Safari/537.36\r\nContent-Type: application/json\r\nAccept: */*\r\nSec-Fetch-Site: same-origin\r\n"
            f"Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\n\r\n"
        ).encode()
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        body = self._bodies.next()
        self._sent_at = time.perf_counter()
        self._transport.write(self._head % len(body) + body)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        run = self._run
        if data[9:12] != b"204" or not data.endswith(b"\r\n\r\n"):
            run.failed += 1
            run.said = run.said or data[:300].decode("latin-1")
        else:
            run.waits_s.append(time.perf_counter() - self._sent_at)
        if not run.over:
            self._send()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._run.over:
            self._run.failed += 1


@dataclass
class Run:
    """What the players saw: seconds waited for each acknowledgement."""

    waits_s: list[float] = field(default_factory=list)
    failed: int = 0
    said: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """A run in numbers. `busy` is the share of its core that the server used."""

    beats_per_s: float
    p50_ms: float
    p99_ms: float
    busy: float


async def beat_away(
    port: int, pid: int, tokens: Sequence[str], bodies: Sequence[Bodies], *, size: int, seconds: float
) -> Load:
    """Everybody at once for so long. Raises RuntimeError when one beat was not acknowledged."""
    run = Run()
    loop = asyncio.get_running_loop()
    transports = []
    for token, mine in zip(tokens, bodies, strict=True):
        transport, _ = await loop.create_connection(partial(Player, run, token, mine), "127.0.0.1", port)
        transports.append(transport)
    await asyncio.sleep(0.5)  # each has been the slow way once
    run.waits_s.clear()
    began, busy_s = time.perf_counter(), cpu_s(pid)
    await asyncio.sleep(seconds)
    waits_s, took_s = run.waits_s[:], time.perf_counter() - began
    busy_s = cpu_s(pid) - busy_s
    run.over = True
    for transport in transports:
        transport.close()
    if run.failed or len(waits_s) < 2:
        raise RuntimeError(f"{run.failed} posts were not acknowledged: {run.said!r}")
    cuts = quantiles(waits_s, n=100)
    return Load(len(waits_s) * size / took_s, cuts[49] * 1000, cuts[98] * 1000, busy_s / took_s)
