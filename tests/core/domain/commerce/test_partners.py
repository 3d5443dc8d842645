"""Money out: who brought somebody, what teachers earned, and what was paid of it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from core.errors import Refusal
from core.viewer import Viewer
from tests.core.domain.commerce.shopping import Till


@pytest.mark.rule("podcast-113")
async def test_whoever_signs_up_with_a_referred_address_was_brought(till: Till) -> None:
    answer = await till.ask(till.buyer, "refer_person", email="Friend@Example.com")
    assert answer["status"] == "pending"
    assert await till.ask(till.buyer, "refer_person", email="friend@example.com") == answer
    assert await till.refused(till.staff, "refer_person", email="friend@example.com") == "PS501"
    assert await till.refused(till.buyer, "refer_person", email="nobody") == "PS102"
    friend = (await till.rows.make("users", email="friend@example.com"))["id"]
    row = await till.one("SELECT status, referred_user_id FROM referrals")
    assert (row["status"], row["referred_user_id"]) == ("signed_up", friend)
    viewer = Viewer(till.buyer.tenant_id, friend, "authenticated")
    await till.buys(await till.content(is_free=True), viewer=viewer)
    assert await till.many("SELECT status FROM referrals") == ["signed_up"]
    await till.pays(await till.buys(await till.content(("5", "EUR")), viewer=viewer))
    assert await till.many("SELECT status FROM referrals") == ["converted"]
    assert "referral.converted" in await till.topics()


@pytest.mark.rule("podcast-114")
async def test_a_commission_is_paid_once_and_says_when(till: Till) -> None:
    referral = (await till.ask(till.buyer, "refer_person", email="friend@example.com"))["referral_id"]
    owed = await till.ask(till.staff, "add_commission", referral_id=referral, amount="2.50", currency="EUR")
    assert (owed["status"], owed["paid_at"], owed["amount"]) == ("pending", None, "2.50")
    paid = await till.ask(till.staff, "pay_commission", commission_id=owed["commission_id"])
    assert paid["status"] == "paid"
    assert paid["paid_at"] is not None
    assert await till.ask(till.staff, "pay_commission", commission_id=owed["commission_id"]) == paid
    assert (await till.topics()).count("commission.paid") == 1
    assert await till.refused(till.buyer, "pay_commission", commission_id=owed["commission_id"]) == "PS304"
    assert await till.refused(till.staff, "pay_commission", commission_id=uuid4()) == "PS105"
    for amount, currency in (("0", "EUR"), ("-1", "EUR"), ("1.001", "EUR"), ("1", "euro")):
        assert (
            await till.refused(till.staff, "add_commission", referral_id=referral, amount=amount, currency=currency)
            == "PS102"
        )
    assert await till.refused(till.staff, "add_commission", referral_id=uuid4(), amount="1", currency="EUR") == "PS105"
    other = await till.person()
    for viewer, sees in ((till.buyer, 1), (till.staff, 1), (other, 0)):
        async with till.database.transaction(viewer) as tx:
            for table in ("referrals", "referral_commissions"):
                assert await tx.connection.fetchval(f"SELECT count(*) FROM {table}") == sees


async def earning(till: Till) -> Viewer:
    """A teacher whose course was sold for 20 EUR, and again for 20 of which 5 were given back, and once not at all."""
    teacher = await till.person()
    course = await till.course("20", teacher_id=teacher.user_id)
    for number in range(3):
        other = await till.person()
        payment = await till.pays(await till.buys(course, viewer=other))
        if number:
            part = {"amount": "5"} if number == 1 else {}
            await till.ask(till.staff, "refund_payment", payment_id=payment, **part)
    return teacher


async def test_a_teacher_is_paid_what_their_courses_earned_and_no_more(till: Till) -> None:
    teacher = await earning(till)
    assert (await till.ask(teacher, "earnings"))["balances"] == [
        {"currency": "EUR", "earned": "35.00", "paid_out": "0.00", "left": "35.00"}
    ]
    assert (await till.ask(till.buyer, "earnings"))["balances"] == []
    pay = {"user_id": teacher.user_id, "currency": "EUR"}
    assert await till.refused(till.staff, "add_payout", **pay, amount="35.01") == "PS530"
    assert await till.refused(till.staff, "add_payout", **{**pay, "currency": "USD"}, amount="1") == "PS530"
    assert await till.refused(teacher, "add_payout", **pay, amount="1") == "PS304"
    first = await till.ask(till.staff, "add_payout", **pay, amount="30")
    assert await till.refused(till.staff, "add_payout", **pay, amount="5.01") == "PS530"
    move = {"payout_id": first["payout_id"]}
    assert await till.refused(till.staff, "move_payout", **move, status="paid") == "PS504"
    await till.ask(till.staff, "move_payout", **move, status="processing")
    await till.ask(till.staff, "move_payout", **move, status="failed")
    second = await till.ask(till.staff, "add_payout", **pay, amount="10")
    assert await till.refused(till.staff, "move_payout", **move, status="pending") == "PS530"
    await till.ask(till.staff, "move_payout", payout_id=second["payout_id"], status="processing")
    paid = await till.ask(till.staff, "move_payout", payout_id=second["payout_id"], status="paid", reference="SEPA 9")
    assert (paid["status"], paid["reference"], paid["paid_at"] is not None) == ("paid", "SEPA 9", True)
    assert (await till.ask(teacher, "earnings"))["balances"][0]["left"] == "25.00"


async def test_payouts_at_the_same_time_stay_within_what_was_earned(till: Till) -> None:
    teacher = await earning(till)
    pay = {"user_id": teacher.user_id, "currency": "EUR", "amount": "20"}
    answers = await asyncio.gather(
        *(till.ask(till.staff, "add_payout", **pay) for _ in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert await till.many("SELECT amount FROM payouts") == [20]
