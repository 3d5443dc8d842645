"""Whether an attribution event is to be believed: four checks, each stored with what it found."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from core.database import Tx
from core.domain.commands import acting_as_service
from core.domain.context import Asked
from core.errors import NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.advertising", "validation.sql")

# RULES


class Facts(msgspec.Struct, frozen=True):
    """What is known of an event: `spots` are those of its campaign in its episode, `repeats` the same by the same listener a minute before."""

    attribution_type: str
    occurred_at: datetime
    start_date: date | None
    end_date: date | None
    episode_id: UUID | None
    spots: int
    touches: int
    repeats: int


class Verdict(msgspec.Struct, frozen=True):
    """What one check says, and what it looked at."""

    validation_type: str
    passed: bool
    details: dict[str, Any]


def judge(facts: Facts) -> list[Verdict]:
    """Every check that applies to such an event, passed or not."""
    day = facts.occurred_at.astimezone(UTC).date()
    is_within = (facts.start_date is None or facts.start_date <= day) and (
        facts.end_date is None or day <= facts.end_date
    )
    dates = {"day": day, "start_date": facts.start_date, "end_date": facts.end_date}
    verdicts = [
        Verdict("within_campaign", is_within, {name: value and value.isoformat() for name, value in dates.items()}),
        Verdict("not_repeated", facts.repeats == 0, {"repeats_within_a_minute": facts.repeats}),
    ]
    if facts.episode_id is not None:
        verdicts.append(Verdict("spot_in_episode", facts.spots > 0, {"spots": facts.spots}))
    if facts.attribution_type == "conversion":
        verdicts.append(Verdict("has_touch", facts.touches > 0, {"touches": facts.touches}))
    return verdicts


# COMMANDS


class ValidateAttribution(Asked, frozen=True):
    """Checks an attribution event against its campaign, its episode and what its listener did before; what came of it is stored."""

    event_id: UUID


class Validated(msgspec.Struct, frozen=True):
    """Whether all checks passed, and each of them."""

    event_id: UUID
    passed: bool
    validations: list[Verdict]


# HANDLERS


async def do_validate(tx: Tx, _: Viewer, asked: ValidateAttribution, now: datetime) -> Validated:
    """Raises Refusal NOT_FOUND."""
    row = await tx.one(SQL["facts_get"], asked.event_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    verdicts = judge(Facts(**dict(row)))
    async with acting_as_service(tx):
        for verdict in verdicts:
            details = orjson.dumps(verdict.details).decode()
            what = (verdict.validation_type, verdict.passed, details, now)
            await tx.run(SQL["validation_insert"], asked.event_id, row["occurred_at"], *what)
    return Validated(asked.event_id, all(verdict.passed for verdict in verdicts), verdicts)
