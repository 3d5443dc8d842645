"""Webhooks: where a tenant wants to be told of what happens. Sending is edge/effects/'s business."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.context import Asked, Command, Handler, Table
from core.domain.topics import TEST_EVENT, told_to_webhooks
from core.domain.webhook_guard import Guard
from core.errors import BAD_TARGET, NOT_FOUND, UNKNOWN_TOPIC, WEBHOOK_DISABLED, Fault, Refusal, bad_field
from core.ids import uuid7
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.platform", "webhooks.sql")

SECRET_BYTES = 32
OLD_SECRET_SIGNS = timedelta(hours=24)
MOST_EVENT_TYPES = 100

# TABLES
# Everything about a webhook changes by command: a secret is made, sealed and shown once, an address is looked at first.
TABLES = (
    Table("webhooks", frozenset({"read", "delete"}), hidden=frozenset({"secret", "old_secret"})),
    Table("webhook_deliveries"),
)

# RULES


def check_target(url: str, guard: Guard) -> Refusal | None:
    """A webhook may be told at that address, as far as it can be seen before it is resolved."""
    wrong = guard.check_url(url)
    if wrong is None:
        return None
    return Refusal(BAD_TARGET, f"url: {wrong}", faults=(Fault("url", wrong),))


def check_event_types(event_types: Sequence[str]) -> Refusal | None:
    """There are some, and each is an event that webhooks are told of."""
    if not 1 <= len(event_types) <= MOST_EVENT_TYPES:
        return bad_field("event_types", f"must name 1 to {MOST_EVENT_TYPES} events")
    known = told_to_webhooks()
    for number, name in enumerate(event_types):
        if name not in known:
            path = f"event_types[{number}]"
            return Refusal(UNKNOWN_TOPIC, hint=f"There are {', '.join(known)}.", faults=(Fault(path, "is no event"),))
    return None


def check_webhook(row: Row | None) -> Refusal | None:
    """The viewer sees the webhook."""
    return Refusal(NOT_FOUND) if row is None else None


# COMMANDS


class CreateWebhook(Asked, frozen=True):
    """Tells an address of events from now on. The answer holds the secret that signs them, shown this once."""

    url: str
    event_types: list[str]
    integration_id: UUID | None = None


class ChangeWebhook(Asked, frozen=True):
    """Another address, or other events. What is left out stays."""

    webhook_id: UUID
    url: str | None = None
    event_types: list[str] | None = None


class RotateWebhookSecret(Asked, frozen=True):
    """Makes a new secret, shown this once. For a day the old one signs beside it."""

    webhook_id: UUID


class EnableWebhook(Asked, frozen=True):
    """Tells it of what happens from now on. What happened while it was disabled is not made up for."""

    webhook_id: UUID


class DisableWebhook(Asked, frozen=True):
    """Tells it nothing more; what was waiting for it is given up."""

    webhook_id: UUID


class TestWebhook(Asked, frozen=True):
    """Sends it an event `webhook.test`. What came of it is in `webhook_deliveries`."""

    webhook_id: UUID


class WebhookSecret(msgspec.Struct, frozen=True):
    """The webhook and its secret, `whsec_` and base64 as Standard Webhooks writes it. Nobody can show it again."""

    webhook_id: UUID
    secret: str


class WebhookState(msgspec.Struct, frozen=True):
    """Where a webhook is told, of what, and whether it is."""

    webhook_id: UUID
    url: str
    event_types: list[str]
    enabled: bool


class TestDelivery(msgspec.Struct, frozen=True):
    """The row of `webhook_deliveries` to look at."""

    delivery_id: UUID


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "create_webhook": Command(CreateWebhook, WebhookSecret, shows_secret=True),
        "change_webhook": Command(ChangeWebhook, WebhookState),
        "rotate_webhook_secret": Command(RotateWebhookSecret, WebhookSecret, shows_secret=True),
        "enable_webhook": Command(EnableWebhook, WebhookState),
        "disable_webhook": Command(DisableWebhook, WebhookState),
        "test_webhook": Command(TestWebhook, TestDelivery),
    }
)

# HANDLERS


def new_secret() -> str:
    """A fresh signing secret."""
    return "whsec_" + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def bound_to(webhook_id: UUID) -> str:
    """What a webhook's secret is sealed for."""
    return f"webhooks.secret:{webhook_id}"


