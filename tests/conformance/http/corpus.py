"""The whole corpus, as data. After llhttp's, http-garden's and Http11Probe's lists; its words are in case.py."""

from __future__ import annotations

from tests.conformance.http.case import MEDIA, SMUGGLED, TAKEN, Case, fine, get, post
from tests.conformance.http.framing import CHUNKS, CODINGS, LENGTHS
from tests.conformance.http.heads import HOSTS, LINES, METHODS, SIZES, VERSIONS
from tests.conformance.http.targets import PATHS, RANGES, TARGETS

WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
TURNS = [
    fine("expect", post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"), *TAKEN),
    Case("expect something else", post(b"Expect: CANARY\r\nContent-Length: 3\r\n", b"abc"), ((400, 417),)),
    Case("expect something else, no body", get(b"/healthz", b"Expect: CANARY\r\n"), ((400, 417),)),
    fine("expect without a body", get(b"/healthz", b"Expect: 100-continue\r\n"), 200),
    Case("upgrade to a websocket", get(b"/healthz", WEBSOCKET), ((200,),)),
    Case("upgrade to a websocket, then the end", get(b"/healthz", WEBSOCKET), ((200,),), then="wait"),
    Case("upgrade to h2c", get(b"/healthz", H2C), ((200,),)),
    Case("upgrade to anything", get(b"/healthz", b"Connection: Upgrade\r\nUpgrade: CANARY\r\n"), ((200,),)),
    Case("upgrade without a connection header", get(b"/healthz", b"Upgrade: h2c\r\n"), ((200,),)),
    Case("upgrade with a body", post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", b"abc"), (TAKEN,)),
    Case("upgrade with a request behind", get(b"/healthz", H2C) + SMUGGLED, ((200,),)),
    Case("five at once", get(b"/healthz") * 5, ((200,),) * 5, closes=False),
    Case("media five times at once", get(MEDIA) * 5, ((200,),) * 5, closes=False),
    Case("posts at once", post(b"Content-Length: 3\r\n", b"abc") * 3, (TAKEN,) * 3, closes=False),
    # In one piece with what cannot be parsed, aiohttp drops the good as well: one refusal, and the end.
    Case("one in order, one not", get(b"/healthz") + b"CANARY\r\n\r\n", ((400,),)),
    Case("close, then more", get(b"/healthz", b"Connection: close\r\n") + SMUGGLED, ((200, 400),)),
    Case("cut off in the request line", b"GET /hea", (), then="fin"),
    Case("cut off in the headers", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: CANARY", (), then="fin"),
    Case("nothing", b"", (), then="fin"),
    Case("media, then the end", get(MEDIA), ((200,),), then="fin"),
    Case("two, then the end", get(b"/healthz") + get(MEDIA), ((200,), (200,)), then="fin"),
]  # fmt: skip

CORPUS = [*LENGTHS, *CODINGS, *CHUNKS, *LINES, *HOSTS, *VERSIONS, *METHODS, *SIZES, *TARGETS, *PATHS, *RANGES, *TURNS]
