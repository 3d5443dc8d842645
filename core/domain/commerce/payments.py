"""Payments: money that comes in for an order. Every try is a row; the one that succeeds gives out what was bought, in the same transaction.

Knows the providers by name alone: what is said to them is said outside, after the transaction (`core.domain.commands.Outside`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.commerce.billing import BillingAddress, save_address
from core.domain.commerce.cart import buyer_of
from core.domain.commerce.fulfilment import fulfil
from core.domain.commerce.orders import SQL as ORDER_SQL
from core.domain.commerce.orders import check_open, check_order_of
from core.domain.context import Asked
from core.domain.pricing import round_amount
from core.errors import ALREADY_OWNED, AMOUNT_DIFFERS, CONFLICT, NOT_FOUND, ORDER_CLOSED, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "payments.sql")

Provider = Literal["stripe", "manual"]
Method = Literal["razorpay", "stripe", "paypal", "wallet", "bank_transfer"]
LONGEST_URL = 1000

# RULES


def check_return_url(provider: Provider, url: str | None) -> Refusal | None:
    """A page that the provider can send the buyer back to, where it sends them anywhere."""
    if url is None:
        return bad_field("return_url", "is needed for stripe") if provider == "stripe" else None
    try:
        parts = urlsplit(url)
    except ValueError:
        return bad_field("return_url", "must be an http or https address")
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > LONGEST_URL or not url.isprintable():
        return bad_field("return_url", "must be an http or https address")
    return None


def check_amount_paid(row: Row, amount: Decimal, currency: str) -> Refusal | None:
    """What came in is what was owed, to the cent."""
    if (row["amount"], row["currency"]) != (amount, currency):
        return Refusal(
            AMOUNT_DIFFERS,
            data={"owed": str(round_amount(row["amount"], row["currency"])), "currency": row["currency"]},
        )
    return None


# COMMANDS


class PayOrder(Asked, frozen=True):
    """Begins to pay an order: with `stripe` on the page at `pay_url`, which comes back to `return_url`; `manual`, by a transfer
    that names `reference`. An address that is given is kept for the invoice. Asked again, the open try is answered again."""

    order_id: UUID
    provider: Provider
    return_url: str | None = None
    billing_address: BillingAddress | None = None


class PaymentOpened(msgspec.Struct, frozen=True):
    """A try to pay, and how to go on with it."""

    payment_id: UUID
    order_id: UUID
    provider: Provider
    status: str
    amount: Decimal
    currency: str
    reference: str
    pay_url: str | None = None


class RecordPayment(Asked, frozen=True):
    """Staff have received the money for an order: all of it, under a `reference` (of the bank, of the till) that no other payment has."""

    order_id: UUID
    reference: str
    amount: Decimal
    currency: str
    method: Method = "bank_transfer"


class FailPayment(Asked, frozen=True):
    """Staff know that a manual payment will not come. The order stays open for another try."""

    payment_id: UUID
    reason: str


class Payment(msgspec.Struct, frozen=True):
    """A payment, and the state of its order."""

    payment_id: UUID
    order_id: UUID
    status: str
    order_status: str


# HANDLERS


def reference_of(order_id: UUID) -> str:
    """What a buyer writes on a transfer: short enough to type, and the order can be found by it."""
    return order_id.hex[-12:].upper()


async def do_pay_order(tx: Tx, viewer: Viewer, asked: PayOrder, now: datetime) -> PaymentOpened:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND, ORDER_CLOSED, ALREADY_OWNED or about a field."""
    buyer = buyer_of(viewer)
    if refusal := check_return_url(asked.provider, asked.return_url):
        raise refusal
    async with acting_as_service(tx):
        order = await tx.one(ORDER_SQL["order_lock"], asked.order_id)
        if refusal := check_order_of(order, buyer):
            raise refusal
        assert order is not None
        if refusal := check_open(order):
            raise refusal
        if await tx.many(ORDER_SQL["order_owned_many"], asked.order_id, buyer, now):
            raise Refusal(ALREADY_OWNED)
        if asked.billing_address is not None:
            await save_address(tx, buyer, asked.billing_address)
        open_try = await tx.one(SQL["payment_open_get"], asked.order_id, asked.provider)
        method = "stripe" if asked.provider == "stripe" else "bank_transfer"
        payment_id = (
            open_try["id"]
            if open_try
            else await tx.value(SQL["payment_insert"], asked.order_id, asked.provider, method, now)
        )
    return PaymentOpened(
        payment_id,
        asked.order_id,
        asked.provider,
        "INITIATED",
        round_amount(order["total_amount"], order["currency"]),
        order["currency"],
        reference_of(asked.order_id),
    )


