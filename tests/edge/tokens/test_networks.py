"""Sessions bound softly to a network: who moves goes on, who shares takes places."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TOO_MANY_STREAMS, Refusal
from core.redis_client import Redis
from edge.tokens.entitlements import Entitlement
from edge.tokens.networks import MOST_NETWORKS, network_of, note
from edge.tokens.sessions import RECHECK_S
from tests.edge.tokens.test_sessions import NOW, World

HOME, HOME_TOO, MOBILE, FRIEND = "192.0.2.7", "192.0.2.200", "198.51.100.1", "203.0.113.5"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HOME, HOME_TOO, True),
        (HOME, "192.0.3.7", False),
        ("2001:db8:0:aa00::1", "2001:db8:0:aaff:1::9", True),
        ("2001:db8:0:aa00::1", "2001:db8:0:ab00::1", False),
        ("::ffff:192.0.2.9", HOME, True),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_what_counts_as_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@given(st.text(max_size=60))
def test_any_text_is_a_network_or_none(text: str) -> None:
    network_of(text)


def test_what_is_remembered_is_bounded() -> None:
    seen: dict[str, float] = {}
    for number in range(100):
        note(seen, str(number), float(number))
    assert list(seen) == [str(number) for number in range(100 - MOST_NETWORKS, 100)]


def bound(redis: Redis, **other: object) -> World:
    world = World(redis, **other)  # type: ignore[arg-type]
    world.sessions.is_bound = True
    world.answer = Entitlement(True, "library", max_streams=1)
    return world


async def test_who_moves_is_asked_again_and_goes_on(redis: Redis) -> None:
    world = bound(redis)
    token = await world.play()
    await world.sessions.admit(token, NOW, HOME)
    asked = world.asked
    assert world.sessions.known(token, NOW + 5, HOME_TOO)
    assert world.sessions.known(token, NOW + 6, MOBILE) is None
    await world.sessions.admit(token, NOW + 6, MOBILE)
    assert world.asked == asked + 1
    for at in range(10, 10 * RECHECK_S, 5):
        assert world.sessions.known(token, NOW + at, MOBILE) or await world.sessions.admit(token, NOW + at, MOBILE)


@pytest.mark.parametrize("processes", [1, 2])
async def test_who_shares_takes_a_place_for_each(redis: Redis, processes: int) -> None:
    worlds = [bound(redis) for _ in range(processes)]
    token = await worlds[0].play()

    async def is_refused(world: World, at: float, address: str) -> bool:
        if world.sessions.known(token, at, address) is not None:
            return False
        try:
            await world.sessions.admit(token, at, address)
        except Refusal as refusal:
            return refusal.code is TOO_MANY_STREAMS
        return False

    rounds = [
        (await is_refused(worlds[0], NOW + at, HOME)) + (await is_refused(worlds[-1], NOW + at + 2, FRIEND))
        for at in range(0, 6 * RECHECK_S, 4)
    ]
    assert sum(rounds[: RECHECK_S // 4]) == 0, "who moves looks the same at first"
    assert all(rounds[2 * RECHECK_S // 4 + 2 :]), rounds


async def test_unbound_sessions_do_not_look_at_addresses(redis: Redis) -> None:
    world = World(redis)
    token = await world.play(uuid4())
    await world.sessions.admit(token, NOW, HOME)
    assert world.sessions.known(token, NOW + 1, FRIEND)
    assert not await redis.keys("nets:*")
