"""Who earned a conversion: its path, the shares of every enabled model, and their sums by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

import msgspec
import orjson

from core.database import Row, Tx
from core.domain.advertising.attribution import Model, add_up, check_configuration, share_credit
from core.domain.commands import acting_as_service
from core.domain.context import Asked
from core.errors import NO_ATTRIBUTION_MODEL, NOT_A_CONVERSION, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.advertising", "conversions.sql")

# RULES


def check_day(day: date, today: date) -> Refusal | None:
    """A day that has begun."""
    return bad_field("analysis_date", "must not lie in the future") if day > today else None


def check_conversion(attribution_type: str) -> Refusal | None:
    """Credit is shared for a conversion alone."""
    return None if attribution_type == "conversion" else Refusal(NOT_A_CONVERSION)


# COMMANDS


class SaveAttributionModel(Asked, frozen=True):
    """Makes the model of that name, or sets it anew. One that is not enabled takes no part in anything."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    model_type: Model
    configuration: dict[str, Any] = msgspec.field(default_factory=dict)
    enabled: bool = True


class ModelSaved(msgspec.Struct, frozen=True):
    """The model as it is stored."""

    model_id: UUID
    name: str
    model_type: str
    configuration: dict[str, Any]
    enabled: bool


class AttributeConversion(Asked, frozen=True):
    """Shares a conversion among the listener's touches of the 90 days before it, by every enabled model, and stores its path."""

    event_id: UUID


class Touch(msgspec.Struct, frozen=True):
    """One step of a path."""

    event_id: UUID
    attribution_type: str
    episode_id: UUID | None
    occurred_at: datetime


class Credit(msgspec.Struct, frozen=True):
    """The shares of the path's touches, in their order, as one model has it: together 1, or none where there is no touch."""

    model_id: UUID
    name: str
    model_type: str
    shares: list[float]


class Attributed(msgspec.Struct, frozen=True):
    """A conversion, what led to it, and what each step of it gets."""

    event_id: UUID
    campaign_id: UUID
    listener_id: str
    path_id: UUID
    touchpoints: list[Touch]
    credits: list[Credit]


class RunDailyAttribution(Asked, frozen=True):
    """Analyses a day (UTC; default: yesterday) of one campaign, or of each that had an event on it. Run again, it replaces what it found."""

    analysis_date: date | None = None
    campaign_id: UUID | None = None


class DailyAnalysis(msgspec.Struct, frozen=True):
    """A campaign's day: events by type, listeners, conversions, and by model what each episode gets of those."""

    campaign_id: UUID
    analysis_date: date
    metrics: dict[str, Any]


class DailyAnalyses(msgspec.Struct, frozen=True):
    """One for each campaign."""

    analyses: list[DailyAnalysis]


# HANDLERS


async def do_save_model(tx: Tx, _: Viewer, asked: SaveAttributionModel, now: datetime) -> ModelSaved:
    """Raises Refusal about the configuration."""
    if refusal := check_configuration(asked.model_type, asked.configuration):
        raise refusal
    configuration = msgspec.json.encode(asked.configuration).decode()
    model_id = await tx.value(SQL["model_save"], asked.name, asked.model_type, configuration, asked.enabled)
    return ModelSaved(model_id, asked.name, asked.model_type, asked.configuration, asked.enabled)


async def do_attribute_conversion(tx: Tx, _: Viewer, asked: AttributeConversion, now: datetime) -> Attributed:
    """Raises Refusal NOT_FOUND, NOT_A_CONVERSION, NO_ATTRIBUTION_MODEL."""
    event = await tx.one(SQL["event_get"], asked.event_id)
    if event is None:
        raise Refusal(NOT_FOUND)
    if refusal := check_conversion(event["attribution_type"]):
        raise refusal
    models = await _models(tx)
    at = event["occurred_at"]
    rows = await tx.many(SQL["touches_many"], event["campaign_id"], event["listener_id"], at)
    touches = [Touch(**dict(row)) for row in rows]
    async with acting_as_service(tx):
        # Two that attribute one conversion store one path: the second waits here, and finds it.
        await tx.value(SQL["conversion_lock"], asked.event_id)
        path = orjson.dumps([msgspec.to_builtins(touch) for touch in touches]).decode()
        path_id = await tx.value(SQL["path_update"], asked.event_id, at, path)
        if path_id is None:
            whose = (event["campaign_id"], event["listener_id"])
            path_id = await tx.value(SQL["path_insert"], *whose, path, asked.event_id, at)
    moments = [touch.occurred_at for touch in touches]
    credits_ = [Credit(row["id"], row["name"], row["model_type"], _shares(row, moments, at)) for row in models]
    return Attributed(asked.event_id, event["campaign_id"], event["listener_id"], path_id, touches, credits_)


async def _models(tx: Tx) -> list[Row]:
    """The models that take part. Raises Refusal NO_ATTRIBUTION_MODEL."""
    models = await tx.many(SQL["models_enabled"])
    if not models:
        raise Refusal(NO_ATTRIBUTION_MODEL)
    return models


def _shares(model: Row, moments: Sequence[datetime], at: datetime) -> list[float]:
    return share_credit(model["model_type"], orjson.loads(model["configuration"]), moments, at)


async def do_run_daily(tx: Tx, _: Viewer, asked: RunDailyAttribution, now: datetime) -> DailyAnalyses:
    """Raises Refusal NOT_FOUND, NO_ATTRIBUTION_MODEL or about the date."""
    today = now.astimezone(UTC).date()
    day = asked.analysis_date or today - timedelta(days=1)
    if refusal := check_day(day, today):
        raise refusal
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    campaigns = [row["id"] for row in await tx.many(SQL["campaigns_of_day"], asked.campaign_id, start)]
    if asked.campaign_id is not None and not campaigns:
        raise Refusal(NOT_FOUND)
    models = await _models(tx)
    analyses = []
    for campaign_id in campaigns:
        metrics = await _analyse(tx, campaign_id, start, models)
        async with acting_as_service(tx):
            await tx.run(SQL["analysis_save"], campaign_id, day, orjson.dumps(metrics).decode())
        analyses.append(DailyAnalysis(campaign_id, day, metrics))
    return DailyAnalyses(analyses)


async def _analyse(tx: Tx, campaign_id: UUID, start: datetime, models: Sequence[Row]) -> dict[str, Any]:
    counted = await tx.many(SQL["events_of_day"], campaign_id, start)
    steps = await tx.many(SQL["paths_of_day"], campaign_id, start)
    # Rows come by conversion, in the order of its touches; a conversion without any has one row without a moment.
    paths = [
        [row for row in path if row["touched_at"] is not None]
        for path in (list(rows) for _, rows in groupby(steps, itemgetter("event_id")))
    ]
    episodes = [[row["episode_id"] for row in path] for path in paths]
    credited = {}
    for model in models:
        shares = [
            _shares(model, [row["touched_at"] for row in path], path[0]["occurred_at"]) if path else []
            for path in paths
        ]
        credited[model["name"]] = {"model_type": model["model_type"], "episodes": add_up(shares, episodes)}
    return {
        "events": {row["attribution_type"]: row["events"] for row in counted if row["attribution_type"] is not None},
        "listeners": next(row["listeners"] for row in counted if row["attribution_type"] is None),
        "conversions": len(paths),
        "without_touch": sum(not path for path in paths),
        "models": credited,
    }
