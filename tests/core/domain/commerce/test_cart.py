"""The cart and the order made of it: today's prices, one currency, nothing twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.commerce.cart import Offered, choose_offer
from core.errors import Refusal
from core.viewer import GUEST
from tests.core.domain.commerce.shopping import Till


@pytest.mark.rule("streaming-070")
@pytest.mark.rule("streaming-072")
@pytest.mark.rule("streaming-075")
async def test_an_order_is_at_the_prices_of_its_day_and_stays_so(till: Till) -> None:
    film = await till.content(("9.90", "EUR"))
    cart = await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    assert [(line["price"], line["price_now"], line["title"]) for line in cart["items"]] == [
        ("9.90", "9.90", film["title"])
    ]
    await till.ask(till.staff, "add_content_price", content_id=film["id"], price="4.50", currency="EUR")
    cart = await till.ask(till.buyer, "view_cart")
    assert [(line["price"], line["price_now"]) for line in cart["items"]] == [("9.90", "4.50")]
    assert (cart["total"], cart["currency"]) == ("4.50", "EUR")
    order = await till.ask(till.buyer, "checkout")
    assert (order["status"], order["total_amount"], [line["price"] for line in order["items"]]) == (
        "PENDING",
        "4.50",
        ["4.50"],
    )
    await till.ask(till.staff, "add_content_price", content_id=film["id"], price="99", currency="EUR")
    assert await till.many("SELECT price FROM order_items") == [Decimal("4.5")]
    assert (await till.ask(till.buyer, "view_cart"))["items"] == []
    assert await till.topics() == ["content.priced", "order.placed", "content.priced"]


async def test_prices_that_changed_are_not_taken_unseen(till: Till) -> None:
    film = await till.content(("9.90", "EUR"))
    await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    await till.ask(till.staff, "add_content_price", content_id=film["id"], price="12", currency="EUR")
    assert await till.refused(till.buyer, "checkout", expected_total="9.90") == "PS523"
    assert await till.many("SELECT id FROM orders") == []
    assert (await till.ask(till.buyer, "checkout", expected_total="12"))["total_amount"] == "12.00"


async def test_a_cart_is_in_one_currency(till: Till) -> None:
    film = await till.content(("9.90", "EUR"), ("11", "USD"))
    other = await till.content(("1200", "JPY"))
    free = await till.content(is_free=True)
    add = {"item_type": "CONTENT", "item_id": film["id"]}
    assert await till.refused(till.buyer, "add_to_cart", **add) == "PS102"
    assert await till.refused(till.buyer, "add_to_cart", **add, currency="GBP") == "PS521"
    await till.ask(till.buyer, "add_to_cart", **add, currency="USD")
    assert await till.refused(till.buyer, "add_to_cart", item_type="CONTENT", item_id=other["id"]) == "PS520"
    assert (
        await till.refused(till.buyer, "add_to_cart", item_type="CONTENT", item_id=other["id"], currency="JPY")
        == "PS520"
    )
    cart = await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=free["id"])
    assert [(line["price_now"]) for line in cart["items"]] == ["11.00", "0.00"]
    assert (cart["currency"], cart["total"]) == ("USD", "11.00")


async def test_what_is_not_for_sale_is_not_bought(till: Till) -> None:
    hidden = await till.rows.make("contents")
    priceless = await till.content()
    subscribed = await till.course("0", pricing_type="subscription")
    yearly = await till.plan(None, "90")
    things = [
        ("CONTENT", hidden),
        ("CONTENT", priceless),
        ("COURSE", subscribed),
        ("PLAN", yearly),
        ("PLAYLIST", {"id": uuid4()}),
    ]
    for kind, thing in things:
        assert await till.refused(till.buyer, "add_to_cart", item_type=kind, item_id=thing["id"]) == "PS521"
    assert (
        await till.refused(
            till.buyer, "add_to_cart", item_type="CONTENT", item_id=priceless["id"], billing_period="year"
        )
        == "PS102"
    )
    assert await till.refused(GUEST, "add_to_cart", item_type="CONTENT", item_id=priceless["id"]) == "PS301"
    assert await till.refused(till.buyer, "checkout") == "PS519"


async def test_what_left_the_shop_meanwhile_holds_the_order_up(till: Till) -> None:
    film, other = await till.content(("5", "EUR")), await till.content(("7", "EUR"))
    for thing in (film, other):
        await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=thing["id"])
    await till.ask(till.staff, "unpublish_content", content_id=film["id"])
    cart = await till.ask(till.buyer, "view_cart")
    assert (cart["items"][0]["price_now"], cart["total"]) == (None, None)
    with pytest.raises(Refusal) as caught:
        await till.ask(till.buyer, "checkout")
    assert (caught.value.code.code, [fault.path for fault in caught.value.faults]) == ("PS521", ["items[0]"])
    await till.ask(till.buyer, "remove_from_cart", cart_item_id=cart["items"][0]["id"])
    assert (await till.ask(till.buyer, "checkout"))["total_amount"] == "7.00"


async def test_a_line_is_taken_out_by_whose_cart_it_is(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    cart = await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    line = cart["items"][0]["id"]
    assert await till.refused(await till.person(), "remove_from_cart", cart_item_id=line) == "PS105"
    assert await till.refused(till.staff, "remove_from_cart", cart_item_id=line) == "PS105"
    assert (await till.ask(till.buyer, "remove_from_cart", cart_item_id=line))["items"] == []


async def test_what_is_free_is_had_at_once(till: Till) -> None:
    film, course = await till.content(is_free=True), await till.course("0", pricing_type="free")
    for kind, thing in (("CONTENT", film), ("COURSE", course)):
        await till.ask(till.buyer, "add_to_cart", item_type=kind, item_id=thing["id"])
    order = await till.ask(till.buyer, "checkout")
    assert (order["status"], order["total_amount"]) == ("PAID", "0.00")
    assert await till.library() == {film["id"]}
    assert await till.many("SELECT status FROM enrollments WHERE user_id = $1", till.buyer.user_id) == ["active"]


async def test_what_is_owned_is_not_bought_again(till: Till) -> None:
    film, course, plan = await till.content(("5", "EUR")), await till.course("20"), await till.plan("3")
    series = await till.playlist("12", film)
    await till.pays(await till.buys(film, course, plan))
    for kind, thing in (("CONTENT", film), ("COURSE", course), ("PLAN", plan), ("PLAYLIST", series)):
        assert await till.refused(till.buyer, "add_to_cart", item_type=kind, item_id=thing["id"]) == "PS522"


async def test_owned_meanwhile_is_neither_ordered_nor_paid_again(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    first, second = await till.buys(film), await till.buys(film)
    await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    await till.pays(first)
    assert await till.refused(till.buyer, "checkout") == "PS522"
    assert await till.refused(till.buyer, "pay_order", order_id=second, provider="manual") == "PS522"


async def test_two_clicks_make_one_order(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    clicks = await asyncio.gather(*(till.ask(till.buyer, "checkout") for _ in range(4)), return_exceptions=True)
    assert sorted(click.code.code for click in clicks if isinstance(click, Refusal)) == ["PS519"] * 3
    assert len(await till.many("SELECT id FROM orders")) == 1


async def test_the_same_key_is_answered_with_the_same_order(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    await till.ask(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"])
    first = await till.ask(till.buyer, "checkout", key="once")
    assert await till.ask(till.buyer, "checkout", key="once") == first


async def test_a_cart_has_room_for_a_hundred(till: Till) -> None:
    cart = (await till.rows.make("carts", user_id=till.buyer.user_id))["id"]
    for _ in range(100):
        await till.rows.make("cart_items", cart_id=cart, price=1, currency="EUR")
    film = await till.content(("5", "EUR"))
    assert await till.refused(till.buyer, "add_to_cart", item_type="CONTENT", item_id=film["id"]) == "PS102"


@pytest.mark.rule("podcast-120")
async def test_a_tier_of_the_installation_is_offered_to_every_tenant(till: Till) -> None:
    tier = await till.rows.make(
        "plans", tenant_id=None, name="Everywhere", price_monthly="5", price_yearly="50", currency="EUR"
    )
    other = (await till.rows.make("tenants"))["id"]
    for tenant_id in (till.buyer.tenant_id, other):
        viewer = type(till.buyer)(tenant_id, till.buyer.user_id, "authenticated")
        for period, price in (("month", "5.00"), ("year", "50.00")):
            cart = await till.ask(viewer, "add_to_cart", item_type="PLAN", item_id=tier["id"], billing_period=period)
            assert cart["total"] == price
            await till.ask(viewer, "remove_from_cart", cart_item_id=cart["items"][0]["id"])


_OFFERS = st.lists(
    st.builds(Offered, st.just("A"), st.decimals(0, 1000, places=4), st.sampled_from(["EUR", "USD", "JPY", "KWD"])),
    max_size=4, unique_by=lambda offer: offer.currency,
)  # fmt: skip


@given(_OFFERS, st.none() | st.sampled_from(["EUR", "GBP"]), st.none() | st.sampled_from(["EUR", "GBP"]))
def test_the_offer_chosen_is_one_that_was_made_in_the_carts_currency(
    offers: list[Offered], wanted: str | None, held: str | None
) -> None:
    chosen = choose_offer(offers, wanted, held)
    if isinstance(chosen, Refusal):
        assert (held or wanted) not in {offer.currency for offer in offers} or (held and wanted and held != wanted)
    else:
        assert chosen.currency in {offer.currency for offer in offers}
        assert held in (None, chosen.currency)
        assert wanted in (None, chosen.currency)
