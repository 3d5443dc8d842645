"""Sessions bound softly to a network or a country: who moves goes on, who shares takes places, who has left asks again."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PLAYBACK_EXPIRED, TOO_MANY_STREAMS, Refusal
from edge.redis_client import Redis
from edge.tokens.entitlements import Entitlement
from edge.tokens.places import MOST_PLACES, country_code, country_of, has_left, network_of, note, place_of
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
    network = network_of(text)
    assert network is None or (len(network) in (6, 14) and set(network) <= set("0123456789abcdef"))


@pytest.mark.parametrize(
    ("said", "code"),
    [("DE", "DE"), (" de ", "DE"), ("T1", "T1"), ("XX", None), ("ZZ", None), ("", None), ("DEU", None), ("D", None), ("1D", None),
     ("ÄÖ", None), ("D\n", None), ("DE, FR", None), ("D/", None)],
)  # fmt: skip
def test_what_counts_as_a_country(said: str, code: str | None) -> None:
    assert country_code(said) == code


@given(st.text(max_size=6))
def test_any_text_is_a_country_of_two_letters_or_none(text: str) -> None:
    code = country_code(text)
    assert code is None or (len(code) == 2 and code.isascii() and code.isalnum())


@given(
    st.none() | st.ip_addresses(),
    st.none() | st.from_regex("[A-WY-Z][A-Z]", fullmatch=True).filter(lambda c: c != "ZZ"),
)
def test_a_place_names_the_country_it_was_made_of(
    address: IPv4Address | IPv6Address | None, country: str | None
) -> None:
    network = None if address is None else network_of(str(address))
    place = place_of(network, country)
    if place is None:
        assert (network, country) == (None, None)
    else:
        assert country_of(place) == country
        assert place.endswith(network or "")


@pytest.mark.parametrize(
    ("country", "used_from", "left"),
    [
        ("DE", ["FR"], True),
        ("DE", ["FR/c00002", "BE/c63364"], True),
        ("DE", ["DE"], False),
        ("DE", ["DE/c00002", "FR/c63364"], False),
        ("DE", [], False),
        ("DE", ["c00002"], False),
        (None, ["FR"], False),
    ],
)
def test_who_has_left_a_country(country: str | None, used_from: list[str], *, left: bool) -> None:
    assert has_left(country, used_from) is left


def test_what_is_remembered_is_bounded() -> None:
    seen: dict[str, float] = {}
    for number in range(100):
        note(seen, str(number), float(number))
    assert list(seen) == [str(number) for number in range(100 - MOST_PLACES, 100)]


def bound(redis: Redis, **other: object) -> World:
    world = World(redis, **other)  # type: ignore[arg-type]
    world.sessions.by_network = True
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


def by_country(redis: Redis, max_streams: int = 4) -> World:
    world = World(redis)
    world.sessions.by_country = True
    world.answer = Entitlement(True, "library", max_streams=max_streams)
    return world


async def test_who_has_crossed_a_border_is_told_to_press_play_again(redis: Redis) -> None:
    world = by_country(redis)
    token = await world.play(country="DE")
    await world.sessions.admit(token, NOW, HOME, "DE")
    assert world.sessions.known(token, NOW + 5, MOBILE, "DE"), "a network is not a country"
    asked = world.asked
    assert world.sessions.known(token, NOW + 10, MOBILE, "FR") is None
    await world.sessions.admit(token, NOW + 10, MOBILE, "FR")
    assert world.asked == asked + 1, "the right to watch is asked for again"
    assert world.sessions.known(token, NOW + 10 + RECHECK_S - 1, MOBILE, "FR")
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 10 + RECHECK_S, MOBILE, "FR")
    assert refused.value.code is PLAYBACK_EXPIRED
    assert refused.value.data["reason"] == "country_changed"
    # Nothing was taken away: pressed again, it plays there, and the old token still plays at home.
    again = await world.play(country="FR")
    await world.sessions.admit(again, NOW + 40, MOBILE, "FR")
    await world.sessions.admit(token, NOW + 60, HOME, "DE")


async def test_a_token_handed_on_abroad_does_not_outlive_the_first_moments(redis: Redis) -> None:
    world = by_country(redis)
    token = await world.play(country="DE")
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + RECHECK_S + 1, FRIEND, "FR")
    assert refused.value.data["reason"] == "country_changed"


@pytest.mark.parametrize("max_streams", [1, 2])
async def test_two_countries_at_once_are_two_streams_and_no_end(redis: Redis, max_streams: int) -> None:
    world = by_country(redis, max_streams)
    token = await world.play(country="DE")
    codes = set()
    for at in range(0, 6 * RECHECK_S, 4):
        country = "DE" if at % 8 else "FR"
        if world.sessions.known(token, NOW + at, HOME, country) is None:
            try:
                await world.sessions.admit(token, NOW + at, HOME, country)
            except Refusal as refusal:
                codes.add(refusal.code)
    assert codes == ({TOO_MANY_STREAMS} if max_streams == 1 else set())


async def test_a_country_that_is_not_known_changes_nothing(redis: Redis) -> None:
    world = by_country(redis)
    token = await world.play(country="DE")
    await world.sessions.admit(token, NOW, HOME, "DE")
    for at in range(0, 100, 5):
        assert world.sessions.known(token, NOW + at, MOBILE, None) or await world.sessions.admit(
            token, NOW + at, MOBILE
        )
    unbound = await world.play()
    await world.sessions.admit(unbound, NOW, HOME, "DE")
    await world.sessions.admit(unbound, NOW + 100, HOME, "FR")
