"""The door: what is refused there, what is left to aiohttp, and that an answer never comes out of turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from core.errors import UNAVAILABLE
from edge.api.boundary import boundary, cors, refuse_unparsed, unsigned
from edge.api.door import FEWEST_PER_TICK, PER_TICK, Door, read_block, read_line
from edge.api.knocking import DoorProtocol, handlers
from edge.api.shedding import Bound, Kind, Shedding
from edge.lane.lane import Lane
from edge.lane.learned import Learned
from edge.lane.traffic import Traffic
from tests.conformance.http.peer import Answer, answers_in
from tests.waiting import until

HOST = b"Host: edge.example\r\n"
BOUNDS: dict[Kind, Bound] = dict.fromkeys(("media", "beats", "upload", "api"), Bound(1, 60.0))


@dataclass
class Front:
    """A server behind the door, whose one place is taken until `gate` is set."""

    port: int
    door: Door
    traffic: Traffic
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Waits at the gate."""
        self.under_way += 1
        if request.path.startswith("/slow"):
            await self.gate.wait()
        self.under_way -= 1
        return web.Response(text=f"{request.method} {request.path} {len(await request.read())}")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    def close(self) -> None:
        """From here on nothing more of the API is let in."""
        places = self.door.shedding._places["api"]
        places.free, places.freed_per_s = 0, 0.0
        places.queue.append(asyncio.get_running_loop().create_future())

    def reopen(self) -> None:
        """Undoes `close`."""
        places = self.door.shedding._places["api"]
        places.queue.clear()
        places.free, places.freed_per_s = 1, None


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    shedding = Shedding(BOUNDS)
    app = web.Application(middlewares=[boundary, shedding.layer(), cors])
    app.on_response_prepare.append(unsigned)
    runner = web.AppRunner(app, access_log=None)
    traffic, door = Traffic(cap=10_000), Door(shedding)
    made = Front(0, door, traffic)
    app.router.add_route("*", "/{tail:.*}", made.handle)
    await runner.setup()
    assert runner.server is not None
    lane = Lane(Learned(), lambda token: None, handlers(runner.server, refuse_unparsed), traffic)
    server = await asyncio.get_running_loop().create_server(lambda: DoorProtocol(lane, door), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.gate.set()
    for writer in made.writers:
        writer.close()
    await until(lambda: not traffic.connections, 60)
    server.close()
    await runner.cleanup()


def get(path: bytes = b"/x", more: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\n" + HOST + more + b"\r\n"


async def answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """The next one on a connection."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b"" if head_only else await asyncio.wait_for(reader.readexactly(length), 60)
    (found,) = answers_in(head + body, (head_only,))
    return found


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
async def test_a_refusal_is_what_the_application_would_say(front: Front, method: bytes) -> None:
    reader, writer = await front.connect()
    body = b"Content-Length: 0\r\n" if method == b"POST" else b""
    front.close()
    for _ in range(3):
        writer.write(get(b"/x?a=b", b"Origin: https://a.example\r\nX-Request-Id: abcdefgh-1\r\n" + body, method))
        no = await answer(reader, head_only=method == b"HEAD")
        assert no.status == 503
        assert no.header("retry-after") in {"1", "2", "3", "4"}
        assert no.header("x-request-id") == "abcdefgh-1"
        assert no.header("access-control-allow-origin") == "*"
        assert no.header("x-content-type-options") == "nosniff"
        assert no.header("cache-control") == "no-store"
        assert no.header("date") is not None
        assert no.header("server") is None
        if method != b"HEAD":
            assert json.loads(no.body)["code"] == UNAVAILABLE.code
    assert sum(front.door.refused.values()) == 3
    assert not any(connection.handler for connection in front.traffic.connections), "it costs no handler"
    # The same connection goes on, and in step.
    front.reopen()
    writer.write(get(b"/after"))
    assert (await answer(reader)).body == b"GET /after 0"


async def test_everybody_is_told_another_moment_to_come_again(front: Front) -> None:
    reader, writer = await front.connect()
    front.close()
    said = set()
    for _ in range(60):
        writer.write(get())
        said.add((await answer(reader)).header("retry-after"))
    assert len(said) > 1


async def test_who_asks_for_the_end_gets_it(front: Front) -> None:
    reader, writer = await front.connect()
    front.close()
    writer.write(get(more=b"Connection: close\r\n"))
    no = await answer(reader)
    assert (no.status, no.header("connection")) == (503, "close")
    assert await reader.read() == b""


async def test_a_request_with_its_body_is_refused_whole(front: Front) -> None:
    reader, writer = await front.connect()
    front.close()
    for _ in range(2):
        writer.write(get(more=b"Content-Length: 3\r\n", method=b"POST") + b"abc")
        assert (await answer(reader)).status == 503
    front.reopen()
    writer.write(get(b"/y", b"Content-Length: 3\r\n", method=b"POST") + b"abc")
    assert (await answer(reader)).body == b"POST /y 3"


async def test_a_body_that_looks_like_a_request_is_not_answered(front: Front) -> None:
    """Its head is refused by the application at once; the body comes after that, in a packet of its own."""
    inner = get(b"/smuggled")
    reader, writer = await front.connect()
    front.close()
    writer.write(get(more=b"Content-Length: %d\r\n" % len(inner), method=b"POST"))
    assert (await answer(reader)).status == 503
    (connection,) = front.traffic.connections
    writer.write(inner)
    await until(lambda: connection.owed == 0 and connection.rests, 60)
    front.reopen()
    writer.write(get(b"/after"))
    assert (await answer(reader)).body == b"GET /after 0"


async def test_an_answer_that_is_owed_comes_first(front: Front) -> None:
    reader, writer = await front.connect()
    writer.write(get(b"/slow"))
    await until(lambda: front.under_way == 1, 60)
    (connection,) = front.traffic.connections
    front.close()
    came_at = connection.active_at
    writer.write(get(b"/second"))
    await until(lambda: connection.active_at > came_at, 60)
    front.gate.set()
    assert (await answer(reader)).body == b"GET /slow 0"
    assert (await answer(reader)).status == 503


@pytest.mark.parametrize(
    "raw",
    [
        get(b"/healthz"),
        get(b"/readyz"),
        b"GET /x HTTP/1.0\r\n" + HOST + b"\r\n",
        b"GET http://edge.example/x HTTP/1.1\r\n" + HOST + b"\r\n",
        get(more=b"Host: other\r\n"),
        b"GET /x HTTP/1.1\r\n\r\n",
        get(more=b"X : y\r\n"),
        get(more=b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        get(more=b"Upgrade: websocket\r\n"),
        get(more=b"Expect: 100-continue\r\n"),
        get(more=b"Content-Length: 3\r\n"),
        get(more=b"Content-Length: 3\r\nContent-Length: 3\r\n") + b"abc",
        get(more=b"Content-Length: +3\r\n") + b"abc",
        get() + get(),
        get(method=b"OPTIONS"),
        get(method=b"BREW"),
        get(more=b"X: " + b"x" * 4000 + b"\r\n"),
        get()[:-2],
        b"",
    ],
)
async def test_everything_else_is_left_to_aiohttp(raw: bytes) -> None:
    door = Door(Shedding(BOUNDS))
    await door.shedding.enter("api")
    places = door.shedding._places["api"]
    places.freed_per_s = 0.0
    places.queue.append(asyncio.get_running_loop().create_future())
    assert door.refusal(get()) is not None
    assert door.refusal(raw) is None


async def test_who_leaves_refuses_nothing_here() -> None:
    leaving = False
    door = Door(Shedding(BOUNDS), lambda: leaving)
    await door.shedding.enter("api")
    places = door.shedding._places["api"]
    places.freed_per_s = 0.0
    places.queue.append(asyncio.get_running_loop().create_future())
    assert door.refusal(get()) is not None
    leaving = True
    assert door.refusal(get()) is None


async def test_one_turn_of_the_loop_lets_in_no_more_than_there_is_room_for() -> None:
    """A hundred clients may have sent before the first task runs."""
    door = Door(Shedding(BOUNDS))
    room = BOUNDS["api"].under_way + BOUNDS["api"].queued
    verdicts = [door.refusal(get()) is None for _ in range(100)]
    assert verdicts == [True] * room + [False] * (100 - room)


class Pipe:
    """A transport that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def write(self, data: bytes) -> None:
        self.said.append("no")

    def pause_reading(self) -> None:
        self.said.append("paused")

    def resume_reading(self) -> None:
        self.said.append("resumed")

    def is_closing(self) -> bool:
        return "closing" in self.said


async def test_more_than_it_can_say_in_a_moment_is_said_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(Shedding(BOUNDS))
    # One tick that does not pass by itself, on however slow a machine.
    moment = [0.0]
    begin = Door._begin_tick
    monkeypatch.setattr(Door, "_begin_tick", lambda self, now: begin(self, moment[0]))
    block, line = read_block(HOST + b"\r\n"), read_line(b"GET /x HTTP/1.1")
    assert block is not None
    assert line is not None
    door.shedding._places["api"].coming = 100
    no = door.refusal(get())
    assert no is not None
    pipes = [Pipe() for _ in range(PER_TICK + 2)]
    for pipe in pipes:
        door.say(pipe, no)
    assert all(pipe.said == ["no"] for pipe in pipes[:PER_TICK])
    assert all(pipe.said == ["paused"] for pipe in pipes[PER_TICK:]), "nothing more is read from it"
    pipes[-1].said.append("closing")
    moment[0] = 1.0
    await until(lambda: not door.owed, 60)
    assert pipes[-2].said == ["paused", "no", "resumed"]
    assert pipes[-1].said == ["paused", "closing"]
    assert sum(door.refused.values()) == PER_TICK + 1


def test_a_process_that_lacks_the_processor_says_less() -> None:
    door = Door(Shedding(BOUNDS))
    door.shedding.processor_share = 0.5
    assert door._per_tick() == PER_TICK
    for _ in range(3):
        door.shedding.note_tick(0.2)
    assert door._per_tick() == PER_TICK // 2
    door.shedding.processor_share = 0.0
    assert door._per_tick() == FEWEST_PER_TICK
