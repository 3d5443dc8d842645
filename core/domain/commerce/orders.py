"""Orders: what was bought, at the prices of that day, in one currency. How they are paid is payments.py's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.commerce.cart import SQL as CART_SQL
from core.domain.commerce.cart import BillingPeriod, Cart, CartLine, ItemType, buyer_of, read_cart
from core.domain.commerce.fulfilment import fulfil
from core.domain.context import Asked
from core.domain.pricing import round_amount
from core.errors import ALREADY_OWNED, CART_EMPTY, NOT_FOR_SALE, NOT_FOUND, ORDER_CLOSED, PRICE_CHANGED, Fault, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "orders.sql")

# RULES


def check_cart(cart: Cart, expected_total: Decimal | None) -> Refusal | None:
    """The cart can be ordered as it is: something is in it, all of it for sale, nothing of it owned, at the total that was expected."""
    if not cart.items:
        return Refusal(CART_EMPTY)
    if gone := _faults(cart, lambda line: line.price_now is None, "is no longer for sale"):
        return Refusal(NOT_FOR_SALE, faults=gone)
    if owned := _faults(cart, lambda line: line.is_owned, "is yours already"):
        return Refusal(ALREADY_OWNED, faults=owned)
    if expected_total is not None and expected_total != cart.total:
        return Refusal(PRICE_CHANGED, data={"total": str(cart.total), "currency": cart.currency})
    return None


def _faults(cart: Cart, is_at_fault: Callable[[CartLine], bool], why: str) -> tuple[Fault, ...]:
    return tuple(Fault(f"items[{n}]", why) for n, line in enumerate(cart.items) if is_at_fault(line))


def check_order_of(row: Row | None, buyer: UUID) -> Refusal | None:
    """The order is there, and this person's."""
    return Refusal(NOT_FOUND) if row is None or row["user_id"] != buyer else None


def check_open(row: Row) -> Refusal | None:
    """The order waits for a payment."""
    return None if row["status"] == "PENDING" else Refusal(ORDER_CLOSED, data={"status": row["status"]})


# COMMANDS


class Checkout(Asked, frozen=True):
    """Makes an order of all that lies in the cart, at today's prices, and empties it. An order of nothing but free things is paid
    at once. With `expected_total` it is refused when the prices have come to something else meanwhile."""

    expected_total: Decimal | None = None


class CancelOrder(Asked, frozen=True):
    """Gives up an order that is not paid."""

    order_id: UUID


class OrderLine(msgspec.Struct, frozen=True):
    """One thing that was ordered, at the price of that day."""

    item_type: ItemType
    item_id: UUID | None
    title: str | None
    price: Decimal
    billing_period: BillingPeriod | None


class Order(msgspec.Struct, frozen=True):
    """An order: PENDING until it is paid, then PAID; FAILED when it was given up, REFUNDED when all was given back."""

    order_id: UUID
    status: str
    total_amount: Decimal
    currency: str
    items: list[OrderLine]


# HANDLERS


async def place(tx: Tx, buyer: UUID, lines: Sequence[CartLine], currency: str, now: datetime) -> UUID:
    """A new order of these lines at their prices of now; paid at once when they cost nothing. Runs within `acting_as_service`."""
    priced = [(line, line.price_now) for line in lines if line.price_now is not None]
    total = sum((price for _, price in priced), Decimal(0))
    order_id: UUID = await tx.value(SQL["order_insert"], buyer, total, currency, now)
    for line, price in priced:
        what = (line.item_type, line.item_id, line.title, price, line.billing_period)
        await tx.run(SQL["order_line_insert"], order_id, *what)
    told = {"order_id": order_id, "user_id": buyer, "total_amount": total, "currency": currency}
    await emit(tx, "order.placed", f"order:{order_id}", told)
    if total == 0:
        await tx.run(SQL["order_move"], order_id, "PAID")
        await fulfil(tx, order_id, buyer, now)
        await emit(tx, "order.paid", f"order:{order_id}", told)
    return order_id


async def read_order(tx: Tx, order_id: UUID) -> Order:
    """An order that is there. Whoever changes it has locked it before."""
    row = await tx.one(SQL["order_get"], order_id)
    assert row is not None
    lines = [
        OrderLine(
            line["item_type"],
            line["item_id"],
            line["title"],
            round_amount(line["price"], row["currency"]),
            line["billing_period"],
        )
        for line in await tx.many(SQL["order_lines_many"], order_id)
    ]
    total = round_amount(row["total_amount"], row["currency"])
    return Order(order_id, row["status"], total, row["currency"], lines)


async def do_checkout(tx: Tx, viewer: Viewer, asked: Checkout, now: datetime) -> Order:
    """Raises Refusal SIGN_IN_NEEDED, CART_EMPTY, NOT_FOR_SALE, ALREADY_OWNED, PRICE_CHANGED."""
    buyer = buyer_of(viewer)
    # The second of two clicks waits here, and finds the cart empty.
    await tx.value(CART_SQL["cart_open"], buyer)
    cart = await read_cart(tx, buyer, now)
    if refusal := check_cart(cart, asked.expected_total):
        raise refusal
    assert cart.currency is not None
    async with acting_as_service(tx):
        order_id = await place(tx, buyer, cart.items, cart.currency, now)
        await tx.run(CART_SQL["cart_empty"], buyer)
        return await read_order(tx, order_id)


async def do_cancel_order(tx: Tx, viewer: Viewer, asked: CancelOrder, now: datetime) -> Order:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND, ORDER_CLOSED."""
    buyer = buyer_of(viewer)
    async with acting_as_service(tx):
        row = await tx.one(SQL["order_lock"], asked.order_id)
        if refusal := check_order_of(row, buyer):
            raise refusal
        assert row is not None
        if refusal := check_open(row):
            raise refusal
        await tx.run(SQL["order_move"], asked.order_id, "FAILED")
        await tx.run(SQL["order_tries_cancel"], asked.order_id, "the order was given up")
        told = {"order_id": asked.order_id, "user_id": buyer}
        await emit(tx, "order.failed", f"order:{asked.order_id}", told)
        return await read_order(tx, asked.order_id)
