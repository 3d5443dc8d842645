"""A body straight from the page cache to the socket: sendfile, for objects that memory had no room for.

uvloop has none, so the head and the file go out past it; that is allowed only while uvloop has nothing to send on the
connection, and what the socket does not take at once goes back to it, with its back-pressure. A file that is not in the page
cache is left to the slow lane: reading it here would hold every connection for as long as the disk takes.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.lane.connection import Connection

# A pipe that somebody has put in the file's place must not wait for its writer.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_PROBE = bytearray(1)


def send(connection: Connection, head: bytes, path: str, size_bytes: int) -> bool:
    """Sends `head` and the file's `size_bytes`; False, and nothing sent, when the slow lane must do it."""
    transport = connection.transport
    if transport.get_write_buffer_size() or (wire := wire_of(connection)) is None:
        return False
    try:
        handle = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        if not _is_at_hand(handle, size_bytes):
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
                transport.abort()
        return True
    finally:
        os.close(handle)


def _is_at_hand(handle: int, size_bytes: int) -> bool:
    """Whether the file is as long as it was and, at its beginning, middle and end, in the page cache."""
    if os.fstat(handle).st_size != size_bytes:
        return False
    try:
        for at in (0, size_bytes // 2, size_bytes - 1):
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
