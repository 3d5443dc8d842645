"""Subscriptions: a plan, paid ahead for a month or a year. Its period is made longer by an order (fulfilment.py) and by nothing else."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.commerce.cart import BillingPeriod, CartLine, buyer_of, choose_offer, offers_of
from core.domain.commerce.orders import Order, place, read_order
from core.domain.context import Asked
from core.errors import ILLEGAL_MOVE, NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "subscriptions.sql")
RUNNING = frozenset({"trialing", "active", "past_due"})

# RULES


def check_running(row: Row | None, now: datetime) -> Refusal | None:
    """The subscription is the viewer's, and not over."""
    if row is None:
        return Refusal(NOT_FOUND)
    if row["status"] not in RUNNING or row["current_period_end"] <= now:
        return Refusal(ILLEGAL_MOVE, "The subscription is over.", data={"status": row["status"]})
    return None


# COMMANDS


class CancelSubscription(Asked, frozen=True):
    """Ends a subscription with the period that is paid for, or `at_once`. Nothing is given back by that."""

    subscription_id: UUID
    at_once: bool = False


class ResumeSubscription(Asked, frozen=True):
    """Takes back that a subscription was to end with its period."""

    subscription_id: UUID


class RenewSubscription(Asked, frozen=True):
    """Orders the next month or year of a running subscription at today's price. It begins when the present one ends, once it is paid."""

    subscription_id: UUID
    billing_period: BillingPeriod = "month"


class Subscription(msgspec.Struct, frozen=True):
    """A subscription, and when it ends unless it is renewed."""

    subscription_id: UUID
    plan_id: UUID
    status: str
    current_period_end: datetime
    cancel_at_period_end: bool


# HANDLERS


async def do_cancel_subscription(tx: Tx, viewer: Viewer, asked: CancelSubscription, now: datetime) -> Subscription:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND, ILLEGAL_MOVE."""
    person = buyer_of(viewer)
    async with acting_as_service(tx):
        row = await _running(tx, asked.subscription_id, person, now)
        if asked.at_once:
            await tx.run(SQL["subscription_end"], asked.subscription_id, now)
        else:
            await tx.run(SQL["subscription_mark"], asked.subscription_id, True, now)
        if asked.at_once or not row["cancel_at_period_end"]:
            told = {"subscription_id": asked.subscription_id, "user_id": person, "at_once": asked.at_once}
            await emit(tx, "subscription.cancelled", f"subscription:{asked.subscription_id}", told)
        return await _read(tx, asked.subscription_id, person)


async def do_resume_subscription(tx: Tx, viewer: Viewer, asked: ResumeSubscription, now: datetime) -> Subscription:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND, ILLEGAL_MOVE."""
    person = buyer_of(viewer)
    async with acting_as_service(tx):
        row = await _running(tx, asked.subscription_id, person, now)
        if row["cancel_at_period_end"]:
            await tx.run(SQL["subscription_mark"], asked.subscription_id, False, now)
            told = {"subscription_id": asked.subscription_id, "user_id": person}
            await emit(tx, "subscription.resumed", f"subscription:{asked.subscription_id}", told)
        return await _read(tx, asked.subscription_id, person)


async def do_renew_subscription(tx: Tx, viewer: Viewer, asked: RenewSubscription, now: datetime) -> Order:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND, ILLEGAL_MOVE, NOT_FOR_SALE. An order for it that is open already is answered again."""
    person = buyer_of(viewer)
    async with acting_as_service(tx):
        row = await _running(tx, asked.subscription_id, person, now)
        plan_id, period = row["plan_id"], asked.billing_period
        order_id = await tx.value(SQL["renewal_open_get"], person, plan_id, period)
        if order_id is None:
            offer = choose_offer(await offers_of(tx, "PLAN", plan_id, period, now), None, None)
            if isinstance(offer, Refusal):
                raise offer
            assert offer.currency is not None
            line = CartLine(plan_id, "PLAN", plan_id, offer.title, period, offer.price, offer.price, False)
            order_id = await place(tx, person, [line], offer.currency, now)
        return await read_order(tx, order_id)


async def _running(tx: Tx, subscription_id: UUID, person: UUID, now: datetime) -> Row:
    row = await tx.one(SQL["subscription_lock"], subscription_id, person)
    if refusal := check_running(row, now):
        raise refusal
    assert row is not None
    return row


async def _read(tx: Tx, subscription_id: UUID, person: UUID) -> Subscription:
    row = await tx.one(SQL["subscription_lock"], subscription_id, person)
    assert row is not None
    return Subscription(
        row["id"], row["plan_id"], row["status"], row["current_period_end"], row["cancel_at_period_end"]
    )
