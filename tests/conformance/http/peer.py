"""A client on the raw wire: sends bytes, reads whole answers, knows nothing of requests."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass

TIMEOUT_S = 60.0
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r\n]*\Z")
_BODILESS = (204, 304)


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that comes once."""
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1, f"{name} comes {len(found)} times"
        return found[0] if found else None


def exchange(port: int, raw: bytes, *, finish: bool) -> bytes:
    """All that is answered to `raw` until the server closes; `finish` sends FIN after it.

    Raises AssertionError when the server neither answers nor closes within TIMEOUT_S.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The server may close before it has read all of it: what it said is still there to be read.
        with suppress(ConnectionError):
            connection.sendall(raw)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        got = bytearray()
        try:
            while data := connection.recv(1 << 16):
                got += data
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError(f"still open after {TIMEOUT_S:g} s, having said {bytes(got[:2000])!r}") from None
        return bytes(got)


def answers_in(got: bytes, heads: tuple[bool, ...] = ()) -> list[Answer]:
    """The answers in `got`, interim ones left out; `heads` says which of them answer a HEAD.

    Raises AssertionError for bytes that are no answer, and for an answer that is cut off.
    """
    found: list[Answer] = []
    while got:
        head, blank, rest = got.partition(b"\r\n\r\n")
        assert blank, f"cut off, or no answer: {got[:200]!r}"
        line, *lines = head.split(b"\r\n")
        match = _STATUS.match(line)
        assert match, f"no status line: {line[:200]!r}"
        status = int(match[1])
        headers = tuple(
            (name.decode("ascii").lower(), value.strip().decode("latin-1"))
            for name, _, value in (one.partition(b":") for one in lines)
        )
        got = rest
        if status < 200:
            continue
        answer = Answer(status, headers, b"")
        length = answer.header("content-length")
        is_head = len(found) < len(heads) and heads[len(found)]
        if not is_head and status not in _BODILESS:
            if answer.header("transfer-encoding") == "chunked":
                body, got = _chunks(got)
            else:
                assert length is not None, f"an answer without a length: {head!r}"
                body, got = got[: int(length)], got[int(length) :]
                assert len(body) == int(length), f"cut off: {len(body)} of {length}"
            answer = Answer(status, headers, body)
        found.append(answer)
    return found


def _chunks(got: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, got = got.partition(b"\r\n")
        count = int(size, 16)
        body, got = body + got[:count], got[count + 2 :]
        if not count:
            return body, got
