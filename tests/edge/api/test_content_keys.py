"""The key of an encrypted title: for who may watch it and nobody else, kept by no cache, there while PostgreSQL is away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from core.database import Database, DatabaseDown, dedicated
from core.domain.media_keys import new_key, seal_key
from core.ids import DEFAULT_TENANT
from core.keys import parse_ring
from edge.content_keys import ContentKeys
from edge.redis_client import Breaker, Redis, RedisDown
from tests.conftest import TestDatabase
from tests.edge.api.conftest import RING, House, refused
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast

KEY = new_key()
STRANGER = parse_ring("k9:" + "9" * 40)


async def encrypt(cast: Cast, film: UUID, ring: Any = RING) -> None:
    """The film's generation gets a key, as its publication gives it."""
    stored = seal_key(ring, KEY, f"hls/{film}/1-1")
    await cast.change(
        "INSERT INTO generation_keys (generation_id, sealed, ring_key_id) SELECT id, $2, $3 FROM generations WHERE content_id = $1",
        film, stored.sealed, stored.ring_key_id,
    )  # fmt: skip


def key_url(grant: dict[str, Any]) -> str:
    return str(grant["manifest_url"]).replace("master.m3u8", "content.key")


async def test_who_may_watch_gets_the_key_and_nothing_keeps_it(house: House) -> None:
    await encrypt(house.cast, house.cast.paid_film)
    vera = await house.sign_in(house.cast.vera)
    url = key_url(await house.play(house.cast.paid_film, vera))
    for _ in range(2):
        response = await house.client.get(url)
        assert (response.status, await response.read()) == (200, KEY)
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert not any("content.key" in key for key in house.edge.cache._slots)
    learned = [below for answers in (house.edge.learned.plain, house.edge.learned.gzipped) for below in answers]
    assert not any(b"content.key" in below for below in learned)


async def test_nobody_else_gets_it(house: House) -> None:
    """No token, a forged one, one for another title; and no other name leads to it."""
    film = house.cast.paid_film
    await encrypt(house.cast, film)
    vera = await house.sign_in(house.cast.vera)
    url = key_url(await house.play(film, vera))
    other = await house.play(house.cast.free_film)
    await refused(await house.client.get(url.replace("/hls/k1.", "/hls/k9.")), 401, "PS401")
    await refused(await house.client.get(f"/hls/x/{film}/1/content.key"), 401, "PS401")
    await refused(await house.client.get(url.replace(url.split("/")[2], other["token"])), 403, "PS410")
    for wrong in ("other.key", "video/content.key", "content.key.key"):
        assert (await house.client.get(url.replace("content.key", wrong))).status == 404
    # A generation of the same title that has no key.
    assert (await house.client.get(url.replace("/1/content.key", "/2/content.key"))).status == 404
    assert (await house.client.get(key_url(other))).status == 404


async def test_a_key_that_nobody_can_open_says_so(house: House) -> None:
    await encrypt(house.cast, house.cast.free_film, STRANGER)
    url = key_url(await house.play(house.cast.free_film))
    body = await refused(await house.client.get(url), 500, "PS637")
    assert KEY.hex() not in str(body)


async def test_the_table_of_keys_is_closed_to_everybody_else(house: House, database_urls: TestDatabase) -> None:
    await encrypt(house.cast, house.cast.free_film)
    for headers in ({}, await house.sign_in(house.cast.vera)):
        assert (await house.client.get("/rest/v1/generation_keys", headers=headers)).status == 404
    connection = await dedicated(database_urls.app_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('app.tenant_id', $1, true), set_config('app.role', 'staff', true)",
                str(DEFAULT_TENANT),
            )
            assert await connection.fetchval("SELECT count(*) FROM generations") > 0
            assert await connection.fetchval("SELECT count(*) FROM generation_keys") == 0
    finally:
        await connection.close()


class Away(Database):
    """A database that does not answer."""

    def transaction(self, *_: Any, **__: Any) -> Any:
        raise DatabaseDown("away")


async def test_a_fresh_edge_gives_keys_while_postgres_is_away(database: Database, redis: Redis, cast: Cast) -> None:
    """What runs goes on; what never ran cannot begin. Redis holds the key as sealed as PostgreSQL does."""
    await encrypt(cast, cast.paid_film)
    first = ContentKeys(database, redis, Breaker(), RING)
    assert await first.find(DEFAULT_TENANT, cast.paid_film, 1) == KEY
    fresh = ContentKeys(Away.__new__(Away), redis, Breaker(), RING)
    assert await fresh.find(DEFAULT_TENANT, cast.paid_film, 1) == KEY
    assert await first.find(DEFAULT_TENANT, cast.paid_film, 1) == KEY
    with pytest.raises(DatabaseDown):
        await fresh.find(DEFAULT_TENANT, cast.free_film, 1)
    with pytest.raises(LookupError):
        await first.find(DEFAULT_TENANT, cast.free_film, 1)
    held = [await redis.get(name) async for name in redis.scan_iter("genkey:*")]
    assert len(held) == 1
    assert KEY not in bytes(held[0])


async def test_without_redis_the_database_is_enough(
    database: Database, redis: Redis, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    await encrypt(cast, cast.paid_film)
    breaker = Breaker()

    async def down(*_: object, **__: object) -> None:
        raise RedisDown("away")

    monkeypatch.setattr(breaker, "call", down, raising=True)
    assert await ContentKeys(database, redis, breaker, RING).find(DEFAULT_TENANT, cast.paid_film, 1) == KEY
