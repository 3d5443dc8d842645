"""One request on the raw wire and what it may be answered with; what the parts of the corpus are written with.

`@FILM@` and `@TOKEN@` stand for a film in the store and a token for it; `CANARY` must come back in no body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

H = b"Host: edge.example\r\n"


@dataclass(frozen=True)
class Case:
    """One connection: what is sent in one piece, the status each answer may have, and whether the connection then ends.

    `then` is what the client does next: ask once more, send FIN, or wait for the end. FIN is for what never becomes a whole
    request, waiting for what the server ends by itself.
    """

    name: str
    raw: bytes
    answers: tuple[tuple[int, ...], ...]
    closes: bool = True
    then: Literal["more", "fin", "wait"] = "more"


def bad(name: str, raw: bytes, *also: int) -> Case:
    """Refused, and the connection ends: nobody can tell where the next request begins."""
    return Case(name, raw, ((400, *also),))


def fine(name: str, raw: bytes, *statuses: int) -> Case:
    """Answered, and the connection goes on in step."""
    return Case(name, raw, (statuses,), closes=False)


def get(path: bytes, more: bytes = b"") -> bytes:
    """A GET with a Host."""
    return b"GET " + path + b" HTTP/1.1\r\n" + H + more + b"\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    """A POST to a place that reads its body."""
    return b"POST /progress HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body


MEDIA = b"/hls/@TOKEN@/@FILM@/1/video/720p/1.m4s"
SMUGGLED = b"GET /smuggled/CANARY HTTP/1.1\r\n" + H + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# /progress refuses a body without beats; what matters is that it is read to its end.
TAKEN = (400, 401, 415, 422)