async def settle(
    tx: Tx,
    payment_id: UUID,
    transaction_id: str,
    amount: Decimal,
    currency: str,
    now: datetime,
    *,
    is_in: bool = False,
) -> Payment:
    """The money of a payment has come in, as `transaction_id`: the order is paid and what it holds is given out.

    Told twice, nothing happens twice. Money for an order that is closed by then, or (where the money `is_in` and cannot be
    refused) that can no longer be given out, is kept on its row and told to staff (`payment.unmatched`): it has to be given
    back. Runs within `acting_as_service`. Raises Refusal NOT_FOUND, AMOUNT_DIFFERS and, unless `is_in`, COURSE_FULL.
    """
    order, payment = await _lock(tx, payment_id)
    known = await tx.one(SQL["payment_by_transaction"], payment["provider"], transaction_id)
    if known is not None:
        return Payment(known["id"], order["id"], known["status"], order["status"])
    if payment["status"] != "INITIATED":
        # Called off here and paid there, or paid twice: the try stays as it ended, the money gets a row of its own.
        payment = await _another_try(tx, payment, now)
    if refusal := check_amount_paid(payment, amount, currency):
        raise refusal
    await tx.run(SQL["payment_succeed"], payment["id"], now, transaction_id)
    told: dict[str, object] = {
        "order_id": order["id"],
        "payment_id": payment["id"],
        "user_id": order["user_id"],
        "amount": amount,
        "currency": currency,
    }
    status, topic = order["status"], "payment.unmatched"
    if status == "PENDING":
        try:
            async with tx.attempt():
                await tx.run(ORDER_SQL["order_move"], order["id"], "PAID")
                await fulfil(tx, order["id"], order["user_id"], now)
            status, topic = "PAID", "order.paid"
        except Refusal as refusal:
            if not is_in:
                raise
            await tx.run(ORDER_SQL["order_move"], order["id"], "FAILED")
            status, told["reason"] = "FAILED", refusal.code.code
    await emit(tx, topic, f"order:{order['id']}", told)
    return Payment(payment["id"], order["id"], "SUCCESS", status)


async def _lock(tx: Tx, payment_id: UUID) -> tuple[Row, Row]:
    """The order, then the payment, as they are once nobody else can change them. Raises Refusal NOT_FOUND."""
    found = await tx.one(SQL["payment_get"], payment_id)
    if found is None:
        raise Refusal(NOT_FOUND)
    order = await tx.one(ORDER_SQL["order_lock"], found["order_id"])
    payment = await tx.one(SQL["payment_lock"], payment_id)
    assert order is not None
    assert payment is not None
    return order, payment


async def _another_try(tx: Tx, ended: Row, now: datetime) -> Row:
    made = await tx.value(SQL["payment_insert"], ended["order_id"], ended["provider"], None, now)
    payment = await tx.one(SQL["payment_lock"], made)
    assert payment is not None
    return payment


async def end_try(tx: Tx, payment_id: UUID, status: Literal["FAILED", "CANCELLED"], reason: str) -> Payment:
    """No money came of a try. The order waits for another; a try that has ended already stays as it is. Raises Refusal NOT_FOUND.

    Runs within `acting_as_service`.
    """
    order, payment = await _lock(tx, payment_id)
    if payment["status"] != "INITIATED":
        return Payment(payment_id, order["id"], payment["status"], order["status"])
    await tx.run(SQL["payment_end"], payment_id, status, reason)
    told = {"order_id": order["id"], "payment_id": payment_id, "user_id": order["user_id"], "reason": reason}
    await emit(tx, f"payment.{status.lower()}", f"order:{order['id']}", told)
    return Payment(payment_id, order["id"], status, order["status"])


async def do_record_payment(tx: Tx, _: Viewer, asked: RecordPayment, now: datetime) -> Payment:
    """Raises Refusal NOT_FOUND, CONFLICT, AMOUNT_DIFFERS, ORDER_CLOSED or about a field."""
    if not 1 <= len(asked.reference) <= 200 or not asked.reference.isprintable():
        raise bad_field("reference", "must be 1 to 200 letters")
    async with acting_as_service(tx):
        order = await tx.one(ORDER_SQL["order_lock"], asked.order_id)
        if order is None:
            raise Refusal(NOT_FOUND)
        paid = await tx.one(SQL["payment_by_transaction"], "manual", asked.reference)
        if paid is not None and paid["order_id"] != asked.order_id:
            raise Refusal(CONFLICT, "That reference is another order's payment.")
        if paid is None and (refusal := check_open(order)):
            raise refusal
        payment_id = await tx.value(SQL["payment_of_reference"], asked.order_id, asked.reference)
        if payment_id is None:
            payment_id = await tx.value(SQL["payment_insert"], asked.order_id, "manual", asked.method, now)
        return await settle(tx, payment_id, asked.reference, asked.amount, asked.currency, now)


async def do_fail_payment(tx: Tx, _: Viewer, asked: FailPayment, now: datetime) -> Payment:
    """Raises Refusal NOT_FOUND, ORDER_CLOSED or about a field."""
    if not 1 <= len(asked.reason) <= 500:
        raise bad_field("reason", "must be 1 to 500 letters")
    async with acting_as_service(tx):
        row = await tx.one(SQL["payment_get"], asked.payment_id)
        if row is None:
            raise Refusal(NOT_FOUND)
        if row["provider"] != "manual":
            raise bad_field("payment_id", f"{row['provider']} says itself how its payments end")
        if row["status"] not in ("INITIATED", "FAILED"):
            raise Refusal(ORDER_CLOSED, data={"status": row["status"]})
        return await end_try(tx, asked.payment_id, "FAILED", asked.reason)
