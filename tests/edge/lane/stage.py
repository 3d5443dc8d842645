"""The front of an edge without its house: real app, real media face, real lane; sessions and objects a test sets up.

`Wire` is a connection without a socket, so that a test decides which bytes arrive together, and what runs in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from aiohttp import web
from aiohttp.web_server import Server

from core.errors import BAD_PLAYBACK_TOKEN, PLAYBACK_EXPIRED, PLAYBACK_REVOKED, Refusal
from core.ids import DEFAULT_TENANT
from edge.api.boundary import boundary, cors, refuse_unparsed, unsigned
from edge.api.media import MediaFace
from edge.hls.cache import ByteCache
from edge.hls.delivery import Delivery
from edge.hls.stored import StoredObject
from edge.lane.handler import handlers
from edge.lane.lane import Lane
from edge.lane.learned import Learned
from edge.lane.protocol import LaneProtocol
from edge.lane.traffic import Traffic
from edge.tokens.grant import Claims
from edge.tokens.session import Session
from edge.tokens.sessions import Sessions

FILM = UUID("019a0000-0000-7000-8000-0000000000aa")
OTHER_FILM = UUID("019a0000-0000-7000-8000-0000000000bb")
GOOD, OTHER, SUSPECT, EXPIRED, CEILING = "k1.good-token", "k1.other-film", "k1.suspect", "k1.expired", "k1.ceiling"
MASTER = (
    b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360\nv/360p.m3u8\n"
    b"#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=1280x720\nv/720p.m3u8\n"
)
SEGMENT = bytes(range(256)) * 4
LARGE = bytes(range(256)) * 128
OBJECTS = {
    f"{film}/{name}": body
    for film in (FILM, OTHER_FILM)
    for name, body in (
        ("master.m3u8", MASTER),
        ("v/720p.m3u8", b"#EXTM3U\n#EXTINF:4,\n1.m4s\n"),
        ("v/1.m4s", SEGMENT),
        ("v/large.m4s", LARGE),
        ("thumbs/1.jpg", b"\xff\xd8" + bytes(300)),
    )
}


@dataclass
class Door:
    """Sessions by token, in whatever state a test puts them. Answers as `Sessions` does, without asking anybody."""

    by_token: dict[str, Session] = field(default_factory=dict)
    is_bound: bool = False
    checks: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    """Checks that a test decides, by token."""

    def __post_init__(self) -> None:
        for token in (GOOD, OTHER, SUSPECT, EXPIRED, CEILING):
            film = OTHER_FILM if token == OTHER else FILM
            claims = Claims(
                UUID(int=len(self.by_token) + 1), DEFAULT_TENANT, film, None, bytes(8), 2**31, 2**31, 60_000
            )
            self.by_token[token] = Session(token, claims)
        self.reset()

    def reset(self) -> None:
        """Every session as its token's name says."""
        for token, session in self.by_token.items():
            session.suspect = token == SUSPECT
            session.good_until = 1.0 if token == EXPIRED else time.time() + 3600
            session.max_height = 360 if token == CEILING else None

    def drop(self, token: str) -> None:
        """As `Sessions` does it."""
        self.by_token.pop(token).good_until = 0.0

    def session_of(self, token: str) -> Session | None:
        return self.by_token.get(token)

    def begin_check(self, token: str, now: float) -> asyncio.Future[None] | None:
        return self.checks.get(token)

    def known(self, token: str, now: float, address: str | None = None, country: str | None = None) -> Session | None:
        session = self.by_token.get(token)
        return session if session is not None and now < session.good_until and not session.suspect else None

    async def admit(self, token: str, now: float, address: str | None = None, country: str | None = None) -> Session:
        await asyncio.sleep(0)
        session = self.by_token.get(token)
        if session is None:
            raise Refusal(BAD_PLAYBACK_TOKEN)
        if session.suspect:
            raise Refusal(PLAYBACK_REVOKED, data={"reason": "ended"})
        if now >= session.good_until:
            raise Refusal(PLAYBACK_EXPIRED)
        return session


