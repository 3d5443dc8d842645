"""Integrations: other systems, the tokens that open them, and how each exchange with them went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import EVERY_VERB, Asked, Command, Handler, Moment, Table
from core.errors import ILLEGAL_MOVE, NOT_FOUND, Refusal, bad_field
from core.ids import uuid7
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.platform", "integrations.sql")

MAX_TOKEN_CHARS = 8192

# TABLES
# What an integration is configured with is the tenant's own; its tokens are written by command, sealed, and read by nobody.
_INTEGRATION = frozenset({"name", "integration_type", "configuration"})
TABLES = (
    Table("integrations", EVERY_VERB, insertable=_INTEGRATION | {"id"}, updatable=_INTEGRATION),
    Table("integration_tokens", frozenset({"read", "delete"}), hidden=frozenset({"token_value_encrypted"})),
    Table("integration_sync_logs"),
)

# RULES


def check_token(token: str) -> Refusal | None:
    """A token is something, and not a book."""
    if not 1 <= len(token) <= MAX_TOKEN_CHARS:
        return bad_field("token", f"must have 1 to {MAX_TOKEN_CHARS} characters")
    return None


def check_end(status: str, error_message: str | None) -> Refusal | None:
    """A failed exchange says why; one that succeeded has nothing to say."""
    if (status == "failed") != (error_message is not None):
        return bad_field("error_message", "must be given when, and only when, the exchange failed")
    return None


# COMMANDS

Kind = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Records = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class StoreIntegrationToken(Asked, frozen=True):
    """Keeps a token for an integration, encrypted; it is never shown again. One of the same type is replaced."""

    integration_id: UUID
    token_type: Kind
    token: str
    expires_at: Moment | None = None


class StartIntegrationSync(Asked, frozen=True):
    """Notes that an exchange with an integration begins."""

    integration_id: UUID
    sync_type: Kind


class FinishIntegrationSync(Asked, frozen=True):
    """Notes how an exchange ended. The integration is then `active`, or `failing`."""

    sync_id: UUID
    status: Literal["succeeded", "failed"]
    records_synced: Records = 0
    error_message: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)] | None = None


class TokenStored(msgspec.Struct, frozen=True):
    """The row that holds it."""

    token_id: UUID


class SyncStarted(msgspec.Struct, frozen=True):
    """The exchange to be finished."""

    sync_id: UUID


class SyncFinished(msgspec.Struct, frozen=True):
    """As it is written down."""

    sync_id: UUID
    status: str
    records_synced: int
    completed_at: datetime


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "store_integration_token": Command(StoreIntegrationToken, TokenStored),
        "start_integration_sync": Command(StartIntegrationSync, SyncStarted),
        "finish_integration_sync": Command(FinishIntegrationSync, SyncFinished),
    }
)

# HANDLERS


def bound_to(token_id: UUID) -> str:
    """What an integration's token is sealed for."""
    return f"integration_tokens.token_value_encrypted:{token_id}"


async def do_store_token(tx: Tx, _: Viewer, asked: StoreIntegrationToken, now: datetime) -> TokenStored:
    """Raises Refusal NOT_FOUND, NOTHING_SEALS or about a field."""
    refusal = check_token(asked.token)
    if asked.expires_at is not None and asked.expires_at <= now:
        refusal = refusal or bad_field("expires_at", "must lie in the future")
    if refusal:
        raise refusal
    await _integration(tx, asked.integration_id)
    # The row is bound to its id, so one that is replaced keeps it; the integration's lock holds others off between the two.
    token_id = await tx.value(SQL["token_find"], asked.integration_id, asked.token_type) or uuid7()
    sealed = tx.house.sealer.seal(asked.token, bound_to=bound_to(token_id)).encode()
    await tx.value(SQL["token_store"], token_id, asked.integration_id, asked.token_type, sealed, asked.expires_at)
    return TokenStored(token_id)


async def do_start_sync(tx: Tx, _: Viewer, asked: StartIntegrationSync, now: datetime) -> SyncStarted:
    """Raises Refusal NOT_FOUND."""
    await _integration(tx, asked.integration_id)
    return SyncStarted(await tx.value(SQL["sync_insert"], asked.integration_id, asked.sync_type, now))


async def do_finish_sync(tx: Tx, _: Viewer, asked: FinishIntegrationSync, now: datetime) -> SyncFinished:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE when it has ended before, or about a field."""
    if refusal := check_end(asked.status, asked.error_message):
        raise refusal
    row = await tx.one(SQL["sync_lock"], asked.sync_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    if row["status"] != "running":
        raise Refusal(ILLEGAL_MOVE, f"The exchange has {row['status']} already.")
    await tx.run(SQL["sync_finish"], asked.sync_id, asked.status, asked.records_synced, asked.error_message, now)
    await tx.run(SQL["integration_status"], row["integration_id"], _STATUS[asked.status])
    return SyncFinished(asked.sync_id, asked.status, asked.records_synced, now)


_STATUS: Mapping[str, str] = {"succeeded": "active", "failed": "failing"}


async def _integration(tx: Tx, integration_id: UUID) -> None:
    if not await tx.value(SQL["integration_lock"], integration_id):
        raise Refusal(NOT_FOUND, "There is no such integration.")


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        StoreIntegrationToken: do_store_token,
        StartIntegrationSync: do_start_sync,
        FinishIntegrationSync: do_finish_sync,
    }
)
