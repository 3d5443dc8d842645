"""An open-loop client: requests leave at moments drawn beforehand, whatever the server does, and latency counts from those.

So a server that stalls is charged for everybody who came meanwhile (no coordinated omission). One process, one epoll, a
request in flight per connection; it reports how late it was itself, to be checked against what it measured.
Run as `python -m bench.pacing PORT TARGET RATE SECONDS CONNECTIONS SEED`; prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import random
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

from bench.browser import request
from bench.peers import Peer
from core.process import run_tool
from core.settings import ROOT

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
SPIN_S = 0.002
GIVE_UP_S = 10.0
RECEIVE_BYTES = 256 * 1024


def paced(peer: Peer, name: str, *, rate: float, seconds: float, connections: int, seed: int) -> dict[str, float]:
    """What the client process measured against `peer`: p50_ms, p99_ms, p999_ms, late_p99_ms, requests, unanswered."""
    arguments = [peer.port, peer.prefix + name, rate, seconds, connections, seed]
    done = run_tool(
        [sys.executable, "-m", "bench.pacing", *map(str, arguments)],
        timeout_s=seconds + GIVE_UP_S + 30,
        cwd=ROOT,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the paced client failed against {peer.name}: {done.stderr.strip()[-600:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of an ascending sequence lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class _Client:
    """Keeps every connection's state in lists indexed by file descriptor: nothing is allocated per request."""

    def __init__(self, port: int, message: bytes, connections: int) -> None:
        self.message = message
        self.poll = select.epoll()
        self.idle: deque[socket.socket] = deque()
        self.by_fd: dict[int, socket.socket] = {}
        self.whole_bytes = 0
        for _ in range(connections):
            connected = socket.create_connection(("127.0.0.1", port))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.whole_bytes = self._first(connected)
            connected.setblocking(False)
            self.by_fd[connected.fileno()] = connected
            self.poll.register(connected.fileno(), select.EPOLLIN)
            self.idle.append(connected)

    def _first(self, connected: socket.socket) -> int:
        """How long the answer is: the same for every one. Also warms the server and the connection."""
        connected.sendall(self.message)
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connected.recv(RECEIVE_BYTES)):
                raise RuntimeError("the server closed the connection")
            data += more
        end = data.index(b"\r\n\r\n") + 4
        length = _LENGTH.search(data[:end])
        if not data.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(f"the server answered {data[:200]!r}")
        whole = end + int(length[1])
        while len(data) < whole:
            data += connected.recv(RECEIVE_BYTES)
        return whole

    def run(self, due: Sequence[float]) -> tuple[list[float], list[float], int]:
        """Latencies, own lateness (both in seconds), and how many were never answered."""
        clock, poll, idle, by_fd = time.perf_counter, self.poll.poll, self.idle, self.by_fd
        message, whole = self.message, self.whole_bytes
        sent_for, left = dict.fromkeys(by_fd, 0.0), dict.fromkeys(by_fd, 0)
        waits: list[float] = []
        late: list[float] = []
        following, count = 0, len(due)
        began = clock() + 0.05
        give_up = began + due[-1] + GIVE_UP_S
        while len(waits) < count:
            now = clock() - began
            while following < count and due[following] <= now and idle:
                connected = idle.popleft()
                fd = connected.fileno()
                sent_for[fd], left[fd] = due[following], whole
                connected.send(message)
                now = clock() - began
                late.append(now - due[following])
                following += 1
            ahead = due[following] - now if following < count and idle else SPIN_S
            for fd, _ in poll(0 if ahead < SPIN_S else ahead - SPIN_S / 2):
                left[fd] -= len(by_fd[fd].recv(RECEIVE_BYTES))
                if left[fd] <= 0:
                    waits.append(clock() - began - sent_for[fd])
                    idle.append(by_fd[fd])
            if clock() > give_up:
                break
        return waits, late, count - len(waits)


def _moments(rate: float, seconds: float, seed: int) -> list[float]:
    """A Poisson stream: viewers do not know of one another."""
    rng = random.Random(seed)
    moments, at = [], 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        moments.append(at)
    return moments


def _measure(arguments: Sequence[str]) -> None:
    port, target, rate, seconds, connections, seed = arguments
    client = _Client(int(port), request(int(port), target), int(connections))
    moments = _moments(float(rate), float(seconds), int(seed))
    gc.disable()
    waits, late, unanswered = client.run(moments)
    waits.sort()
    late.sort()
    found = {
        f"p{name}_ms": percentile(waits, share) * 1000 for name, share in (("50", 0.5), ("99", 0.99), ("999", 0.999))
    }
    found |= {"late_p99_ms": percentile(late, 0.99) * 1000, "requests": len(waits), "unanswered": unanswered}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _measure(sys.argv[1:])
