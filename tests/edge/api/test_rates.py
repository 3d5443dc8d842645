"""Rates: a minute's worth for each caller, over all edges together, and nobody refused for want of Redis."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from core.errors import RATE_LIMITED, Refusal
from edge.api import rates
from edge.api.callers import is_local
from edge.api.rates import Kind, Rates
from edge.app import open_edge
from edge.redis_client import Breaker, Redis
from edge.settings import Settings
from tests.edge.api.conftest import House, refused


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """Redis is there: a machine that stands still must not make a test look away."""
    monkeypatch.setattr("edge.redis_client.breaker.ANSWER_S", 60.0)
    return Breaker()


async def admitted(door: Rates, times: int, kind: Kind = "user", subject: str = "vera") -> int:
    """How many of so many are let in."""
    tries = await asyncio.gather(*(door.admit(kind, subject) for _ in range(times)), return_exceptions=True)
    for refusal in tries:
        assert refusal is None or (isinstance(refusal, Refusal) and refusal.code is RATE_LIMITED), refusal
    return tries.count(None)


async def test_a_caller_has_a_minutes_worth_and_is_told_how_long_to_wait(redis: Redis, breaker: Breaker) -> None:
    door = Rates({"user": 7}, redis, breaker)
    assert await admitted(door, 20) == 7
    with pytest.raises(Refusal) as caught:
        await door.admit("user", "vera")
    wait_s = caught.value.retry_after_s
    assert wait_s is not None
    assert 1 <= wait_s <= 60
    assert rates.rate_headers(caught.value) == {
        "RateLimit-Policy": '"user";q=7;w=60',
        "RateLimit": f'"user";r=0;t={wait_s}',
    }


async def test_callers_and_kinds_are_counted_apart(redis: Redis, breaker: Breaker) -> None:
    door = Rates({"user": 3, "key": 5}, redis, breaker)
    assert await admitted(door, 9) == 3
    assert await admitted(door, 9, subject="otto") == 3
    assert await admitted(door, 9, "key") == 5
    assert await admitted(door, 99, "address") == 99


async def test_edges_share_a_callers_minute(redis: Redis, breaker: Breaker) -> None:
    first, second = (Rates({"user": 40}, redis, breaker) for _ in range(2))
    both = await asyncio.gather(admitted(first, 100), admitted(second, 100))
    assert sum(both) == 40


async def test_a_large_limit_is_taken_in_handfuls_and_never_passed(redis: Redis, breaker: Breaker) -> None:
    first, second = (Rates({"user": 3_000}, redis, breaker) for _ in range(2))
    both = await asyncio.gather(admitted(first, 2_500), admitted(second, 2_500))
    assert 3_000 - 2 * rates.MOST_IN_HAND <= sum(both) <= 3_000


async def test_handfuls_spare_redis(redis: Redis, breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    door, asked = Rates({"user": 3_000}, redis, breaker), 0
    through = rates.SharedCounts.incr

    async def incr(self: Any, key: str, expiry: int, amount: int = 1) -> int:
        nonlocal asked
        asked += 1
        return await through(self, key, expiry, amount)

    monkeypatch.setattr(rates.SharedCounts, "incr", incr)
    assert await admitted(door, 1_000) == 1_000
    assert asked == 1_000 // rates.MOST_IN_HAND


async def test_the_next_minute_is_another(redis: Redis, breaker: Breaker) -> None:
    door = Rates({"user": 2}, redis, breaker)
    assert await admitted(door, 5) == 2
    (hand,) = door._hands.values()
    await redis.flushall()
    assert await admitted(door, 1) == 0
    hand.until_s = 0.0
    assert await admitted(door, 5) == 2


async def test_without_redis_nobody_is_refused(redis: Redis) -> None:
    class Away:
        async def eval(self, *_: object) -> int:
            raise ConnectionError

    door = Rates({"user": 1}, cast("Redis", Away()), Breaker())
    assert await admitted(door, 50) == 50


async def test_a_429_says_when_to_come_back(edge_settings: Settings, house: House, aiohttp_client: Any) -> None:
    edge = await open_edge(edge_settings)
    edge.callers.rates._items = {"user": rates.RateLimitItemPerMinute(3)}
    client = await aiohttp_client(edge.app())
    headers = {**await house.sign_in(house.cast.vera), "Origin": "https://shop.example"}
    for _ in range(3):
        assert (await client.get("/rest/v1/genres", headers=headers)).status == 200
    response = await client.get("/rest/v1/genres", headers=headers)
    body = await refused(response, 429, "PS117")
    assert body["limit"] == 3
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert response.headers["RateLimit"].startswith('"user";r=0;t=')
    assert "RateLimit" in response.headers["Access-Control-Expose-Headers"]
    other = await house.sign_in(house.cast.otto)
    assert (await client.get("/rest/v1/genres", headers=other)).status == 200


async def test_wrong_texts_and_sign_ins_count_against_their_address(
    edge_settings: Settings, house: House, aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.api.callers.is_local", lambda _: False)
    edge = await open_edge(edge_settings)
    edge.callers.rates._items = {"address": rates.RateLimitItemPerMinute(4)}
    client = await aiohttp_client(edge.app())
    wrong = {"Authorization": "Bearer pk_wrong"}
    assert (await client.get("/rest/v1/genres", headers=wrong)).status == 401
    assert (await client.get("/rest/v1/genres", headers={"Authorization": "Bearer x.y.z"})).status == 401
    assert (await client.get("/rest/v1/genres")).status == 200
    assert (await client.get("/auth/v1/settings")).status == 200
    for path in ("/rest/v1/genres", "/auth/v1/settings"):
        await refused(await client.get(path, headers=wrong), 429, "PS117")
    signed_in = await house.sign_in(house.cast.vera)
    assert (await client.get("/rest/v1/genres", headers=signed_in)).status == 200


def test_the_machine_itself_is_known() -> None:
    assert all(map(is_local, ("127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_local, ("192.0.2.7", "fe80::1%eth0", "2001:db8::1", "unix", "")))
