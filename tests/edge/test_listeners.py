"""Who is one listener, and who is another."""

from __future__ import annotations

from uuid import UUID

import pytest

from core.ids import DEFAULT_TENANT
from core.keys import Key, KeyRing
from edge.listeners import ID_HEX_DIGITS, listener_id

RING = KeyRing((Key("k1", b"1" * 48),))
PLAYER = "AppleCoreMedia/1.0.0.20H19 (iPhone; U; CPU OS 16_7 like Mac OS X; en_us)"


def of(address: str | None, agent: str = PLAYER, tenant: UUID = DEFAULT_TENANT, ring: KeyRing = RING) -> str | None:
    return listener_id(ring, tenant, address, agent)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7", "::ffff:203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2:bbbb::9"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_one_address_and_player_is_one_listener_and_of_ipv6_the_first_64_bits_count(one: str, other: str) -> None:
    assert of(one) == of(other) is not None


@pytest.mark.parametrize(("one", "other"), [("203.0.113.7", "203.0.113.8"), ("2001:db8:1:2::1", "2001:db8:1:3::1")])
def test_another_address_is_another_listener(one: str, other: str) -> None:
    assert of(one) != of(other)


def test_another_player_tenant_or_key_is_another_listener() -> None:
    here = of("203.0.113.7")
    assert here != of("203.0.113.7", "VLC/3.0.20 LibVLC/3.0.20")
    assert here != of("203.0.113.7", tenant=UUID(int=7))
    assert here != of("203.0.113.7", ring=KeyRing((*RING.keys, Key("k2", b"2" * 48))))


def test_nothing_of_the_address_is_left() -> None:
    found = of("203.0.113.7")
    assert found is not None
    assert len(found) == ID_HEX_DIGITS
    assert set(found) <= set("0123456789abcdef")


@pytest.mark.parametrize("address", [None, "", "unknown", "@socket", "203.0.113.7.1"])
def test_who_has_no_address_is_nobody(address: str | None) -> None:
    assert of(address) is None


@pytest.mark.parametrize("agent", ["", "\udcff", "a" * 100_000, "\0" * 9])
def test_whatever_a_player_says_of_itself_makes_a_listener(agent: str) -> None:
    assert of("203.0.113.7", agent) is not None
