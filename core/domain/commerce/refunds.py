"""Refunds: money that goes back. With the last of it goes what it had bought, in the same transaction."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.commerce.fulfilment import take_back
from core.domain.commerce.orders import SQL as ORDER_SQL
from core.domain.commerce.payments import SQL as PAYMENT_SQL
from core.domain.context import Asked
from core.domain.pricing import check_amount, round_amount
from core.errors import NOT_FOUND, NOTHING_TO_REFUND, REFUND_TOO_LARGE, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "refunds.sql")

# RULES


def check_refund(payment: Row, promised: Decimal, amount: Decimal) -> Refusal | None:
    """`amount` can be given back of a payment of which `promised` has been given back, or is on its way."""
    left = payment["amount"] - promised
    if payment["status"] != "SUCCESS" or left <= 0:
        return Refusal(NOTHING_TO_REFUND, data={"status": payment["status"]})
    if refusal := check_amount(amount, payment["currency"]):
        return bad_field("amount", refusal.faults[0].why)
    if amount == 0:
        return bad_field("amount", "must be more than 0")
    if amount > left:
        return Refusal(REFUND_TOO_LARGE, data={"left": str(round_amount(left, payment["currency"]))})
    return None


# COMMANDS


class RefundPayment(Asked, frozen=True):
    """Gives back a payment, or `amount` of it. With the last of it the buyer loses what was bought; whoever plays it is stopped.
    What Stripe was paid goes back through Stripe, and while such a refund is on its way it is asked for again, not made anew;
    of a manual payment staff say here that they have given it back."""

    payment_id: UUID
    amount: Decimal | None = None
    reason: str | None = None


class Refunded(msgspec.Struct, frozen=True):
    """A refund: PENDING while the provider has it, then SUCCESS or FAILED; and what became of its payment and order."""

    refund_id: UUID
    payment_id: UUID
    amount: Decimal
    currency: str
    status: str
    payment_status: str
    order_status: str


# HANDLERS


async def do_refund_payment(tx: Tx, viewer: Viewer, asked: RefundPayment, now: datetime) -> Refunded:
    """Raises Refusal NOT_FOUND, NOTHING_TO_REFUND, REFUND_TOO_LARGE or about a field."""
    if asked.reason is not None and len(asked.reason) > 500:
        raise bad_field("reason", "must be at most 500 letters")
    async with acting_as_service(tx):
        payment = await _lock_payment(tx, asked.payment_id)
        if asked.amount is None or asked.amount.is_finite():
            on_its_way = await tx.value(SQL["refund_open_get"], asked.payment_id, asked.amount)
            if on_its_way is not None:
                return await read_refund(tx, on_its_way)
        sums = await tx.one(SQL["refunded_get"], asked.payment_id)
        assert sums is not None
        amount = payment["amount"] - sums["promised"] if asked.amount is None else asked.amount
        if refusal := check_refund(payment, sums["promised"], amount):
            raise refusal
        refund_id = await tx.value(SQL["refund_insert"], asked.payment_id, amount, asked.reason, viewer.user_id, now)
        if payment["provider"] == "manual":
            return await settle_refund(tx, refund_id, f"manual-{refund_id}", now)
        return await read_refund(tx, refund_id)


async def settle_refund(tx: Tx, refund_id: UUID, provider_refund_id: str, now: datetime) -> Refunded:
    """The money of a refund is back with the buyer. Told twice, nothing happens twice.

    Runs within `acting_as_service`. Raises Refusal NOT_FOUND.
    """
    refund = await _find(tx, refund_id)
    payment = await _lock_payment(tx, refund["payment_id"])
    refund = await _find(tx, refund_id)
    if refund["status"] != "PENDING":
        return await read_refund(tx, refund_id)
    await tx.run(SQL["refund_succeed"], refund_id, provider_refund_id, now)
    sums = await tx.one(SQL["refunded_get"], payment["id"])
    assert sums is not None
    told = {
        "refund_id": refund_id,
        "payment_id": payment["id"],
        "order_id": payment["order_id"],
        "user_id": payment["user_id"],
        "amount": refund["amount"],
        "currency": refund["currency"],
    }
    await emit(tx, "payment.refunded", f"order:{payment['order_id']}", told)
    if sums["done"] == payment["amount"]:
        await tx.run(SQL["payment_refund"], payment["id"])
        await _end_order(tx, payment, now)
    return await read_refund(tx, refund_id)


async def _end_order(tx: Tx, payment: Row, now: datetime) -> None:
    order = await tx.one(ORDER_SQL["order_lock"], payment["order_id"])
    assert order is not None
    # One that was paid twice stays paid when one of the two goes back.
    if order["status"] == "PAID" and not await tx.value(SQL["order_still_paid"], order["id"]):
        await tx.run(ORDER_SQL["order_move"], order["id"], "REFUNDED")
        await take_back(tx, order["id"], order["user_id"], now)
        told = {"order_id": order["id"], "user_id": order["user_id"]}
        await emit(tx, "order.refunded", f"order:{order['id']}", told)


async def fail_refund(tx: Tx, refund_id: UUID, provider_refund_id: str | None) -> Refunded:
    """The provider could not give it back. Runs within `acting_as_service`. Raises Refusal NOT_FOUND."""
    refund = await _find(tx, refund_id)
    payment = await _lock_payment(tx, refund["payment_id"])
    refund = await _find(tx, refund_id)
    if refund["status"] == "PENDING":
        await tx.run(SQL["refund_fail"], refund_id, provider_refund_id)
        told = {"refund_id": refund_id, "payment_id": payment["id"], "order_id": payment["order_id"]}
        await emit(tx, "refund.failed", f"order:{payment['order_id']}", told)
    return await read_refund(tx, refund_id)


async def read_refund(tx: Tx, refund_id: UUID) -> Refunded:
    """A refund that is there, with its payment and order, which are locked. Runs within `acting_as_service`."""
    refund = await _find(tx, refund_id)
    payment = await tx.one(PAYMENT_SQL["payment_get"], refund["payment_id"])
    order = await tx.one(ORDER_SQL["order_get"], refund["order_id"])
    assert payment is not None
    assert order is not None
    amount = round_amount(refund["amount"], refund["currency"])
    return Refunded(
        refund_id, payment["id"], amount, refund["currency"], refund["status"], payment["status"], order["status"]
    )


async def _find(tx: Tx, refund_id: UUID) -> Row:
    refund = await tx.one(SQL["refund_get"], refund_id)
    if refund is None:
        raise Refusal(NOT_FOUND)
    return refund


async def _lock_payment(tx: Tx, payment_id: UUID) -> Row:
    """The payment, its order locked before it, as everybody else does. Raises Refusal NOT_FOUND."""
    found = await tx.one(PAYMENT_SQL["payment_get"], payment_id)
    if found is None:
        raise Refusal(NOT_FOUND)
    await tx.one(ORDER_SQL["order_lock"], found["order_id"])
    payment = await tx.one(PAYMENT_SQL["payment_lock"], payment_id)
    assert payment is not None
    return payment
