"""A direct purchase and an order of the same title at the same instant: two transactions, each with its work done before the other commits.

The second of them has to wait for the first. Each test runs once more without what makes it wait, and then must find the fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.commerce.direct import (
    RecordDirectPurchase,
    RefundDirectPurchase,
    do_record_direct_purchase,
    do_refund_direct_purchase,
)
from core.domain.commerce.orders import SQL as ORDER_SQL
from core.domain.commerce.payments import RecordPayment, do_record_payment
from core.domain.commerce.refunds import RefundPayment, do_refund_payment
from core.errors import ALREADY_OWNED, Refusal
from core.queries import Statement
from tests.core.domain.commerce.shopping import Till
from tests.waiting import until

WAITS = """SELECT count(*) > 0 FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'"""
WAITS_AT_ALL = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
ROW_ALONE = "SELECT id FROM orders WHERE id = $1 FOR UPDATE"
# What the tests are about, taken away: everybody looks at once.
NO_WAITING = "CREATE OR REPLACE FUNCTION hold_purchases(person uuid) RETURNS void LANGUAGE sql AS $$ SELECT $$"

Work = Callable[[Tx], Awaitable[Any]]

both_ways = pytest.mark.parametrize("is_kept", [True, False], ids=["as it is", "without the lock"])


def records(till: Till, film: Row) -> Work:
    """Staff record that the buyer paid for the title elsewhere."""
    assert till.buyer.user_id is not None
    asked = RecordDirectPurchase(till.buyer.user_id, film["id"], Decimal("4.50"), "EUR")
    return lambda tx: do_record_direct_purchase(tx, till.staff, asked, datetime.now(UTC))


def gives_back(till: Till, purchase_id: str) -> Work:
    """Staff give the money of a direct purchase back."""
    asked = RefundDirectPurchase(UUID(purchase_id))
    return lambda tx: do_refund_direct_purchase(tx, till.staff, asked, datetime.now(UTC))


def receives(till: Till, order_id: UUID, amount: str) -> Work:
    """Staff receive the money for an order."""
    asked = RecordPayment(order_id, f"ref-{order_id}", Decimal(amount), "EUR")
    return lambda tx: do_record_payment(tx, till.staff, asked, datetime.now(UTC))


async def interleave(till: Till, first: Work, second: Work, *, is_kept: bool) -> Refusal | None:
    """Both, on two connections: the second one begins when the first one's work is done, and the first commits when the second
    waits for it (or, where nothing makes it wait, has committed). How the second was refused."""
    if not is_kept:
        await till.rows.connection.execute(NO_WAITING)

    async def alone() -> None:
        async with till.database.transaction(till.staff) as tx:
            await second(tx)

    async with till.database.transaction(till.staff) as tx:
        await first(tx)
        running = asyncio.create_task(alone())
        if is_kept:
            await until(lambda: till.rows.connection.fetchval(WAITS), 60, "the second one waits for the first")
            assert not running.done()
        else:
            await asyncio.wait({running})
    try:
        await running
    except Refusal as refusal:
        return refusal
    return None


async def holdings(till: Till, film: Row) -> list[str]:
    """By what the buyer has a title."""
    return await till.many(
        """SELECT 'order' FROM user_library WHERE user_id = $1 AND content_id = $2
           UNION ALL SELECT 'direct' FROM direct_purchases WHERE user_id = $1 AND content_id = $2 AND status = 'PAID' ORDER BY 1""",
        till.buyer.user_id,
        film["id"],
    )


@both_ways
@pytest.mark.rule("streaming-085")
async def test_recorded_while_an_order_of_it_is_being_paid_it_is_refused(till: Till, is_kept: bool) -> None:
    film = await till.content(("5", "EUR"))
    order = await till.buys(film)
    refused = await interleave(till, receives(till, order, "5"), records(till, film), is_kept=is_kept)
    if not is_kept:
        assert await holdings(till, film) == ["direct", "order"], "the fault that the lock prevents"
        return
    assert refused is not None
    assert refused.code is ALREADY_OWNED
    assert await holdings(till, film) == ["order"]
    assert await till.topics() == ["order.placed", "order.paid"]


