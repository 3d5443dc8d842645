"""What the operator runs: the installation's configuration, its replicas, its procedures for the worst day, its errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import msgspec
import orjson

from core.database import Row, Tx
from core.domain.context import STAFF, Asked, Command, Handler, Moment, Table
from core.errors import FORBIDDEN, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Role, Viewer

SQL = load("core.domain.platform", "operations.sql")

PRODUCT: frozenset[Role] = frozenset({"service_role"})
MAX_VALUE_BYTES = 64 * 1024

# TABLES
TABLES = (
    Table("replication_status"),
    Table("failover_events"),
    Table("recovery_procedures"),
    Table("backup_records"),
    # A trace is for the operator's own eyes, on the machine.
    Table("error_logs", hidden=frozenset({"stack"})),
    Table("audit_logs"),
    Table("reports"),
    Table("churn_events"),
)

# RULES


def check_value(value: object) -> Refusal | None:
    """A value is a setting, not a store of data."""
    if len(msgspec.json.encode(value)) > MAX_VALUE_BYTES:
        return bad_field("value", f"must not be longer than {MAX_VALUE_BYTES} bytes")
    return None


# COMMANDS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SetSystemConfig(Asked, frozen=True):
    """Sets an entry of the installation's configuration, for its operator. Who did is written down."""

    key: Name
    value: Any
    description: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class ReadSystemConfig(Asked, frozen=True):
    """The installation's configuration, for its operator."""


class ObserveReplica(Asked, frozen=True):
    """What monitoring saw of a replica, in place of what it saw before. `last_sync_at` left out stays."""

    replica_name: Name
    status: Name
    lag_seconds: Decimal | None = None
    last_sync_at: Moment | None = None


class RecordRecoveryTest(Asked, frozen=True):
    """A recovery procedure was tried and works (default: now)."""

    procedure_name: Name
    tested_at: Moment | None = None


class ConfigEntry(msgspec.Struct, frozen=True):
    """One entry, and who changed it last."""

    key: str
    value: Any
    description: str | None
    updated_by: UUID | None
    updated_at: datetime


class Config(msgspec.Struct, frozen=True):
    """All entries, by key."""

    entries: list[ConfigEntry]


class ReplicaSeen(msgspec.Struct, frozen=True):
    """Its one row."""

    replica_id: UUID
    last_sync_at: datetime | None


class RecoveryTested(msgspec.Struct, frozen=True):
    """When it was tried last."""

    procedure_name: str
    last_tested_at: datetime


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "set_system_config": Command(SetSystemConfig, ConfigEntry),
        "system_config": Command(ReadSystemConfig, Config, STAFF, is_read=True),
        "observe_replica": Command(ObserveReplica, ReplicaSeen, PRODUCT),
        "record_recovery_test": Command(RecordRecoveryTest, RecoveryTested, PRODUCT),
    }
)

# HANDLERS


async def do_set_config(tx: Tx, _: Viewer, asked: SetSystemConfig, now: datetime) -> ConfigEntry:
    """Raises Refusal FORBIDDEN for staff who are not the operator, or about the value."""
    if refusal := check_value(asked.value):
        raise refusal
    row = await tx.one(SQL["config_set"], asked.key, msgspec.json.encode(asked.value).decode(), asked.description)
    if row is None:
        raise Refusal(FORBIDDEN, "The configuration is the operator's.")
    return _entry(row)


async def do_read_config(tx: Tx, _: Viewer, asked: ReadSystemConfig, now: datetime) -> Config:
    """Nothing, for staff who are not the operator."""
    return Config([_entry(row) for row in await tx.many(SQL["config_many"])])


async def do_observe(tx: Tx, _: Viewer, asked: ObserveReplica, now: datetime) -> ReplicaSeen:
    """Raises Refusal about the lag."""
    if asked.lag_seconds is not None and not 0 <= asked.lag_seconds < 10**9:
        raise bad_field("lag_seconds", "must be 0 or more, and less than a billion")
    row = await tx.one(SQL["replica_observe"], asked.replica_name, asked.status, asked.lag_seconds, asked.last_sync_at)
    assert row is not None
    return ReplicaSeen(row["id"], row["last_sync_at"])


async def do_record_test(tx: Tx, _: Viewer, asked: RecordRecoveryTest, now: datetime) -> RecoveryTested:
    """Raises Refusal NOT_FOUND, or about a moment to come."""
    tested_at = asked.tested_at or now
    if tested_at > now:
        raise bad_field("tested_at", "must not lie in the future")
    last = await tx.value(SQL["procedure_tested"], asked.procedure_name, tested_at)
    if last is None:
        raise Refusal(NOT_FOUND, "There is no such procedure.")
    return RecoveryTested(asked.procedure_name, last)


def _entry(row: Row) -> ConfigEntry:
    return ConfigEntry(row["key"], orjson.loads(row["value"]), row["description"], row["updated_by"], row["updated_at"])


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        SetSystemConfig: do_set_config,
        ReadSystemConfig: do_read_config,
        ObserveReplica: do_observe,
        RecordRecoveryTest: do_record_test,
    }
)
