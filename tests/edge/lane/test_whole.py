"""Reads that guests repeat byte for byte: the lane answers as the slow way did, and only as long as that is sure."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aiohttp import hdrs, web

from core.engine.read import Prepared
from core.engine.respond import Answer, conditional
from edge.api.boundary import boundary, cors, refuse_unparsed, unsigned
from edge.api.hot import KEEP_S, KEPT, HotReads
from edge.lane.handler import handlers
from edge.lane.lane import Lane
from edge.lane.learned import Learned
from edge.lane.protocol import LaneProtocol
from edge.lane.traffic import Traffic
from edge.lane.whole import MAX_REQUESTS, Wholes
from tests.edge.lane.stage import BROWSER, Wire, settle

TARGET = b"/rest/v1/contents?select=title&order=title"


@dataclass
class Shelf:
    """A route below /rest/v1 whose answers are kept, behind a lane."""

    hot: HotReads
    lane: Lane
    runner: web.AppRunner
    readings: int = 0
    offset_s: float = 0.0
    changes: bool = False
    """Whether something changes while an answer is on its way."""

    async def ask(
        self, wire: Wire, block: bytes = BROWSER, target: bytes = TARGET, method: bytes = b"GET"
    ) -> tuple[dict[str, str], bytes]:
        """One exchange on `wire`: the head's lines by name (the status under ``), and the body."""
        wire.written.clear()
        wire.send(b"%s %s HTTP/1.1\r\n%s" % (method, target, block))
        await settle()
        head, _, body = bytes(wire.written).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return {"": status, **dict(line.split(": ", 1) for line in lines)}, body

    def wire(self) -> Wire:
        return Wire(LaneProtocol(self.lane))

    @property
    def hits(self) -> int:
        return self.hot.wholes.sent.answers


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    hot = HotReads(clock=lambda: time.monotonic() + made.offset_s)
    questions: dict[str, Prepared] = {}

    async def read() -> Answer:
        made.readings += 1
        return Answer(200, {"ETag": 'W/"x"', "Content-Type": "application/json"}, b'[{"n":%d}]' % made.readings)

    async def serve(request: web.Request) -> web.Response:
        asked = questions.setdefault(request.raw_path, cast("Prepared", object()))
        kept = request[KEPT] = await hot.get(asked, read)
        if made.changes:
            hot.forget_all()
        answer = conditional(kept.answer, request.headers.get(hdrs.IF_NONE_MATCH, ""))
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    app = web.Application(middlewares=[boundary, cors])
    app.on_response_prepare.append(unsigned)
    app.on_response_prepare.append(hot.teach)
    app.add_routes([web.get("/rest/v1/{table}", serve)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    assert runner.server is not None
    lane = Lane(Learned(), lambda _: None, handlers(runner.server, refuse_unparsed), Traffic(cap=10), wholes=hot.wholes)
    made = Shelf(hot, lane, runner)
    yield made
    await runner.cleanup()


def told(answer: tuple[dict[str, str], bytes]) -> Any:
    """An answer without what is each one's own."""
    head, body = answer
    assert {"Date", "X-Request-Id", "Content-Length"} <= head.keys()
    return {name: value for name, value in head.items() if name not in ("Date", "X-Request-Id")}, body


async def test_the_lane_answers_as_the_slow_way_did(shelf: Shelf) -> None:
    wire = shelf.wire()
    slow = await shelf.ask(wire)
    assert (slow[0][""], slow[1], shelf.hits) == ("HTTP/1.1 200 OK", b'[{"n":1}]', 0)
    fast = await shelf.ask(wire)
    other = await shelf.ask(shelf.wire())
    assert shelf.hits == 2
    assert told(slow) == told(fast) == told(other)
    assert len({answer[0]["X-Request-Id"] for answer in (slow, fast, other)}) == 3
    assert slow[0]["Access-Control-Allow-Origin"] == "*"
    assert "Server" not in fast[0]


async def test_every_byte_counts(shelf: Shelf) -> None:
    wire = shelf.wire()
    await shelf.ask(wire)
    for block, target in (
        (BROWSER.replace(b"Accept: */*", b"Accept: text/csv"), TARGET),
        (BROWSER[:-2] + b"Prefer: count=exact\r\n\r\n", TARGET),
        (BROWSER, TARGET + b"&limit=1"),
    ):
        await shelf.ask(wire, block, target)
        assert shelf.hits == 0
    await shelf.ask(wire, b"Host: edge.example\r\nX-Request-Id: my-own-id-1\r\n\r\n")
    await shelf.ask(wire, b"Host: edge.example\r\nX-Request-Id: my-own-id-1\r\n\r\n")
    assert shelf.hits == 0


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer x",
        b'If-None-Match: W/"0123456789abcdef0123456789abcdef"',
        b"Range: 0-1",
        b"Connection: close",
        b"Content-Length: 0",
        b"Accept:  */*",
    ],
)
async def test_what_is_not_plain_is_never_learnt(shelf: Shelf, header: bytes) -> None:
    block = b"Host: edge.example\r\n" + header + b"\r\n\r\n"
    for _ in range(3):
        await shelf.ask(shelf.wire(), block)
    assert (shelf.hits, shelf.hot.wholes.known) == (0, {})


