"""Purchases without an order: they open a title as an order's do, stand beside orders in one list, and can be given back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from core.database import Row
from core.domain.commerce.direct import check_purchase
from core.errors import Refusal
from core.viewer import service
from tests.core.domain.commerce.shopping import LONG_AGO, Till, soon


async def playable(till: Till, film: Row) -> Row:
    """The title, encoded."""
    made = await till.rows.make(
        "generations", content_id=film["id"], state="published", published_at=LONG_AGO, duration_ms=1000, has_video=True
    )
    return await till.rows.change("contents", film, generation_id=made["id"])


async def recorded(till: Till, film: Row, **more: Any) -> Any:
    """Staff record that the buyer paid for a title elsewhere."""
    what = {"user_id": till.buyer.user_id, "content_id": film["id"], "price": "4.50", "currency": "EUR", **more}
    return await till.ask(till.staff, "record_direct_purchase", **what)


async def listed(till: Till) -> set[tuple[Any, ...]]:
    """What content_purchases shows of the buyer: title, price in cents, status, order."""
    sql = "SELECT content_id, (price * 100)::int, status, order_id FROM content_purchases WHERE user_id = $1"
    rows = [tuple(row) for row in await till.rows.connection.fetch(sql, till.buyer.user_id)]
    assert len({row[0] for row in rows}) == len(rows)
    return set(rows)


@pytest.mark.rule("streaming-086")
async def test_a_purchase_without_an_order_opens_the_title_for_good(till: Till) -> None:
    film = await playable(till, await till.content(("5", "EUR")))
    assert not await till.allowed(till.buyer, film)
    bought = await recorded(till, film, reference="till 3, no. 17", purchased_at=LONG_AGO.isoformat())
    assert (bought["status"], bought["refunded_at"]) == ("PAID", None)
    assert datetime.fromisoformat(bought["purchased_at"]) == LONG_AGO
    assert await till.allowed(till.buyer, film, soon(days=4000))
    assert await listed(till) == {(film["id"], 450, "PAID", None)}
    row = await till.one("SELECT reference, recorded_by FROM direct_purchases")
    assert tuple(row) == ("till 3, no. 17", till.staff.user_id)
    assert await till.library() == set()
    assert await till.topics() == ["purchase.recorded"]


async def test_it_stands_beside_what_orders_brought(till: Till) -> None:
    counter, online = [await till.content(("5", "EUR")) for _ in range(2)]
    order = await till.buys(online)
    await till.pays(order)
    await recorded(till, counter)
    assert await listed(till) == {(counter["id"], 450, "PAID", None), (online["id"], 500, "PAID", order)}


@pytest.mark.rule("streaming-085")
async def test_nothing_is_bought_twice_whichever_way(till: Till) -> None:
    counter, online = [await till.content(("5", "EUR")) for _ in range(2)]
    await till.pays(await till.buys(online))
    await recorded(till, counter)
    again = {"user_id": till.buyer.user_id, "price": "1", "currency": "EUR"}
    for film in (counter, online):
        assert await till.refused(till.staff, "record_direct_purchase", content_id=film["id"], **again) == "PS522"
        more = {"item_type": "CONTENT", "item_id": film["id"], "currency": "EUR"}
        assert await till.refused(till.buyer, "add_to_cart", **more) == "PS522"
    assert len(await listed(till)) == 2


@pytest.mark.rule("streaming-085")
async def test_the_database_holds_it_too(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    await till.pays(await till.buys(film))
    async with till.database.transaction(service()) as tx:
        with pytest.raises(Exception, match="an order has brought this title already"):
            await tx.connection.execute(
                "INSERT INTO direct_purchases (user_id, content_id, price, currency) VALUES ($1, $2, 1, 'EUR')",
                till.buyer.user_id,
                film["id"],
            )


async def test_a_series_bought_later_leaves_it_be_and_takes_its_place_when_it_is_given_back(till: Till) -> None:
    film, other = [await playable(till, await till.content(("5", "EUR"))) for _ in range(2)]
    bought = await recorded(till, film)
    series = await till.playlist("9", film, other)
    order = await till.buys(series)
    await till.pays(order)
    assert await till.library() == {other["id"]}
    assert await listed(till) == {(film["id"], 450, "PAID", None), (other["id"], 0, "PAID", order)}
    given_back = await till.ask(till.staff, "refund_direct_purchase", purchase_id=bought["purchase_id"])
    assert (given_back["status"], given_back["refunded_at"] is None) == ("REFUNDED", False)
    assert await till.library() == {film["id"], other["id"]}
    assert await till.allowed(till.buyer, film)


async def test_what_is_given_back_is_lost_once_and_can_be_bought_again(till: Till) -> None:
    film = await playable(till, await till.content(("5", "EUR")))
    purchase_id = (await recorded(till, film))["purchase_id"]
    first = await till.ask(till.staff, "refund_direct_purchase", purchase_id=purchase_id)
    assert not await till.allowed(till.buyer, film)
    assert await listed(till) == set()
    assert await till.ask(till.staff, "refund_direct_purchase", purchase_id=purchase_id, now=soon(days=1)) == first
    await till.pays(await till.buys(film))
    assert await till.allowed(till.buyer, film)
    assert await till.topics() == ["purchase.recorded", "purchase.refunded", "order.placed", "order.paid"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"price": "-1"}, "PS102"),
        ({"price": "1.234"}, "PS102"),
        ({"currency": "euro"}, "PS102"),
        ({"purchased_at": "2126-01-01T00:00:00Z"}, "PS102"),
        ({"reference": ""}, "PS102"),
        ({"content_id": str(uuid4())}, "PS405"),
        ({"user_id": str(uuid4())}, "PS105"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
async def test_what_cannot_have_been_changes_nothing(till: Till, wrong: dict[str, str], code: str) -> None:
    film = await till.content(("5", "EUR"))
    with pytest.raises(Refusal) as caught:
        await recorded(till, film, **wrong)
    assert caught.value.code.code == code
    assert await till.many("SELECT id FROM direct_purchases") == []
    assert await till.topics() == []


async def test_buyers_record_nothing_and_see_their_own_alone(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    what = {"user_id": till.buyer.user_id, "content_id": film["id"], "price": "0", "currency": "EUR"}
    forbidden = await till.refused(till.buyer, "record_direct_purchase", **what)
    assert forbidden == await till.refused(till.buyer, "refund_direct_purchase", purchase_id=uuid4())
    await recorded(till, film)
    stranger = await till.person()
    for viewer, count in ((till.buyer, 1), (stranger, 0)):
        async with till.database.transaction(viewer) as tx:
            for table in ("direct_purchases", "content_purchases"):
                assert await tx.connection.fetchval(f"SELECT count(*) FROM {table}") == count, table


def test_a_moment_that_has_not_been_is_no_purchase() -> None:
    assert check_purchase(Decimal("1.50"), "EUR", LONG_AGO, LONG_AGO) is None
    assert check_purchase(Decimal("1.50"), "EUR", soon(days=1), soon()) is not None
    assert check_purchase(Decimal("1.50"), "JPY", LONG_AGO, soon()) is not None
