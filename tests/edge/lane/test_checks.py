"""A request whose session must be checked first: kept for the lane, answered as aiohttp would, or handed to aiohttp in its order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from edge.lane import lane as lane_module
from edge.tokens.session import Session
from tests.edge.lane.stage import EXPIRED, GOOD, SEGMENT, SUSPECT, Stage, Wire, get, settle
from tests.edge.lane.test_protocol import HOLD, SLOW, hit, open_wire, statuses

NEW = "k1.new-token"


def begin(stage: Stage, token: str = NEW) -> asyncio.Future[None]:
    """A check of `token` that is under way."""
    stage.door.checks[token] = check = asyncio.get_running_loop().create_future()
    return check


def passed(stage: Stage, check: asyncio.Future[None], token: str = NEW) -> None:
    """It may go on."""
    session = stage.door.by_token.get(token) or Session(token, stage.door.by_token[GOOD].claims)
    session.good_until, session.suspect = time.time() + 3600, False
    stage.door.by_token[token] = session
    check.set_result(None)


@pytest.mark.parametrize("token", [NEW, SUSPECT, EXPIRED])
async def test_it_is_answered_by_the_lane_as_soon_as_the_session_may_go_on(stage: Stage, token: str) -> None:
    check = begin(stage, token)
    connection, wire = open_wire(stage)
    assert not hit(stage, wire, get("v/1.m4s", token=token))
    await settle()
    assert not wire.written
    before = stage.hits
    passed(stage, check, token)
    await settle()
    assert stage.hits == before + 1
    assert connection.handler is None
    by_heart = bytes(wire.written)
    aside = Wire(stage.plain())
    aside.send(get("v/1.m4s", token=token))
    await settle()
    # The second may have turned.
    assert _undated(by_heart) == _undated(bytes(aside.written))
    assert by_heart.endswith(SEGMENT)
    aside.lose()


def _undated(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date: ")]


def give_up(check: asyncio.Future[None]) -> None:
    check.cancel()


def fail(check: asyncio.Future[None]) -> None:
    check.set_exception(RuntimeError("a failure of ours"))


def refuse(check: asyncio.Future[None]) -> None:
    check.set_result(None)


@pytest.mark.parametrize("end", [give_up, fail, refuse])
async def test_what_may_not_go_on_hears_why_from_aiohttp(
    stage: Stage, end: Callable[[asyncio.Future[None]], None]
) -> None:
    check = begin(stage)
    _, wire = open_wire(stage)
    wire.send(get("v/1.m4s", token=NEW))
    end(check)
    await settle()
    assert statuses(wire) == [401]
    assert stage.lane.checks == 0


async def test_one_check_lets_all_go_on_that_wait_for_it(stage: Stage) -> None:
    check = begin(stage)
    wires = [open_wire(stage)[1] for _ in range(5)]
    for wire in wires:
        wire.send(get("v/1.m4s", token=NEW))
    assert stage.lane.checks == 5
    passed(stage, check)
    await settle()
    assert [statuses(wire) for wire in wires] == [[200]] * 5


async def test_what_comes_behind_it_is_answered_behind_it(stage: Stage) -> None:
    check = begin(stage)
    _, wire = open_wire(stage)
    wire.send(get("v/1.m4s", token=NEW))
    wire.send(SLOW)
    wire.send(get("v/1.m4s"))
    passed(stage, check)
    await settle()
    assert statuses(wire) == [200, 404, 200]


async def test_it_does_not_overtake_what_aiohttp_is_at(stage: Stage) -> None:
    check = begin(stage)
    _, wire = open_wire(stage)
    wire.send(HOLD)
    await settle()
    wire.send(get("v/1.m4s", token=NEW))
    passed(stage, check)
    await settle()
    assert not wire.written
    stage.held.set()
    await settle()
    assert statuses(wire) == [200, 200]
    assert wire.written.endswith(SEGMENT)


async def test_who_has_finished_sending_is_answered(stage: Stage) -> None:
    check = begin(stage)
    connection, wire = open_wire(stage)
    wire.send(get("v/1.m4s", token=NEW))
    assert connection.eof_received() is True
    passed(stage, check)
    await settle()
    assert statuses(wire) == [200]


async def test_who_has_left_is_not_waited_for(stage: Stage) -> None:
    check = begin(stage)
    connection, wire = open_wire(stage)
    wire.send(get("v/1.m4s", token=NEW))
    wire.lose()
    passed(stage, check)
    await settle()
    assert not wire.written
    assert connection.held is None


async def test_a_change_during_the_check_has_the_last_word(stage: Stage) -> None:
    check = begin(stage)
    _, wire = open_wire(stage)
    wire.send(get("v/1.m4s", token=NEW))
    passed(stage, check)
    stage.door.by_token[NEW].suspect = True
    await settle()
    assert statuses(wire) == [403]


async def test_when_too_many_wait_the_next_is_aiohttps(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MOST_CHECKS", 2)
    check = begin(stage)
    wires = [open_wire(stage)[1] for _ in range(3)]
    for wire in wires:
        wire.send(get("v/1.m4s", token=NEW))
    await settle()
    assert [statuses(wire) for wire in wires] == [[], [], [401]]
    passed(stage, check)
    await settle()
    assert [statuses(wire) for wire in wires] == [[200], [200], [401]]
    assert stage.lane.checks == 0


async def test_a_drain_waits_for_the_answer(stage: Stage) -> None:
    check = begin(stage)
    _, waiting = open_wire(stage)
    _, idle = open_wire(stage)
    waiting.send(get("v/1.m4s", token=NEW))
    stage.traffic.close_idle()
    assert (waiting.closing, idle.closing) == (False, True)
    draining = asyncio.create_task(stage.traffic.drained(60))
    await asyncio.sleep(0)
    assert not waiting.closing
    passed(stage, check)
    await draining
    assert statuses(waiting) == [200]