async def test_only_a_whole_get_with_200_is_learnt(shelf: Shelf) -> None:
    for _ in range(2):
        await shelf.ask(shelf.wire(), method=b"HEAD")
        await shelf.ask(shelf.wire(), BROWSER[:-2] + b"If-None-Match: *\r\n\r\n")
        await shelf.ask(shelf.wire(), target=b"/rest/v1/")
    assert shelf.hot.wholes.known == {}


async def test_a_change_ends_it_at_once(shelf: Shelf) -> None:
    wire = shelf.wire()
    await shelf.ask(wire)
    await shelf.ask(wire)
    shelf.hot.forget_all()
    assert (await shelf.ask(wire))[1] == b'[{"n":2}]'
    assert (await shelf.ask(wire))[1] == b'[{"n":2}]'
    assert shelf.hits == 2


async def test_a_change_between_reading_and_sending_is_not_learnt(shelf: Shelf) -> None:
    shelf.changes = True
    await shelf.ask(shelf.wire())
    assert shelf.hot.wholes.known == {}


async def test_what_is_old_is_read_anew(shelf: Shelf) -> None:
    shelf.offset_s = -KEEP_S
    wire = shelf.wire()
    for _ in range(3):
        await shelf.ask(wire)
    assert shelf.hits == 0


async def test_nothing_is_answered_once_it_is_closed(shelf: Shelf) -> None:
    wire = shelf.wire()
    await shelf.ask(wire)
    shelf.hot.wholes.close()
    await shelf.ask(wire)
    await shelf.ask(wire)
    assert (shelf.hits, shelf.hot.wholes.known) == (0, {})


async def test_two_requests_in_one_piece_are_both_answered_in_order(shelf: Shelf) -> None:
    wire = shelf.wire()
    await shelf.ask(wire)
    wire.written.clear()
    wire.send((b"GET %s HTTP/1.1\r\n%s" % (TARGET, BROWSER)) * 2)
    await settle()
    assert bytes(wire.written).count(b"HTTP/1.1 200 OK") == 2


def test_what_is_known_is_bounded() -> None:
    wholes = Wholes()
    host = ((b"Host", b"a"),)
    for number in range(MAX_REQUESTS + 1):
        assert wholes.learn(f"/rest/v1/{number}", b"Host: a\r\n\r\n", host, {}, b"", 0.0)
    assert len(wholes.known) == 1
    assert not wholes.learn("/rest/v1/x", b"Host: a\r\n\r\n", host, {"Connection": "close"}, b"", 0.0)
