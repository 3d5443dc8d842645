"""Commands sent together: one exchange for a turn of the loop, each with its own answer, none lost when something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.local.valkey import EmbeddedValkey
from edge.redis_client import Breaker, Pipelined, Redis, RedisDown, ResponseError, Script, connect
from edge.redis_client.pipelined import MOST_IN_ONE, MOST_UNDER_WAY
from tests.edge.progress.conftest import patient as patient
from tests.waiting import until

COUNT_UP = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
def pipelined(redis: Redis) -> Pipelined:
    return Pipelined(redis, Breaker())


@pytest.mark.usefixtures("patient")
async def test_what_is_asked_in_one_turn_is_sent_in_one_pipeline(pipelined: Pipelined) -> None:
    answers = await asyncio.gather(
        *(pipelined.run(COUNT_UP, (f"k{n}",), (n,)) for n in range(50)), pipelined.send("GET", "nothing")
    )
    assert answers == [*range(50), None]
    assert pipelined.sent == 1
    assert await pipelined.send("GET", "k7") == b"7"
    assert pipelined.sent == 2


@pytest.mark.usefixtures("patient")
async def test_every_kind_of_argument_arrives_as_it_was_meant(redis: Redis) -> None:
    """Names of two words, numbers, bytes that are no text, and a value larger than any buffer."""
    large = bytes(range(256)) * 4096
    await redis.hset("h", mapping={b"\xff\x00\r\n": large, "grüße": 3, "half": 0.5, "none": b""})
    assert await redis.hgetall("h") == {b"\xff\x00\r\n": large, "grüße".encode(): b"3", b"half": b"0.5", b"none": b""}
    assert await redis.client_setname("somebody")
    assert await redis.client_getname() is not None
    assert (await redis.config_get("appendfsync"))["appendfsync"] in ("always", "everysec", "no")


@pytest.mark.usefixtures("patient")
async def test_a_flood_is_sent_in_bounded_pieces_and_answered_in_order(pipelined: Pipelined) -> None:
    many = MOST_IN_ONE * (MOST_UNDER_WAY + 1) + 7
    answers = await asyncio.gather(*(pipelined.send("ECHO", n) for n in range(many)))
    assert answers == [str(n).encode() for n in range(many)]
    assert pipelined.sent == MOST_UNDER_WAY + 2


@pytest.mark.usefixtures("patient")
async def test_a_server_that_has_forgotten_a_script_is_told_it_again(pipelined: Pipelined, redis: Redis) -> None:
    twice = Script("return redis.call('INCRBY', KEYS[1], 2 * ARGV[1])")
    assert await pipelined.run(COUNT_UP, ("a",), (1,)) == 1
    await redis.script_flush()
    answers = await asyncio.gather(
        pipelined.run(COUNT_UP, ("a",), (1,)),
        pipelined.send("SET", "b", "x"),
        pipelined.run(twice, ("c",), (1,)),
        pipelined.run(COUNT_UP, ("a",), (1,)),
    )
    assert answers == [2, True, 2, 3]


async def test_a_wrong_command_fails_nobody_but_itself(pipelined: Pipelined, redis: Redis) -> None:
    await redis.set("text", "x")
    wrong, right = await asyncio.gather(
        pipelined.run(COUNT_UP, ("text",), (1,)), pipelined.run(COUNT_UP, ("number",), (1,)), return_exceptions=True
    )
    assert isinstance(wrong, ResponseError)
    assert right == 1


async def test_who_leaves_takes_no_answer_from_the_others(pipelined: Pipelined) -> None:
    asked = [asyncio.ensure_future(pipelined.run(COUNT_UP, (f"k{n}",), (n,))) for n in range(10)]
    for one in asked[::2]:
        one.cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [1, 3, 5, 7, 9]


async def test_a_storm_of_leavers_mixes_up_no_answers(pipelined: Pipelined) -> None:
    async def echo(n: int) -> None:
        assert await pipelined.send("ECHO", n) == str(n).encode()

    for round_ in range(40):
        tasks = [asyncio.create_task(echo(round_ * 100 + n)) for n in range(40)]
        for _ in range(round_ % 5):
            await asyncio.sleep(0)
        for task in tasks[round_ % 3 :: 3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in done if isinstance(one, Exception)]


async def test_a_server_that_is_not_there_is_down_for_all_who_asked() -> None:
    client = connect("unix:///nonexistent/valkey.sock")
    pipelined = Pipelined(client, Breaker())
    answers = await asyncio.gather(*(pipelined.send("GET", "a") for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisDown] * 5
    assert len({id(answer) for answer in answers}) == 5
    await client.aclose()


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Valkey of the test's own, whose settings it may change."""
    server = EmbeddedValkey(tmp_path / "data", tmp_path / "v.sock", tmp_path / "valkey.log", append_fsync="no")
    server.start()
    client = connect(server.url)
    yield client
    await client.aclose()
    server.stop()


@pytest.mark.parametrize(
    "how", [("CONFIG SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")], ids=["out of memory", "a replica"]
)
async def test_a_server_that_takes_no_writes_is_as_good_as_down(limited: Redis, how: tuple[str, ...]) -> None:
    pipelined = Pipelined(limited, Breaker())
    assert await pipelined.run(COUNT_UP, ("a",), (1,)) == 1
    await limited.execute_command(*how)
    for asked in (pipelined.send("SET", "a", "1"), pipelined.run(COUNT_UP, ("a",), (1,))):
        with pytest.raises(RedisDown):
            await asked
    with pytest.raises(RedisDown):
        await Breaker().call(lambda: limited.set("a", "1"))


async def test_the_breaker_keeps_pipelines_back_and_lets_them_through_again(redis: Redis) -> None:
    now = 0.0
    breaker = Breaker(clock=lambda: now)
    pipelined = Pipelined(redis, breaker)

    async def fail() -> None:
        raise ConnectionError("away")

    with pytest.raises(RedisDown):
        await breaker.call(fail)
    with pytest.raises(RedisDown):
        await pipelined.send("PING")
    now = 2.0
    assert await until(lambda: pipelined.send("PING"), 60, "an answer")


async def test_an_error_that_the_server_answers_ends_its_absence(redis: Redis) -> None:
    now = 0.0
    breaker = Breaker(clock=lambda: now)

    async def fail() -> None:
        raise ConnectionError("away")

    with pytest.raises(RedisDown):
        await breaker.call(fail)
    now = 2.0
    await redis.set("text", "a")
    with pytest.raises(ResponseError):
        await breaker.call(lambda: redis.lpush("text", "b"))
    assert not breaker.is_open
    assert await breaker.call(lambda: redis.get("text")) == b"a"
