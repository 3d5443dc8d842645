"""enroll(): the one way into a course, as commerce and the commands call it."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from core.database import Row
from tests.core.rows import Rows

PAID = {"pricing_type": "paid", "price": 20, "currency": "EUR"}


async def enroll(rows: Rows, person: UUID, course: Row, paid_by: UUID | None = None, until: str | None = None) -> Row:
    """The enrolment as it then is."""
    made = await rows.connection.fetchval(
        "SELECT enroll($1, $2, $3, $4::text::timestamptz)", person, course["id"], paid_by, until
    )
    row = await rows.connection.fetchrow("SELECT * FROM enrollments WHERE id = $1", made)
    assert row is not None
    return row


async def order(rows: Rows, person: UUID, course: Row, status: str = "PAID") -> UUID:
    """An order of that course."""
    made = await rows.make("orders", user_id=person, total_amount=20, currency="EUR")
    await rows.make(
        "order_items", order_id=made["id"], item_type="COURSE", course_id=course["id"], content_id=None, price=20
    )
    if status != "PENDING":
        await rows.change("orders", made, status="PAID")
    if status == "REFUNDED":
        await rows.change("orders", made, status=status)
    made_id: UUID = made["id"]
    return made_id


async def broken(rows: Rows, *args: object) -> str:
    """The rule that refuses it."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        async with rows.connection.transaction():
            await enroll(rows, *args)
    return str(caught.value.constraint_name)


@pytest.mark.rule("lms-043")
async def test_a_free_course_is_begun_once_and_at_once(rows: Rows) -> None:
    course, person = await rows.make("courses"), (await rows.make("users"))["id"]
    first = await enroll(rows, person, course)
    assert (first["status"], first["amount"], first["expiry_date"]) == ("active", 0, None)
    assert first["enrolled_at"] is not None
    assert await enroll(rows, person, course) == first
    told = await rows.connection.fetch("SELECT topic FROM outbox WHERE subject = $1", f"enrollment:{first['id']}")
    assert [row["topic"] for row in told] == ["enrollment.activated"]


async def test_a_paid_course_wants_an_order_that_holds_it_and_is_paid(rows: Rows) -> None:
    course, other = await rows.make("courses", **PAID), await rows.make("courses", **PAID)
    person, thief = [(await rows.make("users"))["id"] for _ in range(2)]
    rule = "enrollments__paid_course_is_paid"
    assert await broken(rows, person, course) == rule
    assert await broken(rows, person, course, await order(rows, person, course, "PENDING")) == rule
    assert await broken(rows, person, course, await order(rows, person, course, "REFUNDED")) == rule
    paid = await order(rows, person, course)
    assert await broken(rows, person, other, paid) == rule
    assert await broken(rows, thief, course, paid) == rule
    made = await enroll(rows, person, course, paid)
    assert (made["status"], made["amount"], made["currency"], made["order_id"]) == ("active", 20, "EUR", paid)


async def test_what_was_left_can_be_taken_up_and_what_ran_out_is_paid_again(rows: Rows) -> None:
    course, person = await rows.make("courses", **PAID), (await rows.make("users"))["id"]
    paid = await order(rows, person, course)
    made = await enroll(rows, person, course, paid)
    await rows.change("enrollments", made, status="dropped")
    assert (await enroll(rows, person, course))["status"] == "active"
    await rows.change("enrollments", made, status="expired")
    assert await broken(rows, person, course) == "enrollments__paid_course_is_paid"
    assert await broken(rows, person, course, paid) == "enrollments__paid_course_is_paid"
    again = await enroll(rows, person, course, await order(rows, person, course), "tomorrow")
    assert (again["status"], again["id"]) == ("active", made["id"])
    assert again["expiry_date"] is not None


async def test_a_refund_ends_the_enrolment_and_a_new_order_begins_it_again(rows: Rows) -> None:
    course, person = await rows.make("courses", **PAID), (await rows.make("users"))["id"]
    made = await enroll(rows, person, course, await order(rows, person, course))
    withdraw = "SELECT withdraw_enrollment($1, $2)"
    assert await rows.connection.fetchval(withdraw, person, course["id"])
    assert not await rows.connection.fetchval(withdraw, person, course["id"])
    status = "SELECT status FROM enrollments WHERE id = $1"
    assert await rows.connection.fetchval(status, made["id"]) == "cancelled"
    assert (await enroll(rows, person, course, await order(rows, person, course)))["status"] == "active"


async def test_the_last_place_is_given_once(rows: Rows) -> None:
    course = await rows.make("courses", max_students=1)
    await enroll(rows, (await rows.make("users"))["id"], course)
    assert await broken(rows, (await rows.make("users"))["id"], course) == "enrollments__course_has_room"
