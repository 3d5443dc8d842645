"""A body straight from the page cache to the socket: sendfile, for objects that memory had no room for.

uvloop has none, so the head and the file go out past it; that is allowed only while uvloop has nothing to send on the
connection, and what the socket does not take at once goes back to it, with its back-pressure. A file that is not in the page
cache is left to the slow lane: reading it here would hold every connection for as long as the disk takes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.lane.connection import Connection

IDLE_S = 30.0
"""How long a file stays open that is not sent: one that was deleted keeps its room on the disk for so long."""
# A pipe that somebody has put in the file's place must not wait for its writer.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_PROBE = bytearray(1)


def files_cap() -> int:
    """How many files may be open at once: a third of what the process may open at all."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(soft) // 3


class _OpenFile:
    __slots__ = ("handle", "was_sent")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.was_sent = True


class OpenFiles:
    """Files that were sent a moment ago, still open: finding one by its path and closing it costs 5 us each time.

    What lies under a path never changes, so a descriptor is as good as the path.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int | None = None) -> None:
        self._loop = loop
        self._most = files_cap() if most is None else most
        self._open: dict[str, _OpenFile] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def handle_of(self, path: str, size_bytes: int) -> int | None:
        """A descriptor of the file, if it is there and as long as it should be. It stays ours."""
        known = self._open.get(path)
        if known is not None:
            known.was_sent = True
            return known.handle
        try:
            handle = os.open(path, _OPEN)
        except OSError:
            return None
        if os.fstat(handle).st_size != size_bytes:
            os.close(handle)
            return None
        if len(self._open) >= self._most:
            os.close(self._open.pop(next(iter(self._open))).handle)
        self._open[path] = _OpenFile(handle)
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_S, self.close_idle)
        return handle

    def close_idle(self) -> None:
        """Closes what was not sent since the last time."""
        for path, file in list(self._open.items()):
            if file.was_sent:
                file.was_sent = False
            else:
                os.close(file.handle)
                del self._open[path]
        self._timer = self._loop.call_later(IDLE_S, self.close_idle) if self._open else None

    def close(self) -> None:
        """Closes them all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for file in self._open.values():
            os.close(file.handle)
        self._open.clear()


def send(files: OpenFiles, connection: Connection, head: bytes, path: str, size_bytes: int) -> bool:
    """Sends `head` and the file's `size_bytes`; False, and nothing sent, when the slow lane must do it."""
    transport = connection.transport
    if transport.get_write_buffer_size() or (wire := wire_of(connection)) is None:
        return False
    handle = files.handle_of(path, size_bytes)
    if handle is None or not _is_at_hand(handle, size_bytes):
        return False
    try:
        taken = wire.send(head, socket.MSG_MORE | socket.MSG_DONTWAIT)
    except OSError:
        return False
    at = 0
    if taken == len(head):
        try:
            at = os.sendfile(wire.fileno(), handle, 0, size_bytes)
        except BlockingIOError:
            pass
        except OSError:
            transport.abort()
            return True
    else:
        transport.write(head[taken:])
    if at < size_bytes:
        rest = os.pread(handle, size_bytes - at, at)
        if len(rest) == size_bytes - at:
            transport.write(rest)
        else:
            # Somebody has cut it short after all: better broken off than padded.
            transport.abort()
    return True


def _is_at_hand(handle: int, size_bytes: int) -> bool:
    """Whether the file's beginning and end are in the page cache: what is read as a whole comes and goes as a whole."""
    try:
        for at in (0, size_bytes - 1):
            os.preadv(handle, (_PROBE,), at, os.RWF_NOWAIT)
    except OSError:
        return False
    return True


def wire_of(connection: Connection) -> socket.socket | None:
    """A socket over the connection's descriptor, made once: uvloop's own stand-in cannot send."""
    if connection.wire is None:
        theirs = connection.transport.get_extra_info("socket")
        if theirs is not None:
            connection.wire = socket.socket(theirs.family, theirs.type, theirs.proto, fileno=theirs.fileno())
    return connection.wire
