"""One connection: when the lane may answer, when it must not, and that aiohttp's handler comes and goes without a trace."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from dataclasses import replace

import pytest

from edge.lane import protocol
from edge.lane.protocol import NEVER, LaneProtocol
from tests.edge.lane.stage import (
    BROWSER,
    CEILING,
    EXPIRED,
    FILM,
    GOOD,
    LARGE,
    OTHER,
    SUSPECT,
    Stage,
    Wire,
    get,
    open_stage,
    settle,
)

SLOW = b"GET /nothing HTTP/1.1\r\nHost: edge.example\r\n\r\n"
HOLD = b"GET /hold HTTP/1.1\r\nHost: edge.example\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


def open_wire(stage: Stage) -> tuple[LaneProtocol, Wire]:
    connection = stage.fast()
    return connection, Wire(connection)


def statuses(wire: Wire) -> list[int]:
    return [int(status) for status in _STATUS.findall(bytes(wire.written))]


def hit(stage: Stage, wire: Wire, request: bytes | None = None) -> bool:
    """Whether the lane answers, at once."""
    before = stage.hits
    wire.send(request or get("v/1.m4s"))
    return stage.hits > before


async def test_a_known_request_needs_no_handler(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    assert hit(stage, wire)
    assert hit(stage, wire, get("v/large.m4s"))
    assert connection.handler is None
    assert wire.written.endswith(LARGE)
    assert statuses(wire) == [200, 200]


@pytest.mark.parametrize("token", [OTHER, SUSPECT, EXPIRED, "k1.nobody", ""])
async def test_not_for_this_token(stage: Stage, token: str) -> None:
    connection, wire = open_wire(stage)
    assert not hit(stage, wire, get("v/1.m4s", token=token))
    assert connection.handler is not None


async def test_never_past_the_time_a_session_is_good_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wire = open_wire(stage)
    until = stage.door.by_token[GOOD].good_until
    monkeypatch.setattr(protocol, "now_s", lambda: until - 0.001)
    assert hit(stage, wire)
    monkeypatch.setattr(protocol, "now_s", lambda: until)
    assert not hit(stage, wire)


@pytest.mark.parametrize("change", ["suspect", "gone"])
async def test_never_past_a_change(stage: Stage, change: str) -> None:
    _, wire = open_wire(stage)
    assert hit(stage, wire)
    session = stage.door.by_token[GOOD]
    if change == "suspect":
        session.suspect = True
    else:
        stage.door.drop(GOOD)
    assert not hit(stage, wire)


async def test_a_quality_ceiling_cuts_the_master_playlist_alone(stage: Stage) -> None:
    _, wire = open_wire(stage)
    assert hit(stage, wire, get("v/1.m4s", token=CEILING))
    assert not hit(stage, wire, get("master.m3u8", token=CEILING))
    await settle()
    _, wire = open_wire(stage)
    assert hit(stage, wire, get("master.m3u8"))
    stage.door.by_token[GOOD].max_height = 360
    assert hit(stage, wire)
    assert not hit(stage, wire, get("master.m3u8"))


async def test_bytes_that_look_like_a_connection_at_rest_are_refused_like_all_noise(stage: Stage) -> None:
    """A connection that is not armed compares requests with a mark: a client that sends the mark finds nothing behind it."""
    for noise in (NEVER, NEVER + get("v/1.m4s") + NEVER, NEVER + f"{FILM}/1/v/1.m4s".encode() + NEVER):
        connection, wire = open_wire(stage)
        assert hit(stage, wire)
        connection.disarm()
        assert not hit(stage, wire, noise)
        await settle()
        assert statuses(wire) == [200, 400]


async def test_the_date_is_of_this_second(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wire = open_wire(stage)
    for second, date in (
        (1_800_000_000, b"Fri, 15 Jan 2027 08:00:00 GMT"),
        (1_800_000_001, b"Fri, 15 Jan 2027 08:00:01 GMT"),
    ):
        stage.door.by_token[GOOD].good_until = 2.0**31
        monkeypatch.setattr(protocol, "now_s", lambda at=second: at + 0.5)
        for path in ("v/1.m4s", "v/large.m4s"):
            wire.written.clear()
            assert hit(stage, wire, get(path))
            assert b"\r\nDate: " + date + b"\r\n\r\n" in wire.written


async def test_both_lanes_take_turns_on_a_connection(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    for _ in range(5):
        assert hit(stage, wire)
        wire.send(SLOW)
        await settle()
        assert hit(stage, wire)
        connection.shed()
        await settle()
        assert connection.handler is None
        wire.send(SLOW)
        await settle()
    assert hit(stage, wire)
    assert statuses(wire) == [200, 404, 200, 404] * 5 + [200]


async def test_a_handler_that_works_keeps_the_lane_shut(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(HOLD)
    assert not hit(stage, wire)
    await settle()
    assert not hit(stage, wire)
    connection.shed()
    assert connection.handler is not None
    stage.held.set()
    await settle()
    assert statuses(wire) == [200, 200, 200], "answered in order, by aiohttp"
    assert wire.written.index(b"held") < wire.written.index(b"video/iso.segment")
    assert hit(stage, wire), "every piece was one whole request: the connection is in step"


@pytest.mark.parametrize("sent_s", [0, 1])
async def test_answers_keep_their_order_when_the_next_comes_while_one_is_written(stage: Stage, sent_s: int) -> None:
    connection, wire = open_wire(stage)
    wire.send(get("v/large.m4s", BROWSER.replace(b"*/*", b"video/*")))
    for _ in range(sent_s):
        await asyncio.sleep(0)
    connection.pause_writing()
    assert not hit(stage, wire)
    await settle()
    connection.resume_writing()
    await settle()
    assert statuses(wire) == [200, 200]
    assert wire.written.count(LARGE) == 1


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /measure HTTP/1.1\r\nHost: edge.example\r\n" + headers + b"\r\n" + body


@pytest.mark.parametrize(
    "chunks",
    [
        [post(b"Content-Length: 3\r\n", b"abc")],
        [post(b"Content-Length: 3\r\n"), b"a", b"bc"],
        [post(b"content-length: 0\r\n")],
        [post(b"Content-Length: %d\r\n" % len(get("v/1.m4s"))), get("v/1.m4s")],
        [SLOW.replace(b"Host", b"Upgrade-Insecure-Requests: 1\r\nHost")],
    ],
)
async def test_in_step_after_a_body_that_was_counted(stage: Stage, chunks: list[bytes]) -> None:
    connection, wire = open_wire(stage)
    for chunk in chunks:
        wire.send(chunk)
        await settle()
    assert connection.owed == 0
    assert len(statuses(wire)) == 1
    assert hit(stage, wire)


@pytest.mark.parametrize(
    "chunks",
    [
        [post(b"Content-Length: 3\r\n", b"abcd")],
        [post(b"Content-Length: 3\r\n"), b"ab", b"cd"],
        [post(b"Content-Length:3\r\n"), b"abc"],
        [post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc")],
        [post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n")],
        [post(b"Expect: 100-continue\r\nContent-Length: 3\r\n"), b"abc"],
        [SLOW.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost")],
        [SLOW[:20], SLOW[20:]],
        [b"\r\n\r\n", SLOW],
        [b"\r\n", SLOW],
        [SLOW + SLOW],
        [SLOW + get("v/1.m4s")],
        [get("v/1.m4s") + b"\r\n"],
        [get("v/1.m4s")[:-2], b"\r\n"],
        [b"GET /hls/"],
        [b"\x16\x03\x01"],
    ],
)
async def test_slow_for_good_after_anything_odd(stage: Stage, chunks: list[bytes]) -> None:
    connection, wire = open_wire(stage)
    for chunk in chunks:
        wire.send(chunk)
        await settle()
    assert connection.owed == -1
    assert not hit(stage, wire)
    connection.shed()
    assert connection.handler is not None or wire.closing, "its parser holds what we cannot vouch for"


async def test_a_body_in_the_shape_of_a_request_is_a_body(stage: Stage) -> None:
    _, wire = open_wire(stage)
    bait = get("v/1.m4s")
    wire.send(post(b"Content-Length: %d\r\n" % (2 * len(bait))))
    await settle()
    assert not hit(stage, wire, bait)
    assert not hit(stage, wire, bait)
    await settle()
    assert statuses(wire) == [200]
    assert str(2 * len(bait)).encode() in wire.written


async def test_shedding_leaves_nothing_behind(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        wire.send(SLOW)
        await settle()
        assert len(stage.server.connections) == 1
        assert len(asyncio.all_tasks()) == tasks + 1
        connection.shed()
        connection.shed()
        await settle()
        gc.collect()
        assert stage.server.connections == []
        assert len(asyncio.all_tasks()) == tasks
        assert not wire.closing
    assert hit(stage, wire)


async def test_aiohttps_own_timer_does_not_end_a_connection_that_is_busy_here(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(SLOW)
    await settle()
    handler = connection.handler
    assert handler._keepalive_handle.when() - asyncio.get_running_loop().time() > 10**6
    connection.shed()
    assert handler._keepalive_handle.cancelled()


async def test_a_client_that_finishes_gets_its_answer(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(HOLD)
    await settle()
    assert connection.eof_received() is True, "kept open for the answer"
    stage.held.set()
    await settle()
    assert statuses(wire) == [200]
    stage.traffic.sweep_once(time.monotonic() + 1.5)
    assert wire.closing


async def test_a_client_that_finishes_in_the_middle_is_let_go(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(post(b"Content-Length: 10\r\n", b"abc"))
    await settle()
    assert connection.eof_received() is None
    idle, _ = open_wire(stage)
    assert idle.eof_received() is None
    assert hit(stage, wire) is False


async def test_a_paused_client_is_not_read(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    assert hit(stage, wire)
    connection.pause_writing()
    assert wire.reading_paused
    before = stage.hits
    wire.send(get("v/1.m4s"))
    assert stage.hits == before
    connection.resume_writing()
    await settle()
    assert stage.hits == before + 1
    assert not wire.reading_paused


async def test_a_paused_answer_of_the_slow_lane_waits(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(HOLD)
    await settle()
    connection.pause_writing()
    stage.held.set()
    await settle()
    assert not connection.rests, "its answer is written, but not taken"
    connection.resume_writing()
    await settle()
    assert connection.rests
    assert hit(stage, wire)


async def test_a_connection_that_breaks_takes_its_handler_along(stage: Stage) -> None:
    connection, wire = open_wire(stage)
    wire.send(HOLD)
    await settle()
    wire.lose()
    stage.held.set()
    await settle()
    assert connection.handler is None
    assert stage.server.connections == []
    assert stage.traffic.connections == set()


async def test_what_the_cache_lets_go_the_lane_forgets(stage: Stage) -> None:
    small = await open_stage(cache_bytes=40_000)
    try:
        for path in ("master.m3u8", "v/1.m4s", "thumbs/1.jpg", "v/720p.m3u8"):
            _, wire = open_wire(small)
            wire.send(get(path))
            await settle()
            assert hit(small, wire, get(path))
            wire.lose()
        held = len(small.lane.learned)
        assert held == len(small.delivery.cache)
        _, wire = open_wire(small)
        assert not hit(small, wire, get("v/large.m4s"))
        await settle()
        assert not hit(small, wire, get("v/large.m4s")), "too large for the cache, so for the lane"
        await settle()
        wire.lose()
    finally:
        await small.close()


async def test_nothing_is_learnt_from_less_than_the_whole(stage: Stage) -> None:
    fresh = await open_stage()
    try:
        for request in (
            get("v/1.m4s", BROWSER.replace(b"\r\n\r\n", b"\r\nRange: bytes=0-1\r\n\r\n")),
            get("v/1.m4s", BROWSER.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n")),
            get("v/1.m4s").replace(b"GET", b"HEAD"),
            get("v/1.m4s?x"),
            get("master.m3u8", token=CEILING),
            get("v/1.m4s").replace(b"HTTP/1.1", b"HTTP/1.0"),
            get("v/1.m4s")[:-2] + b"X: 1\r\n\r\nmore",
        ):
            _, wire = open_wire(fresh)
            wire.send(request)
            await settle()
            wire.lose()
            await settle()
            assert len(fresh.lane.learned) == 0
            assert len(fresh.lane.blocks) == 0
    finally:
        await fresh.close()


async def test_too_many_connections(stage: Stage) -> None:
    few = await open_stage(traffic=replace(stage.traffic, cap=2, connections=set()))
    try:
        wires = [open_wire(few)[1] for _ in range(3)]
        assert [wire.closing for wire in wires] == [False, False, True]
        assert few.traffic.refused == 1
        wires[0].lose()
        assert not open_wire(few)[1].closing
        for wire in wires:
            wire.lose()
    finally:
        await few.close()


@pytest.mark.parametrize("then", ["works", "ends", "breaks", "overtakes"])
async def test_a_request_that_comes_while_aiohttp_is_at_work_goes_there_in_its_order(stage: Stage, then: str) -> None:
    """It waits one turn of the loop, in case aiohttp was only tidying up; nothing may slip past it or lose it in that turn."""
    connection, wire = open_wire(stage)
    wire.send(HOLD)
    await settle()
    assert not hit(stage, wire)
    if then == "ends":
        assert connection.eof_received() is True
    elif then == "breaks":
        wire.lose()
    elif then == "overtakes":
        wire.send(SLOW)
        connection.shed()
    await settle()
    assert connection.held is None
    stage.held.set()
    await settle()
    assert statuses(wire) == {"breaks": [], "overtakes": [200, 200, 404]}.get(then, [200, 200])


async def test_a_request_that_comes_right_behind_an_answer_finds_the_lane(stage: Stage) -> None:
    _, wire = open_wire(stage)
    wire.send(SLOW)
    while not wire.written:
        await asyncio.sleep(0)
    before = stage.hits
    wire.send(get("v/1.m4s"))
    await settle()
    assert stage.hits == before + 1
    assert statuses(wire) == [404, 200]