@both_ways
@pytest.mark.rule("streaming-085")
async def test_paid_while_a_direct_purchase_of_it_is_being_recorded_the_order_leaves_it_be(
    till: Till, is_kept: bool
) -> None:
    film, other = [await till.content(("5", "EUR")) for _ in range(2)]
    order = await till.buys(film, other)
    refused = await interleave(till, records(till, film), receives(till, order, "10"), is_kept=is_kept)
    assert refused is None
    if not is_kept:
        assert await holdings(till, film) == ["direct", "order"], "the fault that the lock prevents"
        return
    assert await holdings(till, film) == ["direct"]
    assert await holdings(till, other) == ["order"]


@both_ways
@pytest.mark.parametrize("comes_first", ["refund", "order"])
async def test_given_back_while_an_order_of_it_is_being_paid_it_is_the_orders(
    till: Till, is_kept: bool, comes_first: str
) -> None:
    film, other = [await till.content(("5", "EUR")) for _ in range(2)]
    order = await till.buys(await till.playlist("9", film, other))
    bought = {"user_id": till.buyer.user_id, "content_id": film["id"], "price": "4.50", "currency": "EUR"}
    purchase = (await till.ask(till.staff, "record_direct_purchase", **bought))["purchase_id"]
    refund, payment = gives_back(till, purchase), receives(till, order, "9")
    works = (refund, payment) if comes_first == "refund" else (payment, refund)
    assert await interleave(till, *works, is_kept=is_kept) is None
    assert await holdings(till, film) == (["order"] if is_kept else []), "paid for, and in nobody's hands"
    assert await holdings(till, other) == ["order"]


@both_ways
async def test_an_order_and_a_purchase_given_back_at_once_do_not_wait_for_each_other(till: Till, is_kept: bool) -> None:
    """The purchase's title comes back by the very order that is being given back, whose other title comes back by a second order."""
    film, other = [await till.content(("5", "EUR")) for _ in range(2)]
    bought = {"user_id": till.buyer.user_id, "content_id": film["id"], "price": "4.50", "currency": "EUR"}
    purchase = (await till.ask(till.staff, "record_direct_purchase", **bought))["purchase_id"]
    orders = [await till.buys(await till.playlist("9", *films)) for films in ((film, other), (other,))]
    payments = [await till.pays(order) for order in orders]
    lock = ORDER_SQL["order_lock"] if is_kept else Statement("order_lock", "one", "The row alone.", ROW_ALONE)

    async def purchase_back() -> None:
        async with till.database.transaction(till.staff) as tx:
            await gives_back(till, purchase)(tx)

    async def order_back() -> None:
        async with till.database.transaction(till.staff) as tx:
            async with acting_as_service(tx):
                await tx.one(lock, orders[0])
            waiting.append(asyncio.create_task(purchase_back()))
            await until(lambda: till.rows.connection.fetchval(WAITS_AT_ALL), 60, "the purchase's refund to wait")
            await do_refund_payment(tx, till.staff, RefundPayment(payments[0]), datetime.now(UTC))

    waiting: list[asyncio.Task[None]] = []
    ended = await asyncio.gather(order_back(), return_exceptions=True)
    ended += await asyncio.gather(*waiting, return_exceptions=True)
    if not is_kept:
        assert any(ended), "PostgreSQL ended one of the two"
        return
    assert ended == [None, None]
    assert await holdings(till, film) == []
    assert await holdings(till, other) == ["order"]


async def test_a_load_of_many_buyers_fits_the_table_of_locks(till: Till) -> None:
    """With a lock for each of them it would not: PostgreSQL has room for some thousands."""
    many = 100_000
    connection = till.rows.connection
    room = "SELECT current_setting('max_locks_per_transaction')::int * current_setting('max_connections')::int"
    assert await connection.fetchval(room) < many
    async with connection.transaction():
        await connection.fetch("SELECT count(hold_purchases(gen_random_uuid())) FROM generate_series(1, $1::int)", many)
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.fetchval(held) == 1024
