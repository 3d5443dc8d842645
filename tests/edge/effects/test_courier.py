"""Effects leave the outbox at least once, in order for each subject, whoever delivers them and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import orjson
import pytest

from core.database import Database
from core.ids import DEFAULT_TENANT
from core.viewer import COURIER, service
from edge.effects.line import Again, Dead, Done, Item, Line, Outcome, Schedule
from edge.effects.outbox import SQL, Outbox
from tests.edge.effects.conftest import ask, couriers, effect, settled

SOON = Schedule(first_s=0.05, factor=1, cap_s=0.05, tries=4)


class Receiver:
    """Remembers what it was given, and answers as it is told."""

    def __init__(self, answer: Callable[[Item], Outcome] = lambda _: Done("sent")) -> None:
        self.got: list[tuple[str, int]] = []
        self._answer = answer
        self.under_way: set[str] = set()
        self.overlaps = 0

    async def deliver(self, item: Item) -> Outcome:
        subject = item.row["subject"]
        self.overlaps += subject in self.under_way
        self.under_way.add(subject)
        await asyncio.sleep(0)
        self.got.append((subject, orjson.loads(item.row["payload"])["n"]))
        self.under_way.discard(subject)
        return self._answer(item)

    def line(self, schedule: Schedule = SOON, at_once: int = 8) -> Line:
        return Line("test", SQL, schedule, at_once, self.deliver, part=(False,))

    def of(self, subject: str) -> list[int]:
        return [n for name, n in self.got if name == subject]


async def fill(database: Database, subjects: int, each: int) -> None:
    for n in range(each):
        for subject in range(subjects):
            await effect(database, "content.published", f"content:{subject}", {"n": n})


async def test_effects_are_delivered_in_order_by_several_couriers(database: Database) -> None:
    await fill(database, subjects=12, each=6)
    receiver = Receiver()
    async with couriers(database, [receiver.line()], count=3):
        rows = await settled(database, 72)
    assert receiver.overlaps == 0
    assert {subject: receiver.of(subject) for subject in {name for name, _ in receiver.got}} == {
        f"content:{subject}": list(range(6)) for subject in range(12)
    }
    assert {row["outcome"] for row in rows} == {"sent"}
    assert {row["attempts"] for row in rows} == {1}


async def test_an_effect_that_fails_holds_up_its_own_subject_alone(database: Database) -> None:
    broken = asyncio.Event()
    receiver = Receiver(
        lambda item: Again("down") if "content:0" in item.row["subject"] and not broken.is_set() else Done("sent")
    )
    await fill(database, subjects=3, each=3)
    async with couriers(database, [receiver.line(Schedule(0.05, 1, 0.05, 10_000))]):
        rows = await settled(database, 6)
        assert {row["subject"] for row in rows if row["delivered_at"]} == {"content:1", "content:2"}
        assert set(receiver.of("content:0")) == {0}
        first = next(row for row in rows if row["subject"] == "content:0")
        assert first["last_error"] in (None, "down")
        broken.set()
        await settled(database, 9)
    again = receiver.of("content:0")
    assert again[-3:] == [0, 1, 2]
    assert set(again[:-2]) == {0}


async def test_after_the_last_try_it_is_given_up_and_what_follows_goes_on(database: Database) -> None:
    receiver = Receiver(lambda item: Again("down") if orjson.loads(item.row["payload"])["n"] == 0 else Done("sent"))
    await fill(database, subjects=1, each=2)
    async with couriers(database, [receiver.line()]):
        first, second = await settled(database, 2)
    assert (first["attempts"], first["last_error"]) == (4, "given up after 4 tries: down")
    assert first["given_up_at"] is not None
    assert second["delivered_at"] is not None
    assert receiver.of("content:0") == [0, 0, 0, 0, 1]


async def test_a_fault_of_ours_is_a_failure_and_its_text_is_kept_out(database: Database) -> None:
    async def fails(_: Item) -> Outcome:
        raise RuntimeError("secret-token-1234")

    await fill(database, subjects=1, each=1)
    async with couriers(database, [Line("test", SQL, SOON, 8, fails, part=(False,))]):
        (row,) = await settled(database, 1)
    assert "RuntimeError" in row["last_error"]
    assert "secret" not in row["last_error"]


async def test_a_lease_keeps_others_away_until_it_lapses(database: Database) -> None:
    await fill(database, subjects=1, each=1)
    async with database.transaction(COURIER) as tx:
        held = await tx.one(SQL["claim"], 10, 3600, False)
    assert held is not None
    async with database.transaction(COURIER) as tx:
        assert await tx.many(SQL["claim"], 10, 3600, False) == []
    # Its holder dies: the lease runs out.
    await ask(database, "UPDATE outbox SET lease_until = now(), next_attempt_at = now()")
    async with database.transaction(COURIER) as tx:
        taken = await tx.one(SQL["claim"], 10, 3600, False)
    assert taken is not None
    assert taken["attempts"] == 2
    # And comes back: what it says about the effect is no longer heard.
    async with database.transaction(COURIER) as tx:
        assert await tx.run(SQL["done"], [held["seq"]], [held["attempts"]], ["late"]) == 0
        assert await tx.run(SQL["give_up"], [held["seq"]], [held["attempts"]], ["late"]) == 0
        assert await tx.run(SQL["later"], [held["seq"]], [held["attempts"]], ["late"], [1.0]) == 0
        assert await tx.run(SQL["done"], [taken["seq"]], [taken["attempts"]], ["sent"]) == 1


async def test_what_follows_is_not_taken_while_the_first_is_in_hand(database: Database) -> None:
    await fill(database, subjects=1, each=2)
    async with database.transaction(COURIER) as tx:
        (held,) = await tx.many(SQL["claim"], 10, 3600, False)
    async with database.transaction(COURIER) as tx:
        assert await tx.many(SQL["claim"], 10, 3600, False) == []
        assert await tx.many(SQL["claim_next"], [held["seq"]], 3600, False) == []


async def test_nothing_is_delivered_of_a_transaction_that_is_taken_back(database: Database) -> None:
    receiver = Receiver()
    async with couriers(database, [receiver.line()]):
        with pytest.raises(LookupError):
            async with database.transaction(service()) as tx:
                await tx.connection.execute(
                    """INSERT INTO outbox (topic, subject, payload) VALUES ('content.published', 'content:x', '{"n": 1}')"""
                )
                raise LookupError
        await effect(database, "content.published", "content:y", {"n": 2})
        await settled(database, 1)
    assert receiver.got == [("content:y", 2)]


async def test_an_effect_is_announced_when_it_commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody polls here: only the announcement can have woken the courier."""
    monkeypatch.setattr("edge.effects.courier.POLL_S", 3600)
    receiver = Receiver()
    async with couriers(database, [receiver.line()]):
        # Once the first is through, the courier listens for certain.
        await effect(database, "content.published", "content:a", {"n": 1})
        await settled(database, 1)
        await effect(database, "content.published", "content:b", {"n": 2})
        await settled(database, 2)
    assert receiver.got == [("content:a", 1), ("content:b", 2)]