@dataclass
class Stage:
    """One app, one lane, and the two ways in."""

    app: web.Application
    runner: web.AppRunner
    lane: Lane
    door: Door
    traffic: Traffic
    delivery: Delivery
    held: asyncio.Event

    @property
    def server(self) -> Server:
        assert self.runner.server is not None
        return self.runner.server

    @property
    def hits(self) -> int:
        """Answers the lane has given."""
        self.lane.learned.settle()
        return sum(sent.answers for sent in self.lane.learned.sent.values())

    def fast(self) -> LaneProtocol:
        """A connection as the edge makes it."""
        return LaneProtocol(self.lane)

    def plain(self) -> asyncio.Protocol:
        """A connection without a lane."""
        return cast("asyncio.Protocol", self.lane.make_handler())

    async def close(self) -> None:
        """Ends it."""
        await self.runner.cleanup()


async def open_stage(
    read: Callable[[str], Awaitable[bytes]] | None = None,
    *,
    traffic: Traffic | None = None,
    cache_bytes: int = 1 << 28,
    file_of: Callable[[str], str | None] = lambda key: None,
) -> Stage:
    """Sets it up in the running loop."""

    async def from_memory(key: str) -> bytes:
        await asyncio.sleep(0)
        try:
            return OBJECTS[key]
        except KeyError:
            raise LookupError(key) from None

    async def prefix(tenant: UUID, content: UUID, number: int) -> str:
        return str(content)

    door, learned, held = Door(), Learned(), asyncio.Event()
    cache: ByteCache[StoredObject] = ByteCache(cache_bytes, lambda stored: stored.size_bytes)
    cache.was_used, cache.dropped = learned.was_used, learned.forget_answer
    learned.is_wanted = cache.missed_again
    delivery = Delivery(read or from_memory, prefix, cache)

    async def measure(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(text=f"{len(body)}:{sum(body)}")

    async def unread(request: web.Request) -> web.Response:
        return web.Response(text="not read")

    async def hold(request: web.Request) -> web.Response:
        await held.wait()
        return web.Response(text="held")

    app = web.Application(middlewares=[boundary, cors], client_max_size=64 * 1024)
    app.on_response_prepare.append(unsigned)
    app.add_routes(MediaFace(cast("Sessions", door), delivery, learned, file_of).routes())
    app.add_routes([web.post("/measure", measure), web.post("/unread", unread), web.get("/hold", hold)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    traffic = traffic or Traffic(cap=1000)
    lane = Lane(learned, door.session_of, handlers(runner.server, refuse_unparsed), traffic, door.begin_check)
    return Stage(app, runner, lane, door, traffic, delivery, held)


class Wire(asyncio.Transport):
    """The server's end of a connection whose client is the test: takes what is written, gives what `send` is told."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.loop = asyncio.get_running_loop()
        self.written = bytearray()
        self.closing = self.lost = self.reading_paused = False
        self.flushes = True
        self.waiting: list[bytes] = []
        self.buffered = 0
        protocol.connection_made(self)

    def send(self, data: bytes) -> None:
        """The client's bytes arrive, in one piece."""
        if self.closing:
            return
        if self.reading_paused:
            self.waiting.append(data)
        else:
            self.protocol.data_received(data)

    def lose(self) -> None:
        """The connection breaks."""
        if not self.lost:
            self.closing = self.lost = True
            self.protocol.connection_lost(None)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.lost:
            self.written += data

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        for data in list_of_data:
            self.write(data)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            if self.flushes:
                self.loop.call_soon(self.lose)

    def abort(self) -> None:
        self.closing = True
        self.loop.call_soon(self.lose)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False
        self.loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        while self.waiting and not self.reading_paused and not self.closing:
            self.protocol.data_received(self.waiting.pop(0))

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8080)}.get(name, default)


async def settle() -> None:
    """Returns when nothing in this loop can go on without time passing or bytes arriving."""
    loop = asyncio.get_running_loop()
    for _ in range(10_000):
        await asyncio.sleep(0)
        if not loop._ready:  # type: ignore[attr-defined]
            return
    raise AssertionError("the loop does not come to rest")


BROWSER = (
    b"Host: edge.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Origin: https://shop.example\r\nReferer: https://shop.example/watch\r\nAccept-Language: en\r\n\r\n"
)


def get(path: str, block: bytes = BROWSER, *, token: str = GOOD, film: UUID = FILM) -> bytes:
    """A media request as a player sends it; `block` is all after the request line."""
    return f"GET /hls/{token}/{film}/1/{path} HTTP/1.1\r\n".encode() + block
