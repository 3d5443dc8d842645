"""How long a client may take: told by sweeps at times of the test's own choosing, with nobody asleep."""

from __future__ import annotations

import asyncio
import time

import pytest

from edge.lane.traffic import BODY_S, HEADER_S, KEEP_ALIVE_S, SEND_S, SHED_AFTER_S
from tests.edge.lane.stage import Stage, Wire, get, settle
from tests.edge.lane.test_protocol import HOLD, SLOW, post


def ended(stage: Stage, wire: Wire, after_s: float) -> bool:
    """Whether a sweep that many seconds from now ends the connection."""
    stage.traffic.sweep_once(time.monotonic() + after_s)
    return wire.closing


async def test_who_says_nothing(stage: Stage) -> None:
    wire = Wire(stage.fast())
    assert not ended(stage, wire, HEADER_S - 1)
    assert ended(stage, wire, HEADER_S + 0.5)
    assert stage.traffic.timed_out == 1


async def test_who_drips_a_head(stage: Stage) -> None:
    """Every byte is a sign of life, and none of them buys time."""
    connection = stage.fast()
    wire = Wire(connection)
    for byte in SLOW[:30]:
        wire.send(bytes([byte]))
    await settle()
    connection.active_at = time.monotonic() + HEADER_S  # as if the last byte had come just before the sweep
    assert not ended(stage, wire, HEADER_S - 1)
    assert ended(stage, wire, HEADER_S + 0.5)


@pytest.mark.parametrize("first", [SLOW, get("v/1.m4s")])
async def test_who_drips_a_second_head(stage: Stage, first: bytes) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(first)
    await settle()
    wire.send(b"GET /hls/")
    await settle()
    assert not ended(stage, wire, HEADER_S - 1)
    assert ended(stage, wire, HEADER_S + 0.5)


@pytest.mark.parametrize("request_", [SLOW, get("v/1.m4s"), SLOW[:9] + b"|" + SLOW[9:]])
async def test_who_rests_between_requests(stage: Stage, request_: bytes) -> None:
    wire = Wire(stage.fast())
    for chunk in request_.split(b"|"):
        wire.send(chunk)
        await settle()
    assert b"HTTP/1.1 " in wire.written
    assert not ended(stage, wire, KEEP_ALIVE_S - 1)
    assert ended(stage, wire, KEEP_ALIVE_S + 0.5)