async def test_every_tenants_effects_are_seen_by_the_courier_and_no_other_role(database: Database) -> None:
    other = uuid4()
    await ask(database, "INSERT INTO tenants (id, slug) VALUES ($1, 'next-door')", other, viewer=service())
    for tenant in (DEFAULT_TENANT, other):
        await effect(database, "content.published", "content:same", {"n": 1}, service(tenant))
    seen = await ask(database, "SELECT tenant_id FROM outbox")
    assert {row["tenant_id"] for row in seen} == {DEFAULT_TENANT, other}
    assert [row["tenant_id"] for row in await ask(database, "SELECT tenant_id FROM outbox", viewer=service(other))] == [
        other
    ]
    receiver = Receiver()
    async with couriers(database, [receiver.line()]):
        await settled(database, 2)
    assert receiver.got == [("content:same", 1)] * 2


async def test_a_topic_that_nobody_handles_is_given_up_and_named(database: Database) -> None:
    async def no_mail(_: Item) -> Outcome:
        raise AssertionError("no mail was asked for")

    await effect(database, "content.vanished", "content:1", {"content_id": str(UUID(int=1))})
    async with couriers(database, Outbox(database, no_mail).lines()):
        (row,) = await settled(database, 1)
    assert row["given_up_at"] is not None
    assert "content.vanished" in row["last_error"]


async def test_what_is_dead_is_not_tried_again(database: Database) -> None:
    receiver = Receiver(lambda _: Dead("no such user"))
    await fill(database, subjects=1, each=1)
    async with couriers(database, [receiver.line()]):
        (row,) = await settled(database, 1)
    assert (row["attempts"], row["last_error"]) == (1, "no such user")


