"""Which podcasts suit a campaign: a score, the reason in words, and what it was computed from."""

from __future__ import annotations

from datetime import datetime
from math import log1p
from typing import Annotated, Any
from uuid import UUID

import msgspec
import orjson

from core.database import Tx
from core.domain.context import Asked
from core.errors import NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.advertising", "matching.sql")

REACH, PACE, TRUST = 60.0, 25.0, 15.0
"""Of the 100 points: how many listen, how steadily it comes out, whether it has carried this sponsor before."""
FULL_PACE = 12
"""Episodes in 90 days that earn all points for pace: about one a week."""
FULL_TRUST = 4
"""Spots of the sponsor that earn all points for trust."""

# RULES


class Signals(msgspec.Struct, frozen=True):
    """What is known of a podcast: its plays in 30 days and the most of any podcast, its episodes in 90, the sponsor's spots ever."""

    plays_30d: int
    episodes_90d: int
    sponsor_spots: int
    most_plays_30d: int


def score(signals: Signals) -> float:
    """From 0 to 100. Plays count by their logarithm: ten times as many are worth the same step wherever one begins."""
    reach = log1p(signals.plays_30d) / log1p(signals.most_plays_30d) if signals.most_plays_30d else 0.0
    pace = min(1.0, signals.episodes_90d / FULL_PACE)
    trust = min(1.0, signals.sponsor_spots / FULL_TRUST)
    return round(REACH * reach + PACE * pace + TRUST * trust, 4)


def rationale(signals: Signals) -> str:
    """The score in words."""
    carried = (
        f"has carried {signals.sponsor_spots} of the sponsor's spots"
        if signals.sponsor_spots
        else "is new to the sponsor"
    )
    return (
        f"Played {signals.plays_30d} times in 30 days (the most of any podcast here: {signals.most_plays_30d}), "
        f"{signals.episodes_90d} episodes in 90 days, and {carried}."
    )


# COMMANDS


class MatchCampaign(Asked, frozen=True):
    """Scores every podcast for a campaign, anew; what was scored before is replaced."""

    campaign_id: UUID


class CampaignMatches(Asked, frozen=True):
    """The podcasts that suit a campaign, the best first."""

    campaign_id: UUID
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50


class Match(msgspec.Struct, frozen=True):
    """A podcast for a campaign (null: any), from 0 to 100, why, and from what."""

    match_id: UUID
    podcast_id: UUID | None
    podcast_name: str | None
    score: float
    rationale: str
    signals: dict[str, Any]


class Matches(msgspec.Struct, frozen=True):
    """The matches of a campaign."""

    campaign_id: UUID
    matches: list[Match]


# HANDLERS


async def do_match_campaign(tx: Tx, viewer: Viewer, asked: MatchCampaign, now: datetime) -> Matches:
    """Raises Refusal NOT_FOUND."""
    # Two that score one campaign do so one after the other: a podcast has one match there.
    sponsor_id = await tx.value(SQL["campaign_lock"], asked.campaign_id)
    if sponsor_id is None:
        raise Refusal(NOT_FOUND)
    scored = []
    for row in await tx.many(SQL["signals_many"], sponsor_id, now):
        signals = Signals(*(int(row[name]) for name in Signals.__struct_fields__))
        told = (rationale(signals), orjson.dumps(msgspec.to_builtins(signals)).decode())
        scored.append((sponsor_id, asked.campaign_id, row["podcast_id"], score(signals), *told, now))
    await tx.run_many(SQL["match_save"], scored)
    return await do_campaign_matches(tx, viewer, CampaignMatches(asked.campaign_id), now)


async def do_campaign_matches(tx: Tx, _: Viewer, asked: CampaignMatches, now: datetime) -> Matches:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(SQL["campaign_seen"], asked.campaign_id):
        raise Refusal(NOT_FOUND)
    rows = await tx.many(SQL["matches_many"], asked.campaign_id, asked.limit)
    return Matches(asked.campaign_id, [_match(dict(row)) for row in rows])


def _match(row: dict[str, Any]) -> Match:
    return Match(**{**row, "score": float(row["score"]), "signals": orjson.loads(row["signals"])})
