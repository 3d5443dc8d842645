"""Podcasts: their episodes, when those come out, and what listings in the marketplace bring in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.context import EVERY_VERB, Asked, Command, Context, Handler, Table
from core.domain.pricing import check_amount, round_amount
from core.errors import NOT_FOUND, NOTHING_TO_PUBLISH, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain", "podcasts.sql")

# TABLES
# When an episode comes out is set by a command; what listeners do is written by the product, and only summed here.
_ID = frozenset({"id"})
_PODCAST = frozenset({"name", "description", "rss_feed_url", "website_url"})
_EPISODE = frozenset(
    {
        *("content_id", "title", "description", "season_number", "episode_number"),
        *("duration_seconds", "audio_url", "guid"),
    }
)
_LISTING = frozenset({"listing_type", "pricing"})
TABLES = (
    Table("podcasts", EVERY_VERB, hidden=frozenset({"search"}), insertable=_PODCAST | _ID, updatable=_PODCAST),
    Table("podcast_episodes", EVERY_VERB, insertable=_EPISODE | {"id", "podcast_id"}, updatable=_EPISODE),
    Table("listener_events"),
    Table("listener_metrics"),
    Table("listener_events_hourly"),
    Table("listener_events_daily"),
    Table("metrics_daily"),
    Table(
        "marketplace_listings", EVERY_VERB, insertable=_LISTING | {"id", "podcast_id"}, updatable=_LISTING | {"status"}
    ),
    Table("marketplace_revenue"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "marketplace_listings": {
            "draft": frozenset({"listed", "withdrawn"}),
            "listed": frozenset({"paused", "sold", "withdrawn"}),
            "paused": frozenset({"listed", "withdrawn"}),
            "sold": frozenset(),
            "withdrawn": frozenset(),
        }
    }
)

# RULES


def check_has_sound(row: Row) -> Refusal | None:
    """There is something to listen to: an address elsewhere, or a title hosted here that is published."""
    if row["audio_url"] is None and row["content_id"] is None:
        return Refusal(NOTHING_TO_PUBLISH)
    if row["content_id"] is not None and not row["is_published"]:
        return Refusal(NOTHING_TO_PUBLISH, "Its sound is not published.", hint="Publish it first: publish_content.")
    return None


def check_revenue(amount: Decimal, currency: str, day: date, today: date) -> Refusal | None:
    """Money that came in, in whole minor units, by now."""
    if refusal := check_amount(amount, currency):
        return refusal if refusal.faults[0].path == "currency" else bad_field("amount", refusal.faults[0].why)
    if amount == 0:
        return bad_field("amount", "must be more than 0")
    return bad_field("transaction_date", "must not lie in the future") if day > today else None


# COMMANDS


class PublishEpisode(Asked, frozen=True):
    """Lets an episode come out, now or at a moment to come. One that is out stays as it is."""

    episode_id: UUID
    published_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class UnpublishEpisode(Asked, frozen=True):
    """Takes an episode back; staff alone see it then."""

    episode_id: UUID


class EpisodeShown(msgspec.Struct, frozen=True):
    """When an episode came or comes out; null: not at all."""

    episode_id: UUID
    published_at: datetime | None


class RecordListingRevenue(Asked, frozen=True):
    """Money that a listing brought in, on a day (default: today, UTC)."""

    listing_id: UUID
    amount: Decimal
    currency: str
    transaction_date: date | None = None


class RevenueRecorded(msgspec.Struct, frozen=True):
    """Its row."""

    revenue_id: UUID


class ListingRevenue(Asked, frozen=True):
    """What a listing has brought in, by currency."""

    listing_id: UUID


class Revenue(msgspec.Struct, frozen=True):
    """A sum in one currency, and of how many entries."""

    currency: str
    amount: Decimal
    entries: int


class ListingRevenues(msgspec.Struct, frozen=True):
    """The sums of a listing; currencies are never added together."""

    listing_id: UUID
    revenue: list[Revenue]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "publish_episode": Command(PublishEpisode, EpisodeShown),
        "unpublish_episode": Command(UnpublishEpisode, EpisodeShown),
        "record_listing_revenue": Command(RecordListingRevenue, RevenueRecorded),
        "listing_revenue": Command(ListingRevenue, ListingRevenues, is_read=True),
    }
)

# HANDLERS


async def do_publish_episode(tx: Tx, _: Viewer, asked: PublishEpisode, now: datetime) -> EpisodeShown:
    """Raises Refusal NOT_FOUND, NOTHING_TO_PUBLISH or about the moment."""
    row = await _episode(tx, asked.episode_id)
    if row["published_at"] is not None and row["published_at"] <= now:
        return EpisodeShown(asked.episode_id, row["published_at"])
    at = asked.published_at or now
    if at < now:
        raise bad_field("published_at", "must not lie in the past")
    if refusal := check_has_sound(row):
        raise refusal
    await tx.run(SQL["episode_publish"], asked.episode_id, at)
    return EpisodeShown(asked.episode_id, at)


async def do_unpublish_episode(tx: Tx, _: Viewer, asked: UnpublishEpisode, now: datetime) -> EpisodeShown:
    """Raises Refusal NOT_FOUND."""
    await _episode(tx, asked.episode_id)
    await tx.run(SQL["episode_publish"], asked.episode_id, None)
    return EpisodeShown(asked.episode_id, None)


async def _episode(tx: Tx, episode_id: UUID) -> Row:
    row = await tx.one(SQL["episode_lock"], episode_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    return row


async def do_record_revenue(tx: Tx, _: Viewer, asked: RecordListingRevenue, now: datetime) -> RevenueRecorded:
    """Raises Refusal NOT_FOUND or about a field."""
    today = now.astimezone(UTC).date()
    day = asked.transaction_date or today
    if refusal := check_revenue(asked.amount, asked.currency, day, today):
        raise refusal
    if not await tx.value(SQL["listing_seen"], asked.listing_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        revenue_id = await tx.value(SQL["revenue_insert"], asked.listing_id, asked.amount, asked.currency, day)
    return RevenueRecorded(revenue_id)


async def do_listing_revenue(tx: Tx, _: Viewer, asked: ListingRevenue, now: datetime) -> ListingRevenues:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(SQL["listing_seen"], asked.listing_id):
        raise Refusal(NOT_FOUND)
    rows = await tx.many(SQL["revenue_many"], asked.listing_id)
    sums = [Revenue(row["currency"], round_amount(row["amount"], row["currency"]), row["entries"]) for row in rows]
    return ListingRevenues(asked.listing_id, sums)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        PublishEpisode: do_publish_episode,
        UnpublishEpisode: do_unpublish_episode,
        RecordListingRevenue: do_record_revenue,
        ListingRevenue: do_listing_revenue,
    }
)

CONTEXT = Context("podcasts", TABLES, STATES, COMMANDS, HANDLERS)
