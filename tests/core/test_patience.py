"""A silent server is found out soon; a slow statement and a stalled event loop are not taken for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from core.database import Database
from core.patience import SUSPECT_S, Patience
from core.viewer import service
from edge.redis_client import Breaker, Redis, RedisDown
from edge.redis_client.breaker import STALL_S
from tests.waiting import until

# What a server that is there may need on a machine that is busy with other things.
UNHURRIED_S = 2.5


class Server:
    """Answers, or keeps silent, as it is told."""

    def __init__(self) -> None:
        self.is_silent = False
        self.asked = 0
        self.let_go = 0

    async def question(self) -> bool:
        """Hangs while silent."""
        self.asked += 1
        if self.is_silent:
            await asyncio.Event().wait()
        return True

    async def cut(self) -> None:
        """Counts."""
        self.let_go += 1


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def patience(server: Server) -> AsyncIterator[Patience]:
    watching = Patience("test", server.question, server.cut)
    yield watching
    watching.close()


async def test_a_silent_server_is_away_until_it_answers(server: Server, patience: Patience) -> None:
    server.is_silent = True
    patience.begin("call")
    await until(lambda: patience.is_away, 60)
    assert server.let_go == 1
    patience.end("call", was_answered=True)
    server.is_silent = False
    await until(lambda: not patience.is_away, 60)
    assert server.let_go == 1


async def test_a_slow_call_to_a_server_that_answers_is_left_in_peace(server: Server, patience: Patience) -> None:
    patience.begin("slow")
    await until(lambda: server.asked >= 2, 60)
    assert not patience.is_away
    assert server.let_go == 0
    patience.end("slow", was_answered=True)


async def test_a_slow_call_beside_others_that_are_answered_raises_no_question(
    server: Server, patience: Patience
) -> None:
    patience.begin("slow")
    deadline = time.monotonic() + 3 * SUSPECT_S
    while time.monotonic() < deadline:
        patience.begin("quick")
        await asyncio.sleep(0.01)
        patience.end("quick", was_answered=True)
    patience.end("slow", was_answered=True)
    assert server.asked == 0


async def test_quick_calls_raise_no_question(server: Server, patience: Patience) -> None:
    deadline = time.monotonic() + 3 * SUSPECT_S
    while time.monotonic() < deadline:
        patience.begin("quick")
        await asyncio.sleep(0.01)
        patience.end("quick", was_answered=True)
    assert server.asked == 0


async def test_a_stalled_loop_is_not_taken_for_a_silent_server(server: Server, patience: Patience) -> None:
    patience.begin("call")
    time.sleep(3 * SUSPECT_S)  # noqa: ASYNC251 - the stall itself
    await asyncio.sleep(0)
    patience.end("call", was_answered=True)
    assert server.let_go == 0
    assert not patience.is_away


async def test_a_statement_that_takes_long_is_not_cut_off(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.patience.SUSPECT_S", SUSPECT_S)
    row = await database.read(service(), "SELECT pg_sleep(1.5) IS NULL AS slept", ())
    assert row is not None
    assert not database.is_away


async def test_the_breaker_trips_on_a_server_that_does_not_answer() -> None:
    breaker = Breaker()

    async def silent() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        with pytest.raises(RedisDown):
            await breaker.call(silent)
    assert breaker.is_open


async def test_a_stalled_loop_does_not_trip_the_breaker(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.redis_client.breaker.ANSWER_S", UNHURRIED_S)
    breaker = Breaker()

    async def stall() -> None:
        time.sleep(UNHURRIED_S + STALL_S + 0.3)  # noqa: ASYNC251 - the stall itself

    answer, _ = await asyncio.gather(breaker.call(redis.ping), stall())
    assert answer
    assert not breaker.is_open
    assert breaker.trips == 0


async def test_one_slow_answer_among_quick_ones_does_not_trip_the_breaker(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.redis_client.breaker.ANSWER_S", UNHURRIED_S)
    breaker = Breaker()

    async def slow() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(breaker.call(slow))
    await asyncio.sleep(0.05)
    assert await breaker.call(redis.ping)
    with pytest.raises(RedisDown):
        await waiting
    assert not breaker.is_open


async def test_a_burst_beyond_the_pool_waits_its_turn(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.redis_client.breaker.ANSWER_S", 60.0)
    breaker = Breaker()
    answers = await asyncio.gather(*(breaker.call(redis.ping) for _ in range(300)))
    assert all(answers)
    assert breaker.trips == 0
