"""Experiments: who sees which variant, for good, and what they do under it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import EVERY_VERB, PEOPLE, Asked, Command, Handler, Table
from core.errors import EXPERIMENT_CLOSED, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.platform", "experiments.sql")

MAX_DATA_BYTES = 4096

# TABLES
_EXPERIMENT = frozenset({"name", "description", "start_date", "end_date"})
TABLES = (
    # Its variants stand once it is made: who has one keeps it.
    Table("experiments", EVERY_VERB, insertable=_EXPERIMENT | {"id", "variants"}, updatable=_EXPERIMENT | {"status"}),
    Table("experiment_assignments"),
    Table("experiment_events"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "experiments": {
            "draft": frozenset({"running"}),
            "running": frozenset({"paused", "completed"}),
            "paused": frozenset({"running", "completed"}),
            "completed": frozenset(),
        }
    }
)

# RULES


def check_data(data: Mapping[str, object]) -> Refusal | None:
    """An event carries a note, not a document."""
    if len(msgspec.json.encode(data)) > MAX_DATA_BYTES:
        return bad_field("event_data", f"must not be longer than {MAX_DATA_BYTES} bytes")
    return None


# COMMANDS


class ExperimentVariant(Asked, frozen=True):
    """Your variant of an experiment: given when you first ask while it runs, and the same ever after."""

    experiment_id: UUID


class RecordExperimentEvent(Asked, frozen=True):
    """Something you did under your variant."""

    experiment_id: UUID
    event_type: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    event_data: dict[str, Any] = msgspec.field(default_factory=dict)


class ExperimentResults(Asked, frozen=True):
    """What was done under each variant."""

    experiment_id: UUID


class Variant(msgspec.Struct, frozen=True):
    """The variant."""

    experiment_id: UUID
    variant: str


class EventRecorded(msgspec.Struct, frozen=True):
    """Its row."""

    event_id: UUID


class VariantCount(msgspec.Struct, frozen=True):
    """Events of one type under one variant: how many, and by how many people."""

    variant: str
    event_type: str
    events: int
    people: int


class Results(msgspec.Struct, frozen=True):
    """How many people have each variant, and what they did."""

    assigned: dict[str, int]
    counts: list[VariantCount]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "experiment_variant": Command(ExperimentVariant, Variant, PEOPLE),
        "record_experiment_event": Command(RecordExperimentEvent, EventRecorded, PEOPLE),
        "experiment_results": Command(ExperimentResults, Results, is_read=True),
    }
)

# HANDLERS


async def do_variant(tx: Tx, _: Viewer, asked: ExperimentVariant, now: datetime) -> Variant:
    """Raises Refusal EXPERIMENT_CLOSED where there is none to give: not running, over, or not there."""
    variant = await tx.value(SQL["variant_assign"], asked.experiment_id)
    if variant is None:
        raise Refusal(EXPERIMENT_CLOSED)
    return Variant(asked.experiment_id, variant)


async def do_record_event(tx: Tx, _: Viewer, asked: RecordExperimentEvent, now: datetime) -> EventRecorded:
    """Raises Refusal NOT_FOUND for whoever has no variant, or about the data."""
    if refusal := check_data(asked.event_data):
        raise refusal
    data = msgspec.json.encode(asked.event_data).decode()
    event_id = await tx.value(SQL["event_note"], asked.experiment_id, asked.event_type, data)
    if event_id is None:
        raise Refusal(NOT_FOUND, "You have no variant of such an experiment.")
    return EventRecorded(event_id)


async def do_results(tx: Tx, _: Viewer, asked: ExperimentResults, now: datetime) -> Results:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(SQL["experiment_seen"], asked.experiment_id):
        raise Refusal(NOT_FOUND)
    assigned = {row["variant"]: row["people"] for row in await tx.many(SQL["assigned_many"], asked.experiment_id)}
    counts = [VariantCount(**dict(row)) for row in await tx.many(SQL["results_many"], asked.experiment_id)]
    return Results(assigned, counts)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {ExperimentVariant: do_variant, RecordExperimentEvent: do_record_event, ExperimentResults: do_results}
)
