"""An open-loop client that asks for more than can be answered: what was served, what was sent away, and how soon.

Requests leave at moments drawn beforehand, whatever the server does, on whatever connection is idle then; when none is, the
request is counted as not sent. Run as `python -m bench.flood PORT TARGET RATE SECONDS CONNECTIONS SEED`; prints one line of
JSON.
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
from collections import Counter, deque
from collections.abc import Sequence
from itertools import accumulate

from bench.browser import request
from bench.peers import Peer
from bench.verdict import percentile
from core.process import run_tool
from core.settings import ROOT

_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: ([0-9]+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: close\r\n", re.IGNORECASE)
RECEIVE_BYTES = 256 * 1024
SETTLE_S = 3.0
STEP_S = 0.002
SERVED, SENT_AWAY = 200, 503


def flood(peer: Peer, target: str, *, rate: float, seconds: float, connections: int, seed: int) -> dict[str, float]:
    """What the client measured against `peer`.

    served, sent_away, other, not_sent and unanswered count requests; served_p99_ms and away_p99_ms count from when a request
    was due; retry_values is how many different Retry-After were said; seconds is how long the load lasted.
    """
    arguments = [peer.port, target, rate, seconds, connections, seed]
    done = run_tool(
        [sys.executable, "-m", "bench.flood", *map(str, arguments)], timeout_s=seconds + SETTLE_S + 60, cwd=ROOT
    )
    if done.returncode != 0:
        raise RuntimeError(f"the flood failed against {peer.name}: {done.stderr.strip()[-600:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


class _Flood:
    """One process, one epoll, one request in flight per connection; state in dicts by file descriptor."""

    def __init__(self, port: int, message: bytes, connections: int) -> None:
        self.port, self.message = port, message
        self.poll = select.epoll()
        self.idle: deque[int] = deque()
        self.by_fd: dict[int, socket.socket] = {}
        self.asked_at: dict[int, float] = {}
        self.left: dict[int, int] = {}
        self.status: dict[int, int] = {}
        self.waits: dict[int, list[float]] = {SERVED: [], SENT_AWAY: []}
        self.counts: Counter[str] = Counter()
        self.retries: Counter[int] = Counter()
        for _ in range(connections):
            self._open()

    def _open(self) -> None:
        connected = socket.create_connection(("127.0.0.1", self.port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        fd = connected.fileno()
        self.by_fd[fd] = connected
        self.poll.register(fd, select.EPOLLIN)
        self.idle.append(fd)

    def run(self, due: Sequence[float]) -> None:
        """Sends each request when it is due and takes what is answered until all are, or SETTLE_S after the last."""
        following, count = 0, len(due)
        began = time.perf_counter()
        end = began + due[-1] + SETTLE_S
        while following < count or self.asked_at:
            now = time.perf_counter()
            while following < count and due[following] <= now - began:
                if not self.idle:
                    self.counts["not_sent"] += 1
                else:
                    fd = self.idle.popleft()
                    self.asked_at[fd] = began + due[following]
                    self.by_fd[fd].send(self.message)
                following += 1
            for fd, _ in self.poll.poll(STEP_S):
                self._take(fd)
            if now > end:
                break
        self.counts["unanswered"] += len(self.asked_at)

    def _take(self, fd: int) -> None:
        try:
            data = self.by_fd[fd].recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._reopen(fd)
            return
        if fd not in self.left:
            head_end = data.index(b"\r\n\r\n") + 4
            length = _LENGTH.search(data, 0, head_end)
            self.status[fd] = int(data[9:12])
            self.left[fd] = head_end + int(length[1] if length else 0)
            if (retry := _RETRY.search(data, 0, head_end)) is not None:
                self.retries[int(retry[1])] += 1
            self.counts["closes"] += _CLOSES.search(data, 0, head_end) is not None
        self.left[fd] -= len(data)
        if self.left[fd] <= 0:
            del self.left[fd]
            waited = time.perf_counter() - self.asked_at.pop(fd)
            self.waits.setdefault(self.status[fd], []).append(waited)
            self.idle.append(fd)

    def _reopen(self, fd: int) -> None:
        """The server has closed it: between two requests, or instead of an answer."""
        self.counts["cut"] += self.asked_at.pop(fd, None) is not None
        self.left.pop(fd, None)
        if fd in self.idle:
            self.idle.remove(fd)
        self.by_fd.pop(fd).close()
        self._open()


def main(argv: list[str]) -> int:
    """The client process."""
    port, target, rate, seconds, connections, seed = argv
    draw = random.Random(int(seed))
    gaps = (draw.expovariate(float(rate)) for _ in range(int(float(rate) * float(seconds))))
    load = _Flood(int(port), request(int(port), target), int(connections))
    due = list(accumulate(gaps))
    gc.disable()
    load.run(due)
    served, away = (sorted(load.waits[status]) for status in (SERVED, SENT_AWAY))
    print(
        json.dumps(
            {
                "served": len(served),
                "sent_away": len(away),
                "other": sum(len(waits) for status, waits in load.waits.items() if status not in (SERVED, SENT_AWAY)),
                **{name: load.counts[name] for name in ("not_sent", "unanswered", "cut")},
                "served_p50_ms": percentile(served, 0.5) * 1000,
                "served_p99_ms": percentile(served, 0.99) * 1000,
                "away_p50_ms": percentile(away, 0.5) * 1000,
                "away_p99_ms": percentile(away, 0.99) * 1000,
                "retry_values": len(load.retries),
                "seconds": due[-1],
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
