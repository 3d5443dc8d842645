"""Subscriptions: begun and made longer by what is paid, ended by their person, by a refund or by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.viewer import service
from tests.core.domain.commerce.shopping import Till, soon


async def ended(till: Till, at: datetime) -> int:
    """What the keeper does; how many it ended."""
    async with till.database.transaction(service()) as tx:
        return int(await tx.connection.fetchval("SELECT end_subscriptions($1)", at))


async def subscribed(till: Till, period: str = "month") -> UUID:
    """A subscription that was paid for."""
    plan = await till.plan("3", "30")
    await till.pays(await till.buys(plan, period=period))
    return (await till.one("SELECT id FROM subscriptions"))[0]  # type: ignore[no-any-return]  # a record


@pytest.mark.parametrize(("period", "days", "price"), [("month", {28, 29, 30, 31}, 3), ("year", {365, 366}, 30)])
async def test_a_plan_that_is_paid_opens_the_catalogue_for_its_period(
    till: Till, period: str, days: set[int], price: int
) -> None:
    film = await till.content(in_subscription=True)
    assert not await till.allowed(till.buyer, film)
    await subscribed(till, period)
    row = await till.one("SELECT * FROM subscriptions")
    assert (row["current_period_end"] - row["current_period_start"]).days in days
    assert (row["status"], row["user_id"], row["provider"]) == ("active", till.buyer.user_id, "manual")
    billed = await till.one("SELECT * FROM billing_transactions")
    assert (billed["amount"], billed["currency"], billed["status"], billed["subscription_id"]) == (
        price,
        "EUR",
        "succeeded",
        row["id"],
    )
    assert (billed["period_start"], billed["period_end"]) == (row["current_period_start"], row["current_period_end"])
    assert await till.topics() == ["order.placed", "subscription.started", "order.paid"]


async def test_a_renewal_begins_where_the_present_period_ends(till: Till) -> None:
    which = await subscribed(till)
    before = await till.one("SELECT current_period_end FROM subscriptions")
    order = await till.ask(till.buyer, "renew_subscription", subscription_id=which, billing_period="year")
    assert (order["total_amount"], order["items"][0]["billing_period"]) == ("30.00", "year")
    again = await till.ask(till.buyer, "renew_subscription", subscription_id=which, billing_period="year")
    assert again["order_id"] == order["order_id"]
    await till.pays(UUID(order["order_id"]))
    after = await till.one("SELECT id, current_period_end FROM subscriptions")
    assert after["id"] == which
    assert (after["current_period_end"] - before["current_period_end"]).days in {365, 366}
    assert (await till.topics())[-2:] == ["subscription.renewed", "order.paid"]


@pytest.mark.rule("lms-056")
@pytest.mark.rule("lms-057")
async def test_a_cancelled_subscription_lasts_to_the_end_of_its_period(till: Till) -> None:
    which = await subscribed(till)
    answer = await till.ask(till.buyer, "cancel_subscription", subscription_id=which)
    assert (answer["status"], answer["cancel_at_period_end"]) == ("active", True)
    end = datetime.fromisoformat(answer["current_period_end"])
    assert await ended(till, end - timedelta(seconds=1)) == 0
    assert await ended(till, end) == 1
    row = await till.one("SELECT status, cancelled_at FROM subscriptions")
    assert row["status"] == "cancelled"
    assert row["cancelled_at"] is not None
    assert (await till.topics())[-2:] == ["subscription.cancelled", "subscription.ended"]


async def test_a_cancellation_can_be_taken_back_in_time(till: Till) -> None:
    which = await subscribed(till)
    await till.ask(till.buyer, "cancel_subscription", subscription_id=which)
    answer = await till.ask(till.buyer, "resume_subscription", subscription_id=which)
    assert (answer["status"], answer["cancel_at_period_end"]) == ("active", False)
    assert await ended(till, soon(days=40)) == 1
    assert await till.many("SELECT status FROM subscriptions") == ["expired"]
    for command in ("cancel_subscription", "resume_subscription", "renew_subscription"):
        assert await till.refused(till.buyer, command, subscription_id=which) == "PS504"


async def test_a_subscription_can_be_ended_at_once(till: Till) -> None:
    which = await subscribed(till)
    answer = await till.ask(till.buyer, "cancel_subscription", subscription_id=which, at_once=True)
    assert answer["status"] == "cancelled"
    plan = await till.one("SELECT * FROM plans")
    await till.pays(await till.buys(plan), "again")
    assert sorted(await till.many("SELECT status::text FROM subscriptions")) == ["active", "cancelled"]


async def test_a_period_that_is_over_does_not_stand_in_the_way_of_a_new_one(till: Till) -> None:
    await subscribed(till)
    await till.rows.connection.execute(
        "UPDATE subscriptions SET current_period_start = now() - interval '2 days', current_period_end = now() - interval '1 day'"
    )
    plan = await till.one("SELECT * FROM plans")
    await till.pays(await till.buys(plan), "again")
    rows = await till.rows.connection.fetch(
        "SELECT status::text, current_period_end > now() AS runs FROM subscriptions ORDER BY runs"
    )
    assert [(row["status"], row["runs"]) for row in rows] == [("expired", False), ("active", True)]


async def test_nobody_else_touches_a_subscription(till: Till) -> None:
    which, other = await subscribed(till), await till.person()
    for command in ("cancel_subscription", "resume_subscription", "renew_subscription"):
        for viewer in (other, till.staff):
            assert await till.refused(viewer, command, subscription_id=which) == "PS105"
        assert await till.refused(till.buyer, command, subscription_id=uuid4()) == "PS105"


async def test_orders_that_nobody_pays_end_after_a_week(till: Till) -> None:
    left, transfer, fresh = [await till.buys(await till.content(("5", "EUR"))) for _ in range(3)]
    await till.ask(till.buyer, "pay_order", order_id=left, provider="stripe", return_url="https://shop.example/")
    await till.ask(till.buyer, "pay_order", order_id=transfer, provider="manual")
    for days, done in ((6, 0), (8, 2), (8, 0), (70, 1)):
        async with till.database.transaction(service()) as tx:
            assert (
                await tx.connection.fetchval("SELECT end_orders($1)", datetime.now(UTC) + timedelta(days=days)) == done
            )
        if days == 8:
            states = dict(await till.rows.connection.fetch("SELECT id, status::text FROM orders"))
            assert states == {left: "FAILED", transfer: "PENDING", fresh: "FAILED"}
    assert await till.many("SELECT status::text FROM payments") == ["CANCELLED", "CANCELLED"]
