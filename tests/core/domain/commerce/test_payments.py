"""Money in: what a payment gives out, once, and what one that fails leaves as it was."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from core.domain.commands import acting_as_service
from core.domain.commerce.payments import end_try, settle
from core.errors import Refusal
from core.viewer import service
from tests.core.domain.commerce.shopping import LONG_AGO, Till, soon

ADDRESS = {
    "first_name": "Mara",
    "last_name": "Lind",
    "email": "mara@example.com",
    "address_line1": "Hafenstr. 1",
    "city": "Kiel",
    "state": "SH",
    "postal_code": "24103",
    "country": "DE",
}


async def comes_in(till: Till, payment: UUID, transaction: str, amount: str = "5", currency: str = "EUR") -> str:
    """A provider says that the money is there; the state of the order then."""
    async with till.database.transaction(service()) as tx, acting_as_service(tx):
        return (await settle(tx, payment, transaction, Decimal(amount), currency, soon())).order_status


async def fails(till: Till, payment: UUID) -> None:
    """A provider says that no money will come."""
    async with till.database.transaction(service()) as tx, acting_as_service(tx):
        await end_try(tx, payment, "FAILED", "the card was declined")


async def opened(till: Till, order: UUID, provider: str = "stripe") -> UUID:
    """A try to pay."""
    more = {"return_url": "https://shop.example/back"} if provider == "stripe" else {}
    return UUID((await till.ask(till.buyer, "pay_order", order_id=order, provider=provider, **more))["payment_id"])


@pytest.mark.rule("streaming-076")
@pytest.mark.rule("streaming-089")
@pytest.mark.rule("edupeak-108")
async def test_a_payment_that_succeeds_pays_the_order_and_fills_the_library(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    order = await till.buys(film)
    payment = await opened(till, order)
    assert await till.library() == set()
    assert await comes_in(till, payment, "pi_1") == "PAID"
    row = await till.one("SELECT * FROM payments WHERE id = $1", payment)
    assert (row["status"], row["provider_transaction_id"], row["amount"], row["user_id"]) == (
        "SUCCESS",
        "pi_1",
        5,
        till.buyer.user_id,
    )
    assert row["paid_at"] is not None
    assert (await till.one("SELECT status::text FROM orders WHERE id = $1", order))[0] == "PAID"
    entry = await till.one("SELECT * FROM user_library")
    assert (entry["user_id"], entry["content_id"], entry["order_id"], entry["playlist_id"]) == (
        till.buyer.user_id,
        film["id"],
        order,
        None,
    )
    assert await till.topics() == ["order.placed", "order.paid"]


@pytest.mark.rule("streaming-090")
async def test_a_playlist_fills_the_library_with_what_was_not_there(till: Till) -> None:
    owned, new, newer = [await till.content(("5", "EUR")) for _ in range(3)]
    first = await till.buys(owned)
    await till.pays(first)
    series = await till.playlist("9", owned, new, newer)
    second = await till.buys(series)
    await till.pays(second)
    rows = await till.rows.connection.fetch("SELECT content_id, playlist_id, order_id FROM user_library")
    assert {(row["content_id"], row["playlist_id"], row["order_id"]) for row in rows} == {
        (owned["id"], None, first),
        (new["id"], series["id"], second),
        (newer["id"], series["id"], second),
    }


async def test_a_rental_that_is_bought_is_owned_for_good(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    rented = await till.rows.make("orders", user_id=till.buyer.user_id, currency="EUR", total_amount=0)
    await till.rows.make(
        "user_library", user_id=till.buyer.user_id, content_id=film["id"], order_id=rented["id"], expires_at=LONG_AGO
    )
    order = await till.buys(film)
    await till.pays(order)
    entry = await till.one("SELECT order_id, expires_at FROM user_library")
    assert (entry["order_id"], entry["expires_at"]) == (order, None)


@pytest.mark.rule("edupeak-109")
@pytest.mark.rule("lms-050")
async def test_a_course_that_is_paid_begins_and_the_payment_names_the_enrolment(till: Till) -> None:
    course = await till.course("20", discount_price="15")
    order = await till.buys(course)
    payment = await opened(till, order)
    assert await till.many("SELECT status FROM enrollments") == []
    await comes_in(till, payment, "pi_2", "15")
    enrolled = await till.one("SELECT * FROM enrollments")
    assert (enrolled["status"], enrolled["user_id"], enrolled["order_id"], enrolled["amount"]) == (
        "active",
        till.buyer.user_id,
        order,
        15,
    )
    row = await till.one("SELECT course_id, enrollment_id FROM payments")
    assert (row["course_id"], row["enrollment_id"]) == (course["id"], enrolled["id"])


@pytest.mark.rule("edupeak-112")
@pytest.mark.rule("edupeak-120")
async def test_a_payment_that_fails_gives_nothing_and_another_may_be_tried(till: Till) -> None:
    course = await till.course("20")
    order = await till.buys(course)
    first = await opened(till, order)
    await fails(till, first)
    await fails(till, first)
    row = await till.one("SELECT * FROM payments WHERE id = $1", first)
    assert (row["status"], row["failure_reason"], row["paid_at"]) == ("FAILED", "the card was declined", None)
    assert await till.many("SELECT status FROM enrollments") == []
    assert await till.many("SELECT status::text FROM orders") == ["PENDING"]
    second = await opened(till, order)
    assert second != first
    assert await comes_in(till, second, "pi_3", "20") == "PAID"
    assert await till.many("SELECT status::text FROM payments ORDER BY created_at") == ["FAILED", "SUCCESS"]
    assert await till.topics() == ["order.placed", "payment.failed", "enrollment.activated", "order.paid"]


async def test_an_open_try_is_answered_again(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    assert await opened(till, order) == await opened(till, order)
    assert await opened(till, order, "manual") != await opened(till, order)
    assert len(await till.many("SELECT id FROM payments")) == 2


async def test_money_is_told_twice_and_counted_once(till: Till) -> None:
    film, course, plan = await till.content(("5", "EUR")), await till.course("20"), await till.plan("3")
    payment = await opened(till, await till.buys(film, course, plan))
    told = await asyncio.gather(*(comes_in(till, payment, "pi_4", "28") for _ in range(4)))
    assert told == ["PAID"] * 4
    assert await comes_in(till, payment, "pi_4", "28") == "PAID"
    assert len(await till.many("SELECT id FROM billing_transactions")) == 1
    assert (await till.topics()).count("order.paid") == 1


async def test_the_wrong_amount_pays_nothing(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    payment = await opened(till, order)
    for amount, currency in (("4.99", "EUR"), ("5", "USD"), ("500", "EUR")):
        with pytest.raises(Refusal) as caught:
            await comes_in(till, payment, "pi_5", amount, currency)
        assert caught.value.code.code == "PS529"
    money = {"reference": "till 7", "amount": "5.01", "currency": "EUR"}
    assert await till.refused(till.staff, "record_payment", order_id=order, **money) == "PS529"
    assert await till.many("SELECT status::text FROM payments") == ["INITIATED"]
    assert await till.library() == set()


async def test_money_for_an_order_that_was_given_up_is_kept_to_be_given_back(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    payment = await opened(till, order)
    assert (await till.ask(till.buyer, "cancel_order", order_id=order))["status"] == "FAILED"
    assert await till.many("SELECT status::text FROM payments") == ["CANCELLED"]
    for _ in range(2):
        assert await comes_in(till, payment, "pi_6") == "FAILED"
    assert await till.library() == set()
    assert await till.many("SELECT status::text FROM payments ORDER BY created_at") == ["CANCELLED", "SUCCESS"]
    assert await till.topics() == ["order.placed", "order.failed", "payment.unmatched"]
    paid = await till.one("SELECT id FROM payments WHERE status = 'SUCCESS'")
    assert (await till.ask(till.staff, "refund_payment", payment_id=paid["id"]))["order_status"] == "FAILED"


async def test_an_order_that_is_paid_twice_keeps_what_it_gave_when_one_payment_goes_back(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    order = await till.buys(film)
    manual, stripe = await opened(till, order, "manual"), await opened(till, order)
    await till.pays(order)
    assert await comes_in(till, stripe, "pi_7") == "PAID"
    assert (await till.topics())[-1] == "payment.unmatched"
    await till.ask(till.staff, "refund_payment", payment_id=manual)
    assert await till.library() == {film["id"]}
    assert await till.many("SELECT status::text FROM orders") == ["PAID"]


async def test_a_received_payment_is_recorded_once_under_its_reference(till: Till) -> None:
    film, other = await till.content(("5", "EUR")), await till.content(("5", "EUR"))
    first, second = await till.buys(film), await till.buys(other)
    payment = await till.pays(first, "bank 17")
    assert await till.pays(first, "bank 17") == payment
    money = {"amount": "5", "currency": "EUR"}
    assert await till.refused(till.staff, "record_payment", order_id=second, reference="bank 17", **money) == "PS501"
    assert await till.refused(till.staff, "record_payment", order_id=first, reference="bank 18", **money) == "PS524"
    assert await till.refused(till.staff, "record_payment", order_id=uuid4(), reference="bank 19", **money) == "PS105"
    assert await till.refused(till.staff, "record_payment", order_id=second, reference="", **money) == "PS102"
    assert await till.refused(till.buyer, "record_payment", order_id=second, reference="mine", **money) == "PS304"
    assert await till.library() == {film["id"]}


async def test_staff_say_that_a_transfer_will_not_come(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    manual, stripe = await opened(till, order, "manual"), await opened(till, order)
    assert (await till.ask(till.staff, "fail_payment", payment_id=manual, reason="never came"))["status"] == "FAILED"
    assert await till.refused(till.staff, "fail_payment", payment_id=stripe, reason="x") == "PS102"
    assert await till.refused(till.staff, "fail_payment", payment_id=uuid4(), reason="x") == "PS105"
    await till.pays(order)
    paid = await till.one("SELECT id FROM payments WHERE status = 'SUCCESS'")
    assert await till.refused(till.staff, "fail_payment", payment_id=paid["id"], reason="x") == "PS524"


async def test_only_the_buyer_pays_or_gives_up_an_open_order(till: Till) -> None:
    order = await till.buys(await till.content(("5", "EUR")))
    other = await till.person()
    for viewer in (other, till.staff):
        assert await till.refused(viewer, "pay_order", order_id=order, provider="manual") == "PS105"
        assert await till.refused(viewer, "cancel_order", order_id=order) == "PS105"
    await till.pays(order)
    assert await till.refused(till.buyer, "pay_order", order_id=order, provider="manual") == "PS524"
    assert await till.refused(till.buyer, "cancel_order", order_id=order) == "PS524"


@pytest.mark.parametrize(
    "url", [None, "", "shop", "javascript:alert(1)", "https://", "https://a\nb", "http://[", "https://a/" + "x" * 1000]
)
async def test_a_page_to_come_back_to_is_an_address_of_the_web(till: Till, url: str | None) -> None:
    asked = {"order_id": uuid4(), "provider": "stripe", "return_url": url}
    assert await till.refused(till.buyer, "pay_order", **asked) == "PS102"


@pytest.mark.rule("edupeak-121")
async def test_the_address_that_is_given_with_a_payment_is_kept(till: Till) -> None:
    order = await till.buys(await till.course("20"))
    await till.ask(till.buyer, "pay_order", order_id=order, provider="manual", billing_address=ADDRESS)
    moved = {**ADDRESS, "city": "Berlin", "company_name": "Lind AG"}
    await till.ask(till.buyer, "pay_order", order_id=order, provider="manual", billing_address=moved)
    row = await till.one("SELECT * FROM billing_addresses")
    assert (row["user_id"], row["city"], row["company_name"]) == (till.buyer.user_id, "Berlin", "Lind AG")
    await till.ask(till.buyer, "pay_order", order_id=order, provider="manual")
    assert await till.many("SELECT city FROM billing_addresses") == ["Berlin"]
    await till.ask(till.buyer, "save_billing_address", billing_address=ADDRESS)
    assert await till.many("SELECT city FROM billing_addresses") == ["Kiel"]


@pytest.mark.rule("edupeak-126")
async def test_no_table_has_room_for_a_card(till: Till) -> None:
    columns = await till.many(
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name ~* '(^|_)(card|pan|cvc|cvv|iban|expiry_month|exp_month)(_|$)'"
    )
    assert columns == []


@pytest.mark.rule("streaming-088")
async def test_a_library_entry_names_the_order_that_granted_it(till: Till) -> None:
    column = await till.one(
        "SELECT is_nullable FROM information_schema.columns WHERE table_name = 'user_library' AND column_name = 'order_id'"
    )
    assert column["is_nullable"] == "NO"


async def test_the_last_seat_is_sold_once(till: Till) -> None:
    course, other = await till.course("20", max_students=1), await till.person()
    first, second = await till.buys(course), await till.buys(course, viewer=other)
    await till.pays(first)
    money = {"reference": "late", "amount": "20", "currency": "EUR"}
    assert await till.refused(till.staff, "record_payment", order_id=second, **money) == "PS509"
    assert await till.many("SELECT status::text FROM orders WHERE id = $1", second) == ["PENDING"]
    assert await till.many("SELECT status::text FROM payments WHERE order_id = $1", second) == []


async def test_orders_and_payments_are_seen_by_their_buyer_and_by_staff(till: Till) -> None:
    film = await till.content(("5", "EUR"))
    order = await till.buys(film)
    await till.pays(order)
    payment = await till.one("SELECT id FROM payments")
    await till.ask(till.staff, "refund_payment", payment_id=payment["id"], amount="1")
    other = await till.person()
    elsewhere = type(other)((await till.rows.make("tenants"))["id"], till.buyer.user_id, "staff")
    for viewer, sees in ((till.buyer, 1), (till.staff, 1), (other, 0), (elsewhere, 0)):
        async with till.database.transaction(viewer) as tx:
            for table in ("orders", "order_items", "payments", "refunds", "user_library", "content_purchases"):
                assert await tx.connection.fetchval(f"SELECT count(*) FROM {table}") == sees, (viewer, table)