async def do_create_webhook(tx: Tx, _: Viewer, asked: CreateWebhook, now: datetime) -> WebhookSecret:
    """Raises Refusal BAD_TARGET, UNKNOWN_TOPIC, NOTHING_SEALS, NOT_FOUND or about a field."""
    refusal = check_target(asked.url, tx.house.guard) or check_event_types(asked.event_types)
    if refusal:
        raise refusal
    if asked.integration_id is not None and not await tx.value(SQL["integration_seen"], asked.integration_id):
        raise Refusal(NOT_FOUND, "There is no such integration.", faults=(Fault("integration_id", "is not there"),))
    webhook_id, secret = uuid7(), new_secret()
    sealed = tx.house.sealer.seal(secret, bound_to=bound_to(webhook_id))
    event_types = sorted(set(asked.event_types))
    await tx.value(SQL["webhook_insert"], webhook_id, asked.url, event_types, sealed, asked.integration_id)
    return WebhookSecret(webhook_id, secret)


async def do_change_webhook(tx: Tx, _: Viewer, asked: ChangeWebhook, now: datetime) -> WebhookState:
    """Raises Refusal NOT_FOUND, BAD_TARGET, UNKNOWN_TOPIC or about a field."""
    row = await _locked(tx, asked.webhook_id)
    url = row["url"] if asked.url is None else asked.url
    event_types = row["event_types"] if asked.event_types is None else sorted(set(asked.event_types))
    refusal = check_target(url, tx.house.guard) or check_event_types(event_types)
    if refusal:
        raise refusal
    await tx.run(SQL["webhook_change"], row["id"], url, event_types)
    return WebhookState(row["id"], url, event_types, row["enabled"])


async def do_rotate_webhook_secret(tx: Tx, _: Viewer, asked: RotateWebhookSecret, now: datetime) -> WebhookSecret:
    """Raises Refusal NOT_FOUND, NOTHING_SEALS."""
    row = await _locked(tx, asked.webhook_id)
    secret = new_secret()
    sealed = tx.house.sealer.seal(secret, bound_to=bound_to(row["id"]))
    await tx.run(SQL["webhook_rotate"], row["id"], sealed, now + OLD_SECRET_SIGNS)
    return WebhookSecret(row["id"], secret)


async def do_enable_webhook(tx: Tx, _: Viewer, asked: EnableWebhook, now: datetime) -> WebhookState:
    """Raises Refusal NOT_FOUND."""
    row = await _locked(tx, asked.webhook_id)
    if not row["enabled"]:
        await tx.run(SQL["webhook_enable"], row["id"])
    return WebhookState(row["id"], row["url"], row["event_types"], True)


async def do_disable_webhook(tx: Tx, _: Viewer, asked: DisableWebhook, now: datetime) -> WebhookState:
    """Raises Refusal NOT_FOUND."""
    row = await _locked(tx, asked.webhook_id)
    if row["enabled"]:
        await tx.run(SQL["webhook_disable"], row["id"], "by hand")
        await tx.value(SQL["waiting_give_up"], row["id"])
    return WebhookState(row["id"], row["url"], row["event_types"], False)


async def do_test_webhook(tx: Tx, _: Viewer, asked: TestWebhook, now: datetime) -> TestDelivery:
    """Raises Refusal NOT_FOUND, WEBHOOK_DISABLED."""
    row = await _locked(tx, asked.webhook_id)
    if not row["enabled"]:
        raise Refusal(WEBHOOK_DISABLED)
    data = msgspec.json.encode({"webhook_id": row["id"]}).decode()
    # A subject of its own: it waits behind nothing.
    event_id = uuid7()
    delivery_id = await tx.value(SQL["delivery_insert"], row["id"], event_id, TEST_EVENT, f"test:{event_id}", data)
    return TestDelivery(delivery_id)


async def _locked(tx: Tx, webhook_id: UUID) -> Row:
    row = await tx.one(SQL["webhook_lock"], webhook_id)
    if refusal := check_webhook(row):
        raise refusal
    assert row is not None
    return row


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        CreateWebhook: do_create_webhook,
        ChangeWebhook: do_change_webhook,
        RotateWebhookSecret: do_rotate_webhook_secret,
        EnableWebhook: do_enable_webhook,
        DisableWebhook: do_disable_webhook,
        TestWebhook: do_test_webhook,
    }
)
