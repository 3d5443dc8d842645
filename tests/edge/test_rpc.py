"""Commands over /rest/v1/rpc as literal HTTP exchanges: what they do, who may, and once for each key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiohttp import ClientResponse

from core.viewer import GUEST, service
from tests.edge.rest_shop import ELSEWHERE, MARA, STAFF, Shop, own_shop, shop, shop_database
from tests.edge.test_rest_writes import ANNA, BRAND, CIRCLE, studio

__all__ = ["own_shop", "shop", "shop_database", "studio"]

DRAFT = "00000000-0000-7000-8000-000000000104"
PLAYLIST = "00000000-0000-7000-8000-000000000501"


async def call(shop: Shop, name: str, body: object, **headers: str) -> ClientResponse:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return await shop.send("POST", f"/rpc/{name}", data=data, **{"Content_Type": "application/json", **headers})


async def answer(shop: Shop, name: str, body: object, **headers: str) -> Any:
    response = await call(shop, name, body, **headers)
    said = await response.read()
    assert response.status == 200, said
    return orjson.loads(said)


async def refusal(shop: Shop, name: str, body: object, **headers: str) -> tuple[int, str]:
    response = await call(shop, name, body, **headers)
    return response.status, orjson.loads(await response.read())["code"]


async def effects(shop: Shop) -> list[tuple[str, str]]:
    async with shop.database.transaction(service()) as tx:
        rows = await tx.connection.fetch("SELECT topic, subject FROM outbox ORDER BY seq")
    return [(row["topic"], row["subject"]) for row in rows]


@pytest.mark.rule("streaming-028")
async def test_publishing_shows_a_content_from_a_moment_that_stays(studio: Shop) -> None:
    shown = await answer(studio, "publish_content", {"content_id": DRAFT})
    assert shown["is_published"] is True
    assert shown["published_at"] is not None
    assert await answer(studio, "publish_content", {"content_id": DRAFT}) == shown
    studio.viewer = GUEST
    assert len(await studio.rows(f"/contents?id=eq.{DRAFT}")) == 1
    studio.viewer = STAFF
    hidden = await answer(studio, "unpublish_content", {"content_id": DRAFT})
    assert hidden == {**shown, "is_published": False}
    studio.viewer = GUEST
    assert await studio.rows(f"/contents?id=eq.{DRAFT}") == []
    studio.viewer = STAFF
    assert await answer(studio, "publish_content", {"content_id": DRAFT}) == shown
    assert [topic for topic, _ in await effects(studio)] == [
        "content.published",
        "content.unpublished",
        "content.published",
    ]


async def test_a_content_that_is_not_there_is_not_published(studio: Shop) -> None:
    assert await refusal(studio, "publish_content", {"content_id": str(uuid4())}) == (404, "PS405")
    assert await refusal(studio, "unpublish_content", {"content_id": str(uuid4())}) == (404, "PS405")
    assert await effects(studio) == []


@pytest.mark.rule("streaming-039")
@pytest.mark.rule("streaming-042")
@pytest.mark.rule("streaming-044")
async def test_a_price_holds_until_the_next_and_names_who_set_it(studio: Shop) -> None:
    soon = datetime.now(UTC) + timedelta(days=30)
    first = await answer(studio, "add_content_price", {"content_id": ANNA, "price": "9.90", "currency": "EUR"})
    assert (first["price"], first["effective_to"]) == ("9.90", None)
    later = {"content_id": ANNA, "price": "4.50", "currency": "EUR", "effective_from": soon.isoformat()}
    await answer(studio, "add_content_price", later)
    await answer(studio, "add_content_price", {"content_id": ANNA, "price": 1200, "currency": "JPY"})
    rows = await studio.rows(f"/content_prices?content_id=eq.{ANNA}&currency=eq.EUR&order=effective_from")
    assert [row["price"] for row in rows] == [9.9, 4.5]
    assert datetime.fromisoformat(rows[0]["effective_to"]) == datetime.fromisoformat(rows[1]["effective_from"])
    assert rows[1]["effective_to"] is None
    assert {row["created_by"] for row in rows} == {str(STAFF.user_id)}
    studio.viewer = GUEST
    offer = orjson.loads(await (await studio.get(f"/rpc/content_offer?content_id={ANNA}")).read())
    assert [(price["currency"], price["price"]) for price in offer["prices"]] == [
        ("EUR", "9.9000"),
        ("JPY", "1200.0000"),
    ]


@pytest.mark.rule("streaming-040")
@pytest.mark.rule("streaming-041")
@pytest.mark.rule("streaming-043")
@pytest.mark.rule("streaming-045")
async def test_a_playlist_has_its_price_of_the_day_and_keeps_the_others(studio: Shop) -> None:
    today = datetime.now(UTC).date()
    ends = [today + timedelta(days=days) for days in (10, 20)]
    asked = {"playlist_id": PLAYLIST, "price": "20", "currency": "EUR", "effective_from": str(today)}
    await answer(studio, "add_playlist_price", asked)
    for price, start in (("15", ends[0]), ("12", ends[1])):
        await answer(studio, "add_playlist_price", {**asked, "price": price, "effective_from": str(start)})
    rows = await studio.rows(f"/playlist_prices?playlist_id=eq.{PLAYLIST}&order=effective_from")
    assert [(row["price"], row["effective_to"]) for row in rows] == [
        (20.0, str(ends[0])),
        (15.0, str(ends[1])),
        (12.0, None),
    ]
    assert {row["created_by"] for row in rows} == {str(STAFF.user_id)}
    offer = orjson.loads(await (await studio.get(f"/rpc/playlist_offer?playlist_id={PLAYLIST}")).read())
    assert [price["price"] for price in offer["prices"]] == ["20.0000"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"price": "-1"}, (422, "PS102")),
        ({"price": "1.999"}, (422, "PS102")),
        ({"price": "NaN"}, (422, "PS102")),
        ({"price": "many"}, (422, "PS102")),
        ({"price": None}, (422, "PS102")),
        ({"currency": "euro"}, (422, "PS102")),
        ({"content_id": "7"}, (422, "PS102")),
        ({"content_id": str(uuid4())}, (404, "PS405")),
        ({"effective_from": "2020-01-01T00:00:00Z"}, (422, "PS102")),
        ({"effective_from": "2099-01-01T00:00:00"}, (422, "PS102")),
        ({"effective_from": "2099-01-01T00:00:00Z", "effective_to": "2098-01-01T00:00:00Z"}, (422, "PS102")),
        ({"surprise": 1}, (422, "PS102")),
    ],
)
async def test_a_price_that_cannot_be_is_refused_and_changes_nothing(
    studio: Shop, body: dict[str, Any], answer: tuple[int, str]
) -> None:
    asked = {"content_id": ANNA, "price": "1", "currency": "EUR", **body}
    assert await refusal(studio, "add_content_price", asked) == answer
    assert await studio.rows(f"/content_prices?content_id=eq.{ANNA}") == []
    assert await effects(studio) == []


async def test_two_prices_never_hold_at_once(studio: Shop) -> None:
    start = datetime.now(UTC) + timedelta(days=10)
    asked = {"content_id": CIRCLE, "price": "5", "currency": "EUR", "effective_from": start.isoformat()}
    await answer(studio, "add_content_price", {**asked, "effective_to": (start + timedelta(days=5)).isoformat()})
    between = (start + timedelta(days=1)).isoformat()
    assert await refusal(studio, "add_content_price", {**asked, "effective_from": between}) == (409, "PS506")
    assert await refusal(studio, "add_content_price", {"content_id": CIRCLE, "price": "1", "currency": "EUR"}) == (
        409,
        "PS506",
    )
    now_until = {"content_id": CIRCLE, "price": "1", "currency": "EUR", "effective_to": start.isoformat()}
    await answer(studio, "add_content_price", now_until)


@pytest.mark.rule("streaming-017")
async def test_commands_are_for_those_who_may(own_shop: Shop) -> None:
    price = {"content_id": ANNA, "price": "1", "currency": "EUR"}
    for viewer, said in ((GUEST, (401, "PS301")), (MARA, (403, "PS304")), (ELSEWHERE, (401, "PS301"))):
        own_shop.viewer = viewer
        for name, body in (("publish_content", {"content_id": ANNA}), ("add_content_price", price)):
            assert await refusal(own_shop, name, body) == said
    assert await refusal(own_shop, "publish_contents", {}) == (404, "PS205")
    own_shop.viewer = ELSEWHERE
    assert await refusal(own_shop, "content_offer", {"content_id": ANNA}) == (404, "PS405")


async def test_the_same_key_does_it_once(studio: Shop) -> None:
    asked = {"content_id": ANNA, "price": "9.90", "currency": "EUR"}
    first = await call(studio, "add_content_price", asked, Idempotency_Key="k-1")
    again = await call(studio, "add_content_price", dict(reversed(asked.items())), Idempotency_Key="k-1")
    assert (first.status, again.status) == (200, 200)
    assert await first.read() == await again.read()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await studio.rows(f"/content_prices?content_id=eq.{ANNA}")) == 1
    assert len(await effects(studio)) == 1
    other = {**asked, "price": "8"}
    assert await refusal(studio, "add_content_price", other, Idempotency_Key="k-1") == (422, "PS507")
    assert await refusal(studio, "publish_content", {"content_id": ANNA}, Idempotency_Key="k-1") == (422, "PS507")


async def test_a_refused_command_leaves_its_key_free(studio: Shop) -> None:
    body = {"content_id": str(uuid4())}
    assert await refusal(studio, "publish_content", body, Idempotency_Key="k") == (404, "PS405")
    await answer(studio, "publish_content", {"content_id": DRAFT}, Idempotency_Key="k")


async def test_many_at_once_with_one_key_do_it_once(studio: Shop) -> None:
    asked = {"content_id": BRAND, "price": "9.90", "currency": "NOK"}
    responses = await asyncio.gather(
        *(call(studio, "add_content_price", asked, Idempotency_Key="together") for _ in range(12))
    )
    assert {response.status for response in responses} <= {200, 409}
    assert len({await response.read() for response in responses if response.status == 200}) == 1
    assert len(await studio.rows(f"/content_prices?content_id=eq.{BRAND}&currency=eq.NOK")) == 1


async def test_a_key_is_its_users_own_and_is_forgotten_after_a_day(studio: Shop) -> None:
    await answer(studio, "publish_content", {"content_id": DRAFT}, Idempotency_Key="shared")
    studio.viewer = service()
    other = await call(studio, "unpublish_content", {"content_id": DRAFT}, Idempotency_Key="shared")
    assert other.status == 200
    assert "Idempotent-Replayed" not in other.headers
    studio.viewer = STAFF
    async with studio.database.transaction(STAFF) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM idempotency_keys") == 1
        await tx.connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    later = await call(studio, "publish_content", {"content_id": DRAFT}, Idempotency_Key="shared")
    assert (later.status, "Idempotent-Replayed" in later.headers) == (200, False)
    for key in ("", "x" * 256, "a b"):
        assert await refusal(studio, "publish_content", {"content_id": DRAFT}, Idempotency_Key=key) == (422, "PS102")


async def test_only_what_reads_is_asked_with_get(studio: Shop) -> None:
    get = await studio.get(f"/rpc/publish_content?content_id={ANNA}")
    assert (get.status, orjson.loads(await get.read())["allowed"]) == (405, ["OPTIONS", "POST"])
    assert (await studio.send("OPTIONS", "/rpc/publish_content")).headers["Allow"] == "OPTIONS, POST"
    assert (await studio.send("OPTIONS", "/rpc/content_offer")).headers["Allow"] == "OPTIONS, GET, HEAD, POST"
    head = await studio.send("HEAD", f"/rpc/content_offer?content_id={BRAND}")
    assert (head.status, await head.read()) == (200, b"")
    for path in ("/rpc/content_offer", "/rpc/content_offer?content_id=7", f"/rpc/content_offer?content_id={ANNA}&x=1"):
        assert (await studio.refused(path))[:2] == (422, "PS102")
    assert (await studio.refused(f"/rpc/content_offer?content_id={ANNA}&content_id={ANNA}"))[:2] == (422, "PS102")
    _, _, twice = await studio.refused(f"/rpc/content_offer?content_id={ANNA}&content_id={ANNA}")
    assert [fault["path"] for fault in twice["fields"]] == ["content_id"]
    assert (await studio.refused(f"/rpc/content_offer?content_id={ANNA}%ff"))[:2] == (400, "PS104")
    assert (await studio.refused(f"/rpc/content_offer?content_id={ANNA}%2500"))[:2] == (422, "PS102")
    for body in (b"{", b"[]", b"7"):
        assert (await refusal(studio, "publish_content", body))[0] in (400, 422)
    assert await refusal(studio, "publish_content", b"") == (422, "PS102")
    odd = await studio.send(
        "POST", f"/rpc/publish_content?content_id={ANNA}", data=b"{}", Content_Type="application/json"
    )
    assert odd.status == 422
