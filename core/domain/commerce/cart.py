"""The cart: what somebody means to buy, at the prices of now. Knows no order and no payment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.context import Asked
from core.domain.pricing import round_amount
from core.errors import ALREADY_OWNED, CURRENCY_MIXED, NOT_FOR_SALE, NOT_FOUND, SIGN_IN_NEEDED, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "cart.sql")
MOST_LINES = 100
FREE_IN = "USD"
"""What a cart of nothing but free things is counted in."""

ItemType = Literal["CONTENT", "PLAYLIST", "COURSE", "PLAN"]
BillingPeriod = Literal["month", "year"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A price at which a thing can be bought now; without a currency it is free in any."""

    title: str
    price: Decimal
    currency: str | None


# RULES


def check_buyer(viewer: Viewer) -> Refusal | None:
    """Somebody in particular is asking."""
    return Refusal(SIGN_IN_NEEDED) if viewer.user_id is None else None


def buyer_of(viewer: Viewer) -> UUID:
    """Who buys. Raises Refusal SIGN_IN_NEEDED."""
    if refusal := check_buyer(viewer):
        raise refusal
    assert viewer.user_id is not None
    return viewer.user_id


def check_period(item_type: str, billing_period: str | None) -> Refusal | None:
    """Only a plan is paid by the month or by the year."""
    if billing_period is not None and item_type != "PLAN":
        return bad_field("billing_period", "is for plans")
    return None


def choose_offer(offers: Sequence[Offered], wanted: str | None, held: str | None) -> Offered | Refusal:
    """The offer that counts: in the currency `wanted`, else that of the cart (`held`), else the only one there is."""
    if not offers:
        return Refusal(NOT_FOR_SALE)
    if held is not None and wanted is not None and wanted != held:
        return Refusal(CURRENCY_MIXED, data={"currency": held})
    currency = held or wanted
    if currency is None:
        if len(offers) > 1:
            return bad_field("currency", f"name one of {', '.join(str(offer.currency) for offer in offers)}")
        currency = offers[0].currency or FREE_IN
    for offer in offers:
        if offer.currency in (None, currency):
            return Offered(offer.title, round_amount(offer.price, currency), currency)
    if wanted is None:
        return Refusal(CURRENCY_MIXED, data={"currency": held})
    return Refusal(NOT_FOR_SALE, data={"currencies": [offer.currency for offer in offers]})


# COMMANDS


class AddToCart(Asked, frozen=True):
    """Puts a title, playlist, course or plan into the cart. `currency` must be named where it has prices in several; a plan is paid
    by the `month` unless `billing_period` says `year`. What lies in it already stays as it is."""

    item_type: ItemType
    item_id: UUID
    currency: str | None = None
    billing_period: BillingPeriod | None = None


class RemoveFromCart(Asked, frozen=True):
    """Takes a line out of the cart."""

    cart_item_id: UUID


class ViewCart(Asked, frozen=True):
    """What lies in the cart, and what it costs now."""


class CartLine(msgspec.Struct, frozen=True):
    """One thing in the cart: its price when it was put in, and now (null: it can no longer be bought)."""

    id: UUID
    item_type: ItemType
    item_id: UUID
    title: str | None
    billing_period: BillingPeriod | None
    price: Decimal
    price_now: Decimal | None
    is_owned: bool


class Cart(msgspec.Struct, frozen=True):
    """The whole cart, in one currency. `total` is what an order would come to now; null while a line cannot be bought."""

    items: list[CartLine]
    currency: str | None
    total: Decimal | None


# HANDLERS


def cart_of(rows: Sequence[Row]) -> Cart:
    """The cart that these lines make."""
    lines = [
        CartLine(
            row["id"],
            row["item_type"],
            row["item_id"],
            row["title"],
            row["billing_period"],
            round_amount(row["price"], row["currency"]),
            None if row["price_now"] is None else round_amount(row["price_now"], row["currency"]),
            row["is_owned"],
        )
        for row in rows
    ]
    prices = [line.price_now for line in lines if line.price_now is not None and not line.is_owned]
    return Cart(
        lines,
        rows[0]["currency"] if rows else None,
        sum(prices, Decimal(0)) if len(prices) == len(lines) else None,
    )


async def read_cart(tx: Tx, buyer: UUID, now: datetime) -> Cart:
    """The buyer's cart at the prices of `now`."""
    return cart_of(await tx.many(SQL["cart_lines_many"], buyer, now))


async def offers_of(tx: Tx, item_type: str, item_id: UUID, period: str | None, now: datetime) -> list[Offered]:
    """At what prices the viewer can buy a thing."""
    rows = await tx.many(SQL["offers_many"], item_type, item_id, period, now)
    return [Offered(row["title"], row["price"], row["currency"]) for row in rows]


async def do_add_to_cart(tx: Tx, viewer: Viewer, asked: AddToCart, now: datetime) -> Cart:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOR_SALE, CURRENCY_MIXED, ALREADY_OWNED or about a field."""
    buyer = buyer_of(viewer)
    if refusal := check_period(asked.item_type, asked.billing_period):
        raise refusal
    cart_id = await tx.value(SQL["cart_open"], buyer)
    cart = await read_cart(tx, buyer, now)
    if any((line.item_type, line.item_id) == (asked.item_type, asked.item_id) for line in cart.items):
        return cart
    if len(cart.items) >= MOST_LINES:
        raise bad_field("item_id", f"a cart holds at most {MOST_LINES} things")
    period = "month" if asked.item_type == "PLAN" and asked.billing_period is None else asked.billing_period
    offer = choose_offer(
        await offers_of(tx, asked.item_type, asked.item_id, period, now), asked.currency, cart.currency
    )
    if isinstance(offer, Refusal):
        raise offer
    if await tx.value(SQL["has_already"], buyer, asked.item_type, asked.item_id, now):
        raise Refusal(ALREADY_OWNED)
    async with acting_as_service(tx):
        line = (cart_id, asked.item_type, asked.item_id, period, offer.price, offer.currency, now)
        await tx.value(SQL["cart_item_put"], *line)
    return await read_cart(tx, buyer, now)


async def do_remove_from_cart(tx: Tx, viewer: Viewer, asked: RemoveFromCart, now: datetime) -> Cart:
    """Raises Refusal SIGN_IN_NEEDED, NOT_FOUND."""
    buyer = buyer_of(viewer)
    async with acting_as_service(tx):
        if not await tx.run(SQL["cart_item_drop"], buyer, asked.cart_item_id):
            raise Refusal(NOT_FOUND)
    return await read_cart(tx, buyer, now)


async def do_view_cart(tx: Tx, viewer: Viewer, _: ViewCart, now: datetime) -> Cart:
    """Raises Refusal SIGN_IN_NEEDED."""
    return await read_cart(tx, buyer_of(viewer), now)
