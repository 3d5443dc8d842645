"""Money that goes out: to whoever brings people, and to whoever teaches them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service, emit
from core.domain.commerce.cart import buyer_of
from core.domain.commerce.payments import Method
from core.domain.context import Asked
from core.domain.pricing import check_amount, round_amount
from core.errors import CONFLICT, NOT_FOUND, PAYOUT_TOO_LARGE, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.commerce", "partners.sql")

Email = Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]

# RULES


def check_paid_out(amount: Decimal, currency: str) -> Refusal | None:
    """An amount that can be paid out: more than nothing, in whole minor units."""
    if refusal := check_amount(amount, currency):
        return refusal if refusal.faults[0].path == "currency" else bad_field("amount", refusal.faults[0].why)
    return bad_field("amount", "must be more than 0") if amount == 0 else None


def check_payout(amount: Decimal, currency: str, balances: Sequence[Balance]) -> Refusal | None:
    """There is so much left of what was earned in that currency."""
    left = next((balance.left for balance in balances if balance.currency == currency), Decimal(0))
    return Refusal(PAYOUT_TOO_LARGE, data={"left": str(left), "currency": currency}) if amount > left else None


# COMMANDS


class ReferPerson(Asked, frozen=True):
    """Names somebody whom one brings, before they have an account. The first who names them has brought them."""

    email: Email


class Referral(msgspec.Struct, frozen=True):
    """A referral: pending until they sign up, converted once they have paid for something."""

    referral_id: UUID
    status: str


class AddCommission(Asked, frozen=True):
    """What somebody is owed for a referral."""

    referral_id: UUID
    amount: Decimal
    currency: str


class PayCommission(Asked, frozen=True):
    """A commission has been paid. Said twice, the first moment stays."""

    commission_id: UUID


class Commission(msgspec.Struct, frozen=True):
    """What is owed for a referral, and when it was paid."""

    commission_id: UUID
    referral_id: UUID
    amount: Decimal
    currency: str
    status: str
    paid_at: datetime | None


class Earnings(Asked, frozen=True):
    """What one's own courses have earned."""


class Balance(msgspec.Struct, frozen=True):
    """In one currency: earned by courses that were paid for and not given back, paid out or about to be, and what is left."""

    currency: str
    earned: Decimal
    paid_out: Decimal
    left: Decimal


class Earned(msgspec.Struct, frozen=True):
    """Earnings, currency by currency."""

    balances: list[Balance]


class AddPayout(Asked, frozen=True):
    """Pays a teacher out of what their courses have earned, never more than is left of it."""

    user_id: UUID
    amount: Decimal
    currency: str
    method: Method = "bank_transfer"


class MovePayout(Asked, frozen=True):
    """How a payout goes on: processing, then paid or failed; a failed one can be taken up again, a pending one cancelled."""

    payout_id: UUID
    status: Literal["pending", "processing", "paid", "failed", "cancelled"]
    reference: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class Payout(msgspec.Struct, frozen=True):
    """A payout, and how far it is."""

    payout_id: UUID
    user_id: UUID
    amount: Decimal
    currency: str
    status: str
    reference: str | None
    paid_at: datetime | None


# HANDLERS


async def do_refer_person(tx: Tx, viewer: Viewer, asked: ReferPerson, now: datetime) -> Referral:
    """Raises Refusal SIGN_IN_NEEDED, CONFLICT. Whether the address has an account is not looked at: the answer would tell."""
    person = buyer_of(viewer)
    async with acting_as_service(tx):
        made = await tx.value(SQL["referral_insert"], person, asked.email, now)
        if made is not None:
            return Referral(made, "pending")
        found = await tx.one(SQL["referral_find"], asked.email)
    if found is None or found["referrer_id"] != person:
        raise Refusal(CONFLICT, "Somebody else has referred them.")
    return Referral(found["id"], found["status"])


async def do_add_commission(tx: Tx, _: Viewer, asked: AddCommission, now: datetime) -> Commission:
    """Raises Refusal NOT_FOUND or about a field."""
    if refusal := check_paid_out(asked.amount, asked.currency):
        raise refusal
    if await tx.one(SQL["referral_lock"], asked.referral_id) is None:
        raise Refusal(NOT_FOUND)
    return await _commission(
        tx, await tx.value(SQL["commission_insert"], asked.referral_id, asked.amount, asked.currency)
    )


async def do_pay_commission(tx: Tx, _: Viewer, asked: PayCommission, now: datetime) -> Commission:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    commission = await _commission(tx, asked.commission_id)
    if commission.status == "paid":
        return commission
    await tx.run(SQL["commission_pay"], asked.commission_id, now)
    told = {"commission_id": asked.commission_id, "amount": commission.amount, "currency": commission.currency}
    await emit(tx, "commission.paid", f"referral:{commission.referral_id}", told)
    return await _commission(tx, asked.commission_id)


async def _commission(tx: Tx, commission_id: UUID) -> Commission:
    row = await tx.one(SQL["commission_lock"], commission_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    amount = round_amount(row["amount"], row["currency"])
    return Commission(row["id"], row["referral_id"], amount, row["currency"], row["status"], row["paid_at"])


async def _balances(tx: Tx, person: UUID) -> list[Balance]:
    balances = []
    for row in await tx.many(SQL["earnings_many"], person):
        earned = round_amount(row["earned"], row["currency"])
        paid_out = round_amount(row["paid_out"], row["currency"])
        balances.append(Balance(row["currency"], earned, paid_out, earned - paid_out))
    return balances


async def do_earnings(tx: Tx, viewer: Viewer, _: Earnings, now: datetime) -> Earned:
    """Raises Refusal SIGN_IN_NEEDED."""
    person = buyer_of(viewer)
    # The orders are their buyers'; a teacher sees the sums alone.
    async with acting_as_service(tx):
        return Earned(await _balances(tx, person))


async def do_add_payout(tx: Tx, _: Viewer, asked: AddPayout, now: datetime) -> Payout:
    """Raises Refusal PAYOUT_TOO_LARGE, STILL_REFERENCED or about a field."""
    if refusal := check_paid_out(asked.amount, asked.currency):
        raise refusal
    async with acting_as_service(tx):
        await tx.value(SQL["payee_lock"], asked.user_id)
        if refusal := check_payout(asked.amount, asked.currency, await _balances(tx, asked.user_id)):
            raise refusal
        what = (asked.amount, asked.currency, asked.method, now)
        return await _payout(tx, await tx.value(SQL["payout_insert"], asked.user_id, *what))


async def do_move_payout(tx: Tx, _: Viewer, asked: MovePayout, now: datetime) -> Payout:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE, PAYOUT_TOO_LARGE."""
    async with acting_as_service(tx):
        payout = await _payout(tx, asked.payout_id)
        if payout.status == asked.status:
            return payout
        if payout.status == "failed" and asked.status == "pending":
            await tx.value(SQL["payee_lock"], payout.user_id)
            if refusal := check_payout(payout.amount, payout.currency, await _balances(tx, payout.user_id)):
                raise refusal
        await tx.run(SQL["payout_move"], asked.payout_id, asked.status, asked.reference, now)
        told = {"payout_id": asked.payout_id, "user_id": payout.user_id, "status": asked.status}
        await emit(tx, "payout.moved", f"payout:{asked.payout_id}", told)
        return await _payout(tx, asked.payout_id)


async def _payout(tx: Tx, payout_id: UUID) -> Payout:
    row = await tx.one(SQL["payout_lock"], payout_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    amount = round_amount(row["amount"], row["currency"])
    return Payout(row["id"], row["user_id"], amount, row["currency"], row["status"], row["reference"], row["paid_at"])
