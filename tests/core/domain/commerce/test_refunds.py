"""Money back: never more than came in, and with the last of it what was bought."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain.commands import acting_as_service
from core.domain.commerce.refunds import fail_refund, settle_refund
from core.errors import Refusal
from core.viewer import service
from tests.core.domain.commerce.shopping import Till, soon


@pytest.mark.rule("edupeak-115")
@pytest.mark.rule("edupeak-116")
async def test_a_full_refund_takes_everything_back(till: Till) -> None:
    film, course, plan = await till.content(("5", "EUR")), await till.course("20"), await till.plan("3")
    series = await till.playlist("9", await till.content(("5", "EUR")))
    other = await till.person()
    await till.pays(await till.buys(film, viewer=other), "other")
    payment = await till.pays(await till.buys(film, course, plan, series))
    answer = await till.ask(till.staff, "refund_payment", payment_id=payment, reason="did not like it")
    assert (answer["status"], answer["amount"]) == ("SUCCESS", "37.00")
    assert (answer["payment_status"], answer["order_status"]) == ("REFUNDED", "REFUNDED")
    assert await till.library() == set()
    assert await till.library(other) == {film["id"]}
    assert await till.many("SELECT status FROM enrollments") == ["cancelled"]
    assert await till.many("SELECT status FROM subscriptions") == ["cancelled"]
    assert await till.many("SELECT status FROM billing_transactions") == ["refunded"]
    row = await till.one("SELECT * FROM refunds")
    assert (row["amount"], row["reason"], row["created_by"]) == (37, "did not like it", till.staff.user_id)
    assert row["refunded_at"] is not None
    assert not await till.allowed(till.buyer, film)
    assert (await till.topics())[-3:] == ["payment.refunded", "subscription.shortened", "order.refunded"]


async def test_whoever_loses_a_title_is_announced(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    payment = await till.pays(await till.buys(film))
    heard: list[str] = []
    connection = till.rows.connection
    await connection.add_listener("penstock_changed", lambda _c, _p, _ch, payload: heard.append(str(payload)))
    await till.ask(till.staff, "refund_payment", payment_id=payment)
    await connection.fetchval("SELECT true")
    assert any(str(till.buyer.user_id) in said and str(film["id"]) in said for said in heard)


async def test_a_part_that_is_given_back_takes_nothing(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    payment = await till.pays(await till.buys(film))
    first = await till.ask(till.staff, "refund_payment", payment_id=payment, amount="1.50")
    assert (first["payment_status"], first["order_status"]) == ("SUCCESS", "PAID")
    assert await till.library() == {film["id"]}
    assert await till.refused(till.staff, "refund_payment", payment_id=payment, amount="3.51") == "PS512"
    rest = await till.ask(till.staff, "refund_payment", payment_id=payment)
    assert (rest["amount"], rest["payment_status"], rest["order_status"]) == ("3.50", "REFUNDED", "REFUNDED")
    assert await till.library() == set()
    assert await till.refused(till.staff, "refund_payment", payment_id=payment) == "PS528"


async def test_a_title_that_another_order_holds_stays(till: Till) -> None:
    film, other = await till.content(("5", "EUR")), await till.content(("5", "EUR"))
    first = await till.pays(await till.buys(film))
    series = await till.playlist("9", film, other)
    later = await till.buys(series)
    second = await till.pays(later)
    await till.ask(till.staff, "refund_payment", payment_id=first)
    assert await till.library() == {film["id"], other["id"]}
    assert set(await till.many("SELECT order_id FROM user_library")) == {later}
    await till.ask(till.staff, "refund_payment", payment_id=second)
    assert await till.library() == set()


async def test_what_came_to_a_playlist_later_does_not_come_with_a_refund(till: Till) -> None:
    film, other, late = [await till.content(("5", "EUR")) for _ in range(3)]
    series = await till.playlist("9", film, other)
    first = await till.pays(await till.buys(film))
    await till.pays(await till.buys(series))
    await till.rows.make("playlist_episodes", playlist_id=series["id"], content_id=late["id"], episode_order=3)
    await till.ask(till.staff, "refund_payment", payment_id=first)
    assert await till.library() == {film["id"], other["id"]}


async def test_a_renewal_given_back_takes_its_own_period_alone(till: Till) -> None:
    plan = await till.plan("3", "30")
    await till.pays(await till.buys(plan, period="year"))
    started = await till.one("SELECT id, current_period_end FROM subscriptions")
    order = await till.ask(till.buyer, "renew_subscription", subscription_id=started["id"])
    payment = await till.pays(UUID(order["order_id"]))
    longer = await till.one("SELECT status, current_period_end FROM subscriptions")
    assert longer["current_period_end"] > started["current_period_end"]
    await till.ask(till.staff, "refund_payment", payment_id=payment)
    after = await till.one("SELECT status, current_period_end FROM subscriptions")
    assert (after["status"], after["current_period_end"]) == ("active", started["current_period_end"])


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity"])
async def test_an_amount_that_cannot_be_given_back_is_refused(till: Till, amount: str) -> None:
    payment = await till.pays(await till.buys(await till.content(("5", "EUR"))))
    assert await till.refused(till.staff, "refund_payment", payment_id=payment, amount=amount) == "PS102"
    assert await till.many("SELECT id FROM refunds") == []


@pytest.mark.rule("edupeak-117")
@pytest.mark.rule("lms-055")
async def test_only_what_came_in_goes_back_and_only_by_staff(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    opened = await till.ask(till.buyer, "pay_order", order_id=order, provider="manual")
    assert await till.refused(till.staff, "refund_payment", payment_id=opened["payment_id"]) == "PS528"
    assert await till.refused(till.staff, "refund_payment", payment_id=uuid4()) == "PS105"
    assert await till.refused(till.buyer, "refund_payment", payment_id=opened["payment_id"]) == "PS304"


async def test_refunds_at_the_same_time_never_give_back_more_than_came_in(till: Till) -> None:
    payment = await till.pays(await till.buys(await till.content(("5", "EUR"))))
    asked = [till.ask(till.staff, "refund_payment", payment_id=payment, amount="1.30") for _ in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    given = [answer for answer in answers if not isinstance(answer, Refusal)]
    # Whoever waited too long for the others is told so, and has given nothing back.
    assert {answer.code.code for answer in answers if isinstance(answer, Refusal)} <= {"PS512", "PS903", "PS902"}
    sums = await till.one("SELECT sum(amount) AS back, count(*) AS rows FROM refunds")
    assert (sums["back"], sums["rows"]) == (Decimal("1.30") * len(given), len(given))
    assert 1 <= len(given) <= 3


async def stripe_refund(till: Till, amount: str = "5") -> UUID:
    """A refund that is with the provider, of a payment of 5 EUR."""
    order = await till.buys(await till.content(("5", "EUR")))
    made = await till.rows.make(
        "payments", order_id=order, user_id=till.buyer.user_id, provider="stripe", amount=5, currency="EUR",
        status="SUCCESS", paid_at="now", provider_transaction_id="pi_1",
    )  # fmt: skip
    await till.rows.connection.execute("UPDATE orders SET status = 'PAID' WHERE id = $1", order)
    answer = await till.ask(till.staff, "refund_payment", payment_id=made["id"], amount=amount)
    assert answer["status"] == "PENDING"
    return UUID(answer["refund_id"])


async def test_a_refund_waits_for_its_provider_and_is_settled_once(till: Till) -> None:
    refund = await stripe_refund(till)
    payment = await till.one("SELECT id FROM payments")
    assert await till.refused(till.staff, "refund_payment", payment_id=payment["id"], amount="1") == "PS528"
    for _ in range(2):
        async with till.database.transaction(service()) as tx, acting_as_service(tx):
            settled = await settle_refund(tx, refund, "re_1", soon())
        assert (settled.status, settled.payment_status, settled.order_status) == ("SUCCESS", "REFUNDED", "REFUNDED")
    assert (await till.topics()).count("payment.refunded") == 1


async def test_a_refund_that_fails_can_be_tried_again(till: Till) -> None:
    refund = await stripe_refund(till)
    async with till.database.transaction(service()) as tx, acting_as_service(tx):
        assert (await fail_refund(tx, refund, "re_1")).status == "FAILED"
        assert (await settle_refund(tx, refund, "re_1", soon())).status == "FAILED"
    payment = await till.one("SELECT id, status::text FROM payments")
    assert payment["status"] == "SUCCESS"
    assert (await till.ask(till.staff, "refund_payment", payment_id=payment["id"]))["status"] == "PENDING"


_CENTS = st.integers(1, 2_000)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prices=st.lists(_CENTS, min_size=1, max_size=4), parts=st.lists(_CENTS, max_size=5))
async def test_lines_add_up_to_the_order_and_refunds_stay_within_it(
    till: Till, prices: list[int], parts: list[int]
) -> None:
    buyer = await till.person()
    things = [await till.content((str(Decimal(cents) / 100), "EUR")) for cents in prices]
    order = await till.buys(*things, viewer=buyer)
    total = (await till.one("SELECT total_amount FROM orders WHERE id = $1", order))[0]
    assert total == Decimal(sum(prices)) / 100
    assert sum(await till.many("SELECT price FROM order_items WHERE order_id = $1", order)) == total
    payment = await till.pays(order)
    left = total
    for cents in parts:
        part = Decimal(cents) / 100
        if left <= 0:
            assert await till.refused(till.staff, "refund_payment", payment_id=payment, amount=str(part)) == "PS528"
        elif part > left:
            assert await till.refused(till.staff, "refund_payment", payment_id=payment, amount=str(part)) == "PS512"
        else:
            await till.ask(till.staff, "refund_payment", payment_id=payment, amount=str(part))
            left -= part
    assert (await till.one("SELECT coalesce(sum(amount), 0) FROM refunds WHERE payment_id = $1", payment))[
        0
    ] == total - left
    assert await till.library(buyer) == (set() if left == 0 else {thing["id"] for thing in things})