@pytest.mark.parametrize("framing", [b"Content-Length: 500000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_who_stops_in_a_body(stage: Stage, framing: bytes) -> None:
    wire = Wire(stage.fast())
    wire.send(post(framing, b"5\r\nabc"))
    await settle()
    assert not ended(stage, wire, BODY_S - 1)
    assert ended(stage, wire, BODY_S + 0.5)


@pytest.mark.parametrize(("bytes_a_second", "cut"), [(10, True), (1000, True), (1100, False), (2600, False)])
async def test_who_drips_a_body(stage: Stage, bytes_a_second: int, cut: bool) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(post(b"Content-Length: 60000\r\n"))
    await settle()
    began = time.monotonic()
    for second in range(1, int(BODY_S) + 3):
        wire.send(bytes(bytes_a_second // 2))
        wire.send(bytes(bytes_a_second - bytes_a_second // 2))
        connection.active_at = began + second
        await settle()
        stage.traffic.sweep_once(began + second)
    assert wire.closing is cut


async def test_two_bodies_are_two(stage: Stage) -> None:
    """The second is not measured by what had come of the first."""
    connection = stage.fast()
    wire = Wire(connection)
    began = time.monotonic()
    for body in range(2):
        wire.send(post(b"Content-Length: 40000\r\n", bytes(30_000)))
        await settle()
        connection.active_at = began + body * 15
        stage.traffic.sweep_once(began + body * 15)
        wire.send(bytes(10_000))
        await settle()
    assert not wire.closing
    assert wire.written.count(b"40000:0") == 2


async def test_who_waits_for_us_may_wait(stage: Stage) -> None:
    wire = Wire(stage.fast())
    wire.send(HOLD)
    await settle()
    assert not ended(stage, wire, 10_000)


async def test_who_takes_nothing(stage: Stage) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(get("v/large.m4s"))
    connection.pause_writing()
    wire.buffered = 1_000_000
    assert not ended(stage, wire, SEND_S - 1)
    assert ended(stage, wire, SEND_S + 0.5)


async def test_who_takes_slowly(stage: Stage) -> None:
    """As long as some of it goes out, however slowly, nobody is interrupted."""
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(get("v/large.m4s"))
    connection.pause_writing()
    for step in range(20):
        wire.buffered = 1_000_000 - step * 1000
        assert not ended(stage, wire, step * (SEND_S - 1))
    assert not ended(stage, wire, 20 * (SEND_S - 1))
    assert ended(stage, wire, 22 * (SEND_S - 1))


async def test_who_is_paused_again_starts_again(stage: Stage) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(get("v/large.m4s"))
    connection.pause_writing()
    wire.buffered = 100
    assert not ended(stage, wire, SEND_S - 1)
    connection.resume_writing()
    connection.pause_writing()
    connection.paused_at = time.monotonic() + SEND_S - 1
    wire.buffered = 200
    assert not ended(stage, wire, 2 * SEND_S - 2)
    assert ended(stage, wire, 2 * SEND_S)


async def test_who_does_not_take_a_last_small_answer(stage: Stage) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.flushes = False
    wire.send(SLOW.replace(b"Host", b"Connection: close\r\nHost"))
    await settle()
    assert (wire.closing, wire.lost) == (True, False)
    stage.traffic.sweep_once(time.monotonic() + SEND_S - 1)
    assert not wire.lost
    stage.traffic.sweep_once(time.monotonic() + SEND_S + 0.5)
    await settle()
    assert wire.lost


async def test_an_idle_handler_is_given_back_before_the_connection_ends(stage: Stage) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(SLOW)
    await settle()
    assert not ended(stage, wire, SHED_AFTER_S - 0.5)
    assert connection.handler is not None
    assert not ended(stage, wire, SHED_AFTER_S + 0.5)
    assert connection.handler is None
    assert not ended(stage, wire, KEEP_ALIVE_S - 1)
    assert ended(stage, wire, KEEP_ALIVE_S + 0.5)


async def test_use_of_the_lane_is_a_sign_of_life(stage: Stage) -> None:
    connection = stage.fast()
    wire = Wire(connection)
    wire.send(SLOW)
    await settle()
    connection.active_at -= KEEP_ALIVE_S + 10
    before_s = time.monotonic()
    wire.send(get("v/1.m4s"))
    assert not ended(stage, wire, KEEP_ALIVE_S - 1)
    # The lane notes the time of day: between the two clocks lies a moment.
    assert before_s - 0.1 < connection.active_at <= time.monotonic() + 0.1


async def test_a_drain_closes_who_waits_for_nothing_and_lets_the_others_have_their_answer(stage: Stage) -> None:
    idle, busy, taking = Wire(stage.fast()), Wire(stage.fast()), Wire(stage.fast())
    idle.send(get("v/1.m4s"))
    busy.send(HOLD)
    taking.send(get("v/large.m4s"))
    taking.buffered = 1000
    await settle()
    stage.traffic.close_idle()
    assert (idle.closing, busy.closing) == (True, False)
    stage.held.set()
    await settle()
    assert b"held" in busy.written
    await asyncio.wait_for(stage.traffic.drained(30), 60)
    assert not stage.traffic.connections


async def test_a_drain_ends(stage: Stage) -> None:
    stuck = Wire(stage.fast())
    stuck.send(HOLD)
    stuck.buffered = 1000
    await settle()
    await asyncio.wait_for(stage.traffic.drained(0.05), 60)
    assert stage.traffic.connections