async def test_what_is_long_over_is_swept_out(database: Database) -> None:
    await fill(database, subjects=4, each=1)
    ages = {"content:0": "8 days", "content:1": "6 days", "content:2": "31 days", "content:3": "29 days"}
    for subject, age in ages.items():
        column = "delivered_at" if subject in ("content:0", "content:1") else "given_up_at"
        await ask(database, f"UPDATE outbox SET {column} = now() - $2::text::interval WHERE subject = $1", subject, age)
    async with database.transaction(COURIER) as tx:
        assert await tx.run(SQL["sweep"], 100) == 2
    left = await ask(database, "SELECT subject FROM outbox ORDER BY seq")
    assert [row["subject"] for row in left] == ["content:1", "content:3"]


async def test_many_are_settled_at_once_each_by_what_became_of_it(database: Database) -> None:
    """A transaction of the courier holds whatever came in: what is done, what is dead, and what is tried again."""
    ends: list[Outcome] = [Done("sent"), Dead("no such user"), Again("down")]
    receiver = Receiver(lambda item: ends[int(item.row["subject"].rpartition(":")[2]) % 3])
    await fill(database, subjects=60, each=1)
    async with couriers(database, [receiver.line(at_once=60)]):
        rows = await settled(database, 60)
    for row in rows:
        kind = int(row["subject"].rpartition(":")[2]) % 3
        said = (row["outcome"], row["last_error"], row["attempts"])
        assert (
            said
            == [
                ("sent", None, 1),
                (None, "no such user", 1),
                (None, "given up after 4 tries: down", 4),
            ][kind]
        )


async def test_one_that_cannot_be_written_down_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL refuses a text with a zero byte, and with it the statement for all."""
    monkeypatch.setattr("edge.effects.courier.LEASE_S", 60)
    monkeypatch.setattr("edge.effects.courier.HANDLER_S", 60)
    receiver = Receiver(lambda item: Done("a\0b" if item.row["subject"] == "content:3" else "sent"))
    await fill(database, subjects=8, each=1)
    async with couriers(database, [receiver.line()]):
        rows = await settled(database, 7)
    assert [row["subject"] for row in rows if row["delivered_at"] is None] == ["content:3"]


async def test_mail_and_the_rest_of_one_subject_keep_their_order_across_lines(database: Database) -> None:
    """They are taken in hand apart: what follows of the other kind is left to the other line, and at once."""
    got: list[int] = []

    async def mail(item: Item) -> Outcome:
        got.append(orjson.loads(item.row["payload"])["n"])
        return Done("kept")

    for n in range(8):
        await effect(database, "mail.wanted" if n % 2 else "content.published", "user:1", {"n": n})
    async with couriers(database, Outbox(database, mail).lines(), count=2):
        rows = await settled(database, 8)
    assert got == [1, 3, 5, 7]
    assert [row["outcome"] for row in rows] == ["0 webhooks told", "kept"] * 4
    ended = [row["delivered_at"] for row in rows]
    assert ended == sorted(ended)


async def test_effects_of_two_tenants_are_told_to_their_own_webhooks_in_one_go(database: Database) -> None:
    other = uuid4()
    await ask(database, "INSERT INTO tenants (id, slug) VALUES ($1, 'next-door')", other, viewer=service())

    async def no_mail(_: Item) -> Outcome:
        raise AssertionError("no mail was asked for")

    for tenant in (DEFAULT_TENANT, other):
        await ask(
            database,
            "INSERT INTO webhooks (url, event_types, secret) VALUES ('https://example.com/', '{content.published}', repeat('x', 40))",
            viewer=service(tenant),
        )
        for topic in ("content.published", "content.unpublished"):
            await effect(database, topic, f"content:{tenant}", {"n": 1}, service(tenant))
    async with couriers(database, Outbox(database, no_mail).lines()):
        rows = await settled(database, 4)
    assert sorted(row["outcome"] for row in rows) == ["0 webhooks told"] * 2 + ["1 webhook told"] * 2
    told = await ask(
        database,
        "SELECT d.tenant_id, w.tenant_id AS whose FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id",
    )
    assert sorted((row["tenant_id"], row["whose"]) for row in told) == sorted([(DEFAULT_TENANT,) * 2, (other,) * 2])
