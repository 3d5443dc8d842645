"""Purchases outside the order flow: staff record what was paid elsewhere, and what of it was given back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service, answer, emit
from core.domain.commerce.fulfilment import SQL as FULFILMENT_SQL
from core.domain.context import Asked, Moment
from core.domain.pricing import check_amount
from core.errors import ALREADY_OWNED, CONTENT_NOT_FOUND, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "direct.sql")

Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

# RULES


def check_purchase(price: Decimal, currency: str, purchased_at: datetime, now: datetime) -> Refusal | None:
    """An amount that can have been paid, and a moment that has been."""
    if refusal := check_amount(price, currency):
        return refusal
    return bad_field("purchased_at", "must not lie in the future") if purchased_at > now else None


# COMMANDS


class RecordDirectPurchase(Asked, frozen=True):
    """A title that somebody paid for without an order, at a counter or in another shop: they own it from now on, for good.
    `reference` is what the receipt or that shop calls it."""

    user_id: UUID
    content_id: UUID
    price: Decimal
    currency: str
    purchased_at: Moment | None = None
    reference: Reference | None = None


class RefundDirectPurchase(Asked, frozen=True):
    """The money of a direct purchase was given back. The buyer loses the title unless an order holds it too; whoever plays it is stopped.
    Said twice, the first moment stays."""

    purchase_id: UUID


class DirectPurchase(msgspec.Struct, frozen=True):
    """A purchase without an order: PAID, or REFUNDED since a moment."""

    purchase_id: UUID
    user_id: UUID
    content_id: UUID
    price: Decimal
    currency: str
    status: str
    purchased_at: datetime
    refunded_at: datetime | None


# HANDLERS


async def do_record_direct_purchase(
    tx: Tx, viewer: Viewer, asked: RecordDirectPurchase, now: datetime
) -> DirectPurchase:
    """Raises Refusal CONTENT_NOT_FOUND, NOT_FOUND, ALREADY_OWNED or about a field."""
    purchased_at = asked.purchased_at or now
    if refusal := check_purchase(asked.price, asked.currency, purchased_at, now):
        raise refusal
    # Both as whoever asks sees them: staff of a workspace know of no account but its members'.
    if not await tx.value(SQL["content_there"], asked.content_id):
        raise Refusal(CONTENT_NOT_FOUND)
    if not await tx.value(SQL["buyer_there"], asked.user_id):
        raise Refusal(NOT_FOUND, "There is no such person.")
    async with acting_as_service(tx):
        if await tx.value(SQL["owned_get"], asked.user_id, asked.content_id, now):
            raise Refusal(ALREADY_OWNED)
        what = (asked.price, asked.currency, asked.reference, viewer.user_id, purchased_at)
        row = await tx.one(SQL["purchase_insert"], asked.user_id, asked.content_id, *what)
        if row is None:
            # Somebody else recorded it a moment ago.
            raise Refusal(ALREADY_OWNED)
        bought = answer(DirectPurchase, row)
        await emit(tx, "purchase.recorded", f"purchase:{bought.purchase_id}", _told(bought))
        return bought


async def do_refund_direct_purchase(tx: Tx, _: Viewer, asked: RefundDirectPurchase, now: datetime) -> DirectPurchase:
    """Raises Refusal NOT_FOUND."""
    async with acting_as_service(tx):
        bought = answer(DirectPurchase, await tx.one(SQL["purchase_lock"], asked.purchase_id))
        if bought.status == "REFUNDED":
            return bought
        given_back = answer(DirectPurchase, await tx.one(SQL["purchase_refund"], asked.purchase_id, now))
        # What an order brought besides (a series with this title in it) was left out while this one held.
        await tx.run(FULFILMENT_SQL["library_fill"], bought.user_id, None, [bought.content_id], now)
        await emit(tx, "purchase.refunded", f"purchase:{bought.purchase_id}", _told(given_back))
        return given_back


def _told(bought: DirectPurchase) -> dict[str, object]:
    return {
        "purchase_id": bought.purchase_id,
        "user_id": bought.user_id,
        "content_id": bought.content_id,
        "price": bought.price,
        "currency": bought.currency,
    }
