"""Giving out what was paid for, and taking it back: library, courses, subscriptions. Each is written with the money that moves it.

All of it runs within `acting_as_service`, with the order locked.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.database import Row, Tx
from core.domain.commands import emit
from core.queries import load

SQL = load("core.domain.commerce", "fulfilment.sql")


async def fulfil(tx: Tx, order_id: UUID, buyer: UUID, now: datetime) -> None:
    """Everything that an order, which is PAID by now, holds. Raises Refusal COURSE_FULL."""
    await tx.run(SQL["library_fill"], buyer, order_id, None, now)
    begun = await tx.many(SQL["courses_begin"], order_id, buyer)
    if len(begun) == 1:
        await tx.run(SQL["payment_name_enrollment"], order_id, begun[0]["enrollment_id"])
    for line in await tx.many(SQL["plan_lines_many"], order_id):
        await _subscribe(tx, order_id, buyer, line, now)
    for brought in await tx.many(SQL["referral_convert"], buyer, order_id):
        told = {"referral_id": brought["id"], "referrer_id": brought["referrer_id"], "order_id": order_id}
        await emit(tx, "referral.converted", f"referral:{brought['id']}", told)


async def _subscribe(tx: Tx, order_id: UUID, buyer: UUID, line: Row, now: datetime) -> None:
    plan_id, period = line["plan_id"], line["billing_period"]
    topic = "subscription.renewed"
    paid = await tx.one(SQL["subscription_extend"], buyer, plan_id, now, period)
    if paid is None:
        topic = "subscription.started"
        await tx.run(SQL["subscription_close_past"], buyer, plan_id, now)
        paid = await tx.one(SQL["subscription_start"], buyer, plan_id, now, period, order_id)
    assert paid is not None
    billed = (line["price"], line["currency"], paid["period_start"], paid["period_end"], now)
    await tx.run(SQL["billing_insert"], buyer, plan_id, paid["id"], order_id, *billed)
    told = {"subscription_id": paid["id"], "user_id": buyer, "plan_id": plan_id, "until": paid["period_end"]}
    await emit(tx, topic, f"subscription:{paid['id']}", told)


async def take_back(tx: Tx, order_id: UUID, buyer: UUID, now: datetime) -> None:
    """What an order, which is REFUNDED by now, gave. A title that another paid order holds as well stays with the buyer."""
    taken = [row["content_id"] for row in await tx.many(SQL["library_take_back"], order_id)]
    if taken:
        await tx.run(SQL["library_fill"], buyer, None, taken, now)
    await tx.run(SQL["courses_end"], order_id)
    for row in await tx.many(SQL["periods_take_back"], order_id, now):
        told = {"subscription_id": row["id"], "user_id": buyer, "order_id": order_id}
        await emit(tx, "subscription.shortened", f"subscription:{row['id']}", told)
