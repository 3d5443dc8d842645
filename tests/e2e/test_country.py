"""Sessions softly bound to the country that a CDN names, at real web processes over real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.redis_client import Redis, connect
from tests.faults.ward import Ward, running_ward
from tests.web import Answer, Person, raw

pytestmark = [pytest.mark.xdist_group("ward"), pytest.mark.timeout(1200)]

HEADER = "CF-IPCountry"


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    """An installation that asks its CDN, which is ourselves."""
    with running_ward(
        PENSTOCK_BIND_COUNTRY="soft", PENSTOCK_COUNTRY_HEADER=HEADER, PENSTOCK_TRUSTED_PROXIES="127.0.0.1"
    ) as running:
        yield running


async def play(person: Person, ward: Ward, country: str | None) -> str:
    """Where the manifest is."""
    headers = {HEADER: country} if country else {}
    status, grant = await person.call(
        "POST", f"/play/{ward.content_id}", json={"device_id": "a phone"}, headers=headers
    )
    assert status == 200, grant
    return str(grant["manifest_url"])


async def fetch(ward: Ward, manifest_url: str, country: str | None) -> Answer:
    return await raw(ward.url, manifest_url, headers={HEADER: country} if country else {})


async def forgotten_places(ward: Ward) -> None:
    """As if the last moments had been longer ago: Redis forgets where sessions were used from."""
    assert ward.installation.valkey is not None
    redis: Redis = connect(ward.installation.valkey.url)
    try:
        for key in await redis.keys("nets:*"):
            await redis.delete(key)
    finally:
        await redis.aclose()


async def test_a_token_plays_where_it_was_granted_and_is_renewed_elsewhere(ward: Ward) -> None:
    async with ward.newcomer() as person:
        at_home = await play(person, ward, "DE")
        await forgotten_places(ward)
        gone = await fetch(ward, at_home, "FR")
        assert gone.status == 410
        assert b'"PS402"' in gone.body
        assert b'"country_changed"' in gone.body
        # What a player does at a 410: the same person, the same device, now granted for where they are.
        renewed = await play(person, ward, "FR")
        await forgotten_places(ward)
        assert (await fetch(ward, renewed, "FR")).status == 200
        # Softly: nothing was revoked.
        assert (await fetch(ward, at_home, "DE")).status == 200


async def test_a_country_that_nobody_names_binds_to_nothing(ward: Ward) -> None:
    async with ward.newcomer() as person:
        for named in (None, "XX", "Elbonia"):
            anywhere = await play(person, ward, named)
            for country in ("DE", "FR", None):
                await forgotten_places(ward)
                assert (await fetch(ward, anywhere, country)).status == 200
        at_home = await play(person, ward, "DE")
        await forgotten_places(ward)
        assert (await fetch(ward, at_home, None)).status == 200
