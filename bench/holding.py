"""Opens many connections, has one request answered on each, and holds them open, idle.

Run as `python -m bench.holding PORT TARGET COUNT`; prints `held` when all have been answered, then waits to be killed.
"""

from __future__ import annotations

import signal
import socket
import sys

from bench.browser import request

BATCH = 200
RECEIVE_BYTES = 65536


def _answered(connections: list[socket.socket], message: bytes) -> None:
    """Sends on all, then reads all: as many at once as a batch has."""
    for connection in connections:
        connection.sendall(message)
    for connection in connections:
        data = connection.recv(RECEIVE_BYTES)
        if not data.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {data[:200]!r}")


def _hold(port: int, target: str, count: int) -> None:
    message = request(port, target)
    held: list[socket.socket] = []
    while len(held) < count:
        fresh = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(BATCH, count - len(held)))]
        _answered(fresh, message)
        held += fresh
    sys.stdout.write("held\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    _hold(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
