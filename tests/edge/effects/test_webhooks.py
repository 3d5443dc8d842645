"""Webhooks from the command that makes one to the receiver that verifies what it got: real HTTP, real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson
import pytest
from aiohttp import web

from core.database import Database, Row
from core.domain.commands import Commands
from core.domain.house import House
from core.domain.registry import CONTEXTS
from core.domain.webhook_guard import Guard
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from edge.effects.line import Done, Item, Line, Outcome, Schedule
from edge.effects.outbox import Outbox
from edge.effects.webhook_line import Webhooks
from tests.conftest import TestDatabase
from tests.edge.effects.conftest import SEALER, ask, clock, couriers, effect, settled
from tests.edge.effects.receivers import Receiver, receiver
from tests.waiting import until

HOUSE = House(SEALER, Guard((ip_network("127.0.0.0/8"),), http=True))
STAFF = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000302"), "staff")
PATIENCE_S = 60
EVENTS = ["content.published", "content.unpublished"]


async def no_mail(_: Item) -> Outcome:
    return Done("no mail here")


@dataclass
class Desk:
    """Staff who give commands, and couriers that carry them out."""

    database: Database
    commands: Commands
    webhooks: Webhooks

    async def do(self, command: str, **fields: object) -> Any:
        asked = msgspec.convert(fields, self.commands.known[command].request, strict=False)
        done = await self.commands.run(STAFF, command, asked, now=datetime.now(UTC))
        return orjson.loads(done.body)

    def lines(self, schedule: Schedule | None = None) -> list[Line]:
        line = self.webhooks.line()
        if schedule is not None:
            line = replace(line, schedule=schedule)
        return [*Outbox(self.database, no_mail).lines(), line]

    async def deliveries(self, count: int) -> list[Row]:
        return await settled(self.database, count, "webhook_deliveries")

    async def published(self, content_id: str, topic: str = "content.published") -> None:
        await effect(self.database, topic, f"content:{content_id}", {"content_id": content_id})


@pytest.fixture
async def desk(database_urls: TestDatabase, database: Database) -> AsyncIterator[Desk]:
    pool = await Database.connect(database_urls.app_url, name="test", max_size=8, house=HOUSE)
    await ask(
        pool,
        "INSERT INTO users (id, name, email) VALUES ($1, 'Stella', 'stella@example.com')",
        STAFF.user_id,
        viewer=service(),
    )
    async with Webhooks(pool, HOUSE, clock) as webhooks:
        yield Desk(pool, Commands(pool, CONTEXTS), webhooks)
    await pool.close()


@pytest.fixture
async def hooked() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.mark.rule("podcast-106")
@pytest.mark.rule("podcast-107")
@pytest.mark.rule("podcast-108")
async def test_a_webhook_is_told_of_its_events_alone_signed_and_only_while_enabled(
    desk: Desk, hooked: Receiver
) -> None:
    made = await desk.do("create_webhook", url=f"{hooked.url}/mine", event_types=EVENTS)
    off = await desk.do("create_webhook", url=f"{hooked.url}/off", event_types=EVENTS)
    await desk.do("disable_webhook", webhook_id=off["webhook_id"])
    await desk.published("a")
    await desk.published("a", "content.priced")
    await desk.published("a", "content.unpublished")
    async with couriers(desk.database, desk.lines()):
        rows = await settled(desk.database, 3)
        await desk.deliveries(2)
    assert [row["outcome"] for row in rows] == ["1 webhook told", "0 webhooks told", "1 webhook told"]
    events = hooked.verified(made["secret"])
    assert [(event["type"], event["data"]) for event in events] == [
        ("content.published", {"content_id": "a"}),
        ("content.unpublished", {"content_id": "a"}),
    ]
    assert {sent.path for sent in hooked.got} == {"/mine"}
    assert [sent.headers["webhook-id"] for sent in hooked.got] == [f"msg_{rows[0]['id']}", f"msg_{rows[2]['id']}"]


async def test_a_slow_receiver_holds_up_no_other(desk: Desk, hooked: Receiver) -> None:
    async with receiver() as slow:
        slow.held = asyncio.Event()
        await desk.do("create_webhook", url=slow.url, event_types=EVENTS)
        await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
        async with couriers(desk.database, desk.lines()):
            for number in range(40):
                await desk.published(str(number))
            await until(lambda: len(hooked.got) == 40, PATIENCE_S, "the quick one to have all")
            assert len(slow.got) <= 4
            slow.held.set()
            await desk.deliveries(80)
        assert {sent.event["data"]["content_id"] for sent in slow.got} == {str(number) for number in range(40)}


async def test_events_of_one_subject_arrive_in_order_though_the_first_fails(desk: Desk, hooked: Receiver) -> None:
    refusals = iter([500, 302, 503])
    hooked.answer = lambda _: web.Response(status=next(refusals, 204), headers={"Location": f"{hooked.url}/elsewhere"})
    made = await desk.do("create_webhook", url=f"{hooked.url}/here", event_types=EVENTS)
    for topic in ("content.published", "content.unpublished", "content.published"):
        await desk.published("a", topic)
    async with couriers(desk.database, desk.lines(Schedule(0.05, 1, 0.05, 9))):
        rows = await desk.deliveries(3)
    assert [event["type"] for event in hooked.verified(made["secret"])] == [
        *["content.published"] * 4,
        "content.unpublished",
        "content.published",
    ]
    assert [row["attempts"] for row in rows] == [4, 1, 1]
    # The same event has the same id and the same body at every attempt; and nobody followed the redirect.
    assert len({(sent.headers["webhook-id"], sent.body) for sent in hooked.got[:4]}) == 1
    assert {sent.path for sent in hooked.got} == {"/here"}


async def test_a_webhook_that_has_failed_for_days_is_disabled_and_its_owner_told(desk: Desk, hooked: Receiver) -> None:
    hooked.answer = lambda _: web.Response(status=500)
    made = await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    await desk.published("a")
    await desk.published("b")
    async with couriers(desk.database, desk.lines(Schedule(0.05, 1, 0.05, 10_000))):

        async def failing() -> bool:
            (row,) = await ask(desk.database, "SELECT failing_since, enabled FROM webhooks")
            return row["failing_since"] is not None and row["enabled"]

        await until(failing, PATIENCE_S)
        await ask(desk.database, "UPDATE webhooks SET failing_since = now() - interval '6 days'")
        rows = await desk.deliveries(2)
    assert all(row["given_up_at"] for row in rows)
    (row,) = await ask(desk.database, "SELECT enabled, disabled_reason FROM webhooks")
    assert row["enabled"] is False
    assert "answered 500" in row["disabled_reason"]
    notes = await ask(desk.database, "SELECT user_id, message FROM notifications", viewer=service())
    assert [note["user_id"] for note in notes] == [STAFF.user_id]
    assert hooked.url in notes[0]["message"]
    wanted = await ask(
        desk.database, "SELECT topic FROM outbox WHERE topic LIKE '%.wanted' OR topic LIKE 'webhook.%' ORDER BY seq"
    )
    assert [row["topic"] for row in wanted] == ["webhook.disabled", "mail.wanted"]
    again = await desk.do("enable_webhook", webhook_id=made["webhook_id"])
    assert again["enabled"] is True


async def test_a_webhook_that_works_again_is_not_counted_as_failing(desk: Desk, hooked: Receiver) -> None:
    refusals = iter([500])
    hooked.answer = lambda _: web.Response(status=next(refusals, 200))
    await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    await desk.published("a")
    async with couriers(desk.database, desk.lines(Schedule(0.05, 1, 0.05, 9))):
        await desk.deliveries(1)
    (row,) = await ask(desk.database, "SELECT failing_since, enabled FROM webhooks")
    assert (row["failing_since"], row["enabled"]) == (None, True)


async def test_410_ends_a_webhook_at_once(desk: Desk, hooked: Receiver) -> None:
    hooked.answer = lambda _: web.Response(status=410)
    await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    await desk.published("a")
    async with couriers(desk.database, desk.lines()):
        await desk.deliveries(1)
    (row,) = await ask(desk.database, "SELECT enabled, disabled_reason FROM webhooks")
    assert (row["enabled"], len(hooked.got)) == (False, 1)


async def test_an_address_that_has_become_forbidden_is_not_reached(desk: Desk, hooked: Receiver) -> None:
    """Its name was public when it was made; now it answers an address of ours."""
    await desk.do("create_webhook", url=hooked.url.replace("127.0.0.1", "localhost"), event_types=EVENTS)
    await desk.published("a")
    strict = House(SEALER, Guard(http=True))
    async with Webhooks(desk.database, strict, clock) as webhooks:
        line = webhooks.line()
        lines = [
            *Outbox(desk.database, no_mail).lines(),
            replace(line, schedule=Schedule(0.05, 1, 0.05, 2), at_once=8),
        ]
        async with couriers(desk.database, lines):
            (row,) = await desk.deliveries(1)
    assert "refused" in row["last_error"] or "ports" in row["last_error"]
    assert hooked.got == []


@pytest.mark.parametrize("answer", ["huge", "endless", "broken"])
async def test_whatever_a_receiver_says_is_not_read_to_its_end(
    desk: Desk, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {
        "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 900000000000\r\n\r\n" + b"x" * 100_000,
        "endless": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 1000,
        "broken": b"SSH-2.0-OpenSSH_9.2\r\n",
    }[answer]
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(said)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await desk.do("create_webhook", url=url, event_types=EVENTS)
        await desk.published("a")
        async with couriers(desk.database, desk.lines(Schedule(0.05, 1, 0.05, 2))):
            (row,) = await desk.deliveries(1)
    if answer == "broken":
        assert "no answer" in row["last_error"]
    else:
        assert row["outcome"] == "answered 200"


async def test_a_test_reaches_its_webhook_and_no_other(desk: Desk, hooked: Receiver) -> None:
    made = await desk.do("create_webhook", url=f"{hooked.url}/a", event_types=EVENTS)
    await desk.do("create_webhook", url=f"{hooked.url}/b", event_types=EVENTS)
    tried = await desk.do("test_webhook", webhook_id=made["webhook_id"])
    async with couriers(desk.database, desk.lines()):
        (row,) = await desk.deliveries(1)
    assert (str(row["id"]), row["event_type"]) == (tried["delivery_id"], "webhook.test")
    assert [sent.path for sent in hooked.got] == ["/a"]
    assert hooked.verified(made["secret"])[0]["data"] == {"webhook_id": made["webhook_id"]}


async def test_a_rotated_secret_signs_beside_the_old_one_and_alone_when_that_has_ended(
    desk: Desk, hooked: Receiver
) -> None:
    old = await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    new = await desk.do("rotate_webhook_secret", webhook_id=old["webhook_id"])
    assert new["secret"] != old["secret"]
    async with couriers(desk.database, desk.lines()):
        await desk.published("a")
        await desk.deliveries(1)
        hooked.verified(old["secret"])
        hooked.verified(new["secret"])
        await ask(desk.database, "UPDATE webhooks SET old_secret_until = now()")
        await desk.published("b")
        await desk.deliveries(2)
    assert len(hooked.got[0].headers["webhook-signature"].split(" ")) == 2
    assert len(hooked.got[1].headers["webhook-signature"].split(" ")) == 1


async def test_a_secret_is_sealed_where_it_is_kept_and_in_no_log_of_changes(desk: Desk) -> None:
    made = await desk.do("create_webhook", url="https://example.com/", event_types=EVENTS)
    turned = await desk.do("rotate_webhook_secret", webhook_id=made["webhook_id"])
    (row,) = await ask(desk.database, "SELECT secret, old_secret FROM webhooks")
    for kept, shown in ((row["old_secret"], made["secret"]), (row["secret"], turned["secret"])):
        assert shown.removeprefix("whsec_") not in kept
        assert SEALER.open(kept, bound_to=f"webhooks.secret:{made['webhook_id']}") == shown
    logged = await ask(
        desk.database, "SELECT changes::text FROM audit_logs WHERE resource_type = 'webhooks'", viewer=service()
    )
    assert len(logged) >= 2
    assert all('secret":' not in entry["changes"] for entry in logged)
    assert all(shown not in entry["changes"] for entry in logged for shown in (row["secret"], row["old_secret"]))


async def test_a_secret_is_shown_once_whatever_key_came_with_the_command(desk: Desk) -> None:
    asked = msgspec.convert(
        {"url": "https://example.com/", "event_types": EVENTS}, desk.commands.known["create_webhook"].request
    )
    made = await desk.commands.run(STAFF, "create_webhook", asked, now=datetime.now(UTC), key="k1")
    with pytest.raises(Refusal) as refused:
        await desk.commands.run(STAFF, "create_webhook", asked, now=datetime.now(UTC), key="k1")
    assert refused.value.code.code == "PS632"
    (kept,) = await ask(desk.database, "SELECT answer FROM idempotency_keys", viewer=STAFF)
    assert orjson.loads(made.body)["secret"].encode() not in kept["answer"]
    assert len(await ask(desk.database, "SELECT 1 FROM webhooks")) == 1


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"url": "https://10.0.0.1/", "event_types": EVENTS}, "PS626", "url"),
        ({"url": "https://user:pw@example.com/", "event_types": EVENTS}, "PS626", "url"),
        ({"url": "gopher://example.com/", "event_types": EVENTS}, "PS626", "url"),
        ({"url": "https://example.com/", "event_types": []}, "PS102", "event_types"),
        (
            {"url": "https://example.com/", "event_types": ["content.published", "mail.wanted"]},
            "PS627",
            "event_types[1]",
        ),
        (
            {"url": "https://example.com/", "event_types": EVENTS, "integration_id": str(uuid4())},
            "PS105",
            "integration_id",
        ),
    ],
)
async def test_a_webhook_that_makes_no_sense_is_refused(
    desk: Desk, fields: dict[str, Any], code: str, path: str
) -> None:
    with pytest.raises(Refusal) as refused:
        await desk.do("create_webhook", **fields)
    assert (refused.value.code.code, refused.value.faults[0].path) == (code, path)
    assert await ask(desk.database, "SELECT 1 FROM webhooks") == []


async def test_without_a_sealing_key_no_secret_is_made(database: Database) -> None:
    commands = Commands(database, CONTEXTS)
    asked = msgspec.convert(
        {"url": "https://example.com/", "event_types": EVENTS}, commands.known["create_webhook"].request
    )
    with pytest.raises(Refusal) as refused:
        await commands.run(STAFF, "create_webhook", asked, now=datetime.now(UTC))
    assert refused.value.code.code == "PS625"


async def test_what_waits_for_a_webhook_that_is_disabled_is_given_up(desk: Desk, hooked: Receiver) -> None:
    made = await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    await desk.published("a")
    async with couriers(desk.database, desk.lines()[:1]):
        await settled(desk.database, 1)
    await desk.do("disable_webhook", webhook_id=made["webhook_id"])
    (row,) = await desk.deliveries(1)
    assert row["last_error"] == "the webhook was disabled"
    with pytest.raises(Refusal) as refused:
        await desk.do("test_webhook", webhook_id=made["webhook_id"])
    assert refused.value.code.code == "PS628"
    assert hooked.got == []


async def test_another_tenants_webhook_is_not_there(desk: Desk, hooked: Receiver) -> None:
    other = uuid4()
    await ask(desk.database, "INSERT INTO tenants (id, slug) VALUES ($1, 'next-door')", other, viewer=service())
    made = await desk.do("create_webhook", url=hooked.url, event_types=EVENTS)
    await effect(desk.database, "content.published", "content:a", {"content_id": "a"}, service(other))
    async with couriers(desk.database, desk.lines()):
        (row,) = await settled(desk.database, 1)
    assert (row["outcome"], hooked.got) == ("0 webhooks told", [])
    stranger = Viewer(other, None, "staff")
    for command in ("rotate_webhook_secret", "disable_webhook", "test_webhook"):
        request = desk.commands.known[command].request(webhook_id=UUID(made["webhook_id"]))
        with pytest.raises(Refusal) as refused:
            await desk.commands.run(stranger, command, request, now=datetime.now(UTC))
        assert refused.value.code.code == "PS105"
