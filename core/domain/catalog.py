"""The catalogue: what can be played, how it is shelved, what it costs. Knows nothing of encoding or entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain import catalog_tmdb as tmdb
from core.domain.commands import emit
from core.domain.context import ANYONE, EVERY_VERB, Asked, Command, Context, Handler, Moment, Table
from core.domain.pricing import check_amount, check_period
from core.errors import CONTENT_NOT_FOUND, NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain", "catalog.sql")

# TABLES
# `search` is for text search alone; what hangs on a content carries its tenant and its visibility for the policies.
_KEPT_FOR_POLICIES = frozenset({"tenant_id", "is_public"})
# Whether a content is published, and which generation it plays, change by commands and by the transcoder only.
_CONTENT = frozenset(
    {
        *("title", "description", "thumbnail_image_id", "language", "release_date"),
        *("is_free", "is_preview", "is_available"),
    }
)
_CATEGORY = frozenset({"parent_id", "title", "description", "slug", "icon_url"})
_GENRE = frozenset({"title", "description", "slug"})
_PLAYLIST = frozenset({"title", "description", "thumbnail_image_id", "is_series"})
_EPISODE = frozenset({"episode_order", "season_number", "episode_number", "title"})
_MEDIA_ITEM = frozenset(
    {
        *("content_id", "title", "description", "poster_path", "backdrop_path", "release_date"),
        *("rating", "imdb_id", "runtime_minutes", "genres", "creators"),
    }
)
_PROVIDER = frozenset({"provider", "url", "regions"})
_RATING = frozenset({"score", "out_of", "votes", "url"})
_ID = frozenset({"id"})
TABLES = (
    Table(
        "contents",
        EVERY_VERB,
        insertable=_CONTENT | _ID | {"content_type"},
        updatable=_CONTENT,
        hidden=frozenset({"search"}),
    ),
    Table("categories", EVERY_VERB, insertable=_CATEGORY | _ID, updatable=_CATEGORY),
    Table("genres", EVERY_VERB, insertable=_GENRE | _ID, updatable=_GENRE),
    Table(
        "content_categories",
        frozenset({"read", "insert", "delete"}),
        insertable=frozenset({"id", "content_id", "category_id"}),
        hidden=_KEPT_FOR_POLICIES,
    ),
    Table(
        "content_genres",
        frozenset({"read", "insert", "delete"}),
        insertable=frozenset({"id", "content_id", "genre_id"}),
        hidden=_KEPT_FOR_POLICIES,
    ),
    # A price that was asked is history: it may be ended, never rewritten.
    Table(
        "content_prices",
        frozenset({"read", "update"}),
        updatable=frozenset({"effective_to"}),
        hidden=_KEPT_FOR_POLICIES,
    ),
    Table("playlists", EVERY_VERB, insertable=_PLAYLIST | _ID, updatable=_PLAYLIST),
    Table(
        "playlist_episodes",
        EVERY_VERB,
        insertable=_EPISODE | {"id", "playlist_id", "content_id"},
        updatable=_EPISODE,
        hidden=_KEPT_FOR_POLICIES,
    ),
    Table(
        "playlist_prices",
        frozenset({"read", "update"}),
        updatable=frozenset({"effective_to"}),
        hidden=frozenset({"tenant_id"}),
    ),
    Table(
        "media_items",
        EVERY_VERB,
        insertable=_MEDIA_ITEM | {"id", "tmdb_id", "tmdb_type"},
        updatable=_MEDIA_ITEM,
        hidden=frozenset({"search"}),
    ),
    Table("streaming_providers", EVERY_VERB, insertable=_PROVIDER | {"id", "media_item_id"}, updatable=_PROVIDER),
    Table("media_item_ratings", EVERY_VERB, insertable=_RATING | {"id", "media_item_id", "source"}, updatable=_RATING),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})

# RULES


def check_content(row: Row | None) -> Refusal | None:
    """The viewer sees the content."""
    return Refusal(CONTENT_NOT_FOUND) if row is None else None


def check_start(start: date, today: date) -> Refusal | None:
    """A price begins now or later: what was asked until now stays as it was."""
    return bad_field("effective_from", "must not lie in the past") if start < today else None


# COMMANDS


class PublishContent(Asked, frozen=True):
    """Shows a content in the catalogue. Done twice, the first moment stays."""

    content_id: UUID


class UnpublishContent(Asked, frozen=True):
    """Takes a content out of the catalogue; whoever is watching it is stopped."""

    content_id: UUID


class ContentShown(msgspec.Struct, frozen=True):
    """Whether a content is in the catalogue, and since when it first was."""

    content_id: UUID
    is_published: bool
    published_at: datetime | None


class AddContentPrice(Asked, frozen=True):
    """Sets what a content costs from a moment on (default: now); the price before it ends then and stays as history."""

    content_id: UUID
    price: Decimal
    currency: str
    effective_from: Moment | None = None
    effective_to: Moment | None = None


class AddPlaylistPrice(Asked, frozen=True):
    """Sets what a playlist costs from a day on (default: today, UTC); the price before it ends then and stays as history."""

    playlist_id: UUID
    price: Decimal
    currency: str
    effective_from: date | None = None
    effective_to: date | None = None


class PriceSet(msgspec.Struct, frozen=True):
    """A price as it was stored: from a moment (of a content) or day (of a playlist), to another or null for good."""

    id: UUID
    price: Decimal
    currency: str
    effective_from: str
    effective_to: str | None


class ContentOffer(Asked, frozen=True):
    """What a content costs at this moment, by currency; nothing if it has no price now."""

    content_id: UUID


class PlaylistOffer(Asked, frozen=True):
    """What a playlist costs today (UTC), by currency; nothing if it has no price today."""

    playlist_id: UUID


class Price(msgspec.Struct, frozen=True):
    """A price that holds now, since a moment or day. `effective_to` null: until further notice."""

    price: Decimal
    currency: str
    effective_from: str
    effective_to: str | None


class Offer(msgspec.Struct, frozen=True):
    """The prices that hold."""

    prices: list[Price]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "publish_content": Command(PublishContent, ContentShown),
        "unpublish_content": Command(UnpublishContent, ContentShown),
        "add_content_price": Command(AddContentPrice, PriceSet),
        "add_playlist_price": Command(AddPlaylistPrice, PriceSet),
        "sync_media_items": Command(tmdb.SyncMediaItems, tmdb.MediaItemsSynced),
        "content_offer": Command(ContentOffer, Offer, ANYONE, is_read=True),
        "playlist_offer": Command(PlaylistOffer, Offer, ANYONE, is_read=True),
    }
)

# HANDLERS


async def do_publish_content(tx: Tx, _: Viewer, asked: PublishContent, now: datetime) -> ContentShown:
    """Raises Refusal CONTENT_NOT_FOUND."""
    row = await tx.one(SQL["content_lock"], asked.content_id)
    if refusal := check_content(row):
        raise refusal
    assert row is not None
    if row["is_published"]:
        return ContentShown(asked.content_id, True, row["published_at"])
    published_at = await tx.value(SQL["content_publish"], asked.content_id, now)
    await emit(tx, "content.published", f"content:{asked.content_id}", {"content_id": asked.content_id})
    return ContentShown(asked.content_id, True, published_at)


async def do_unpublish_content(tx: Tx, _: Viewer, asked: UnpublishContent, now: datetime) -> ContentShown:
    """Raises Refusal CONTENT_NOT_FOUND."""
    row = await tx.one(SQL["content_lock"], asked.content_id)
    if refusal := check_content(row):
        raise refusal
    assert row is not None
    if row["is_published"]:
        await tx.run(SQL["content_unpublish"], asked.content_id)
        await emit(tx, "content.unpublished", f"content:{asked.content_id}", {"content_id": asked.content_id})
    return ContentShown(asked.content_id, False, row["published_at"])


async def do_add_content_price(tx: Tx, _: Viewer, asked: AddContentPrice, now: datetime) -> PriceSet:
    """Raises Refusal CONTENT_NOT_FOUND, PRICE_OVERLAPS or about a field."""
    if refusal := check_content(await tx.one(SQL["content_lock"], asked.content_id)):
        raise refusal
    return await _set_price(
        tx, "content", asked.content_id, asked, asked.effective_from or now, asked.effective_to, now
    )


async def do_add_playlist_price(tx: Tx, _: Viewer, asked: AddPlaylistPrice, now: datetime) -> PriceSet:
    """Raises Refusal NOT_FOUND, PRICE_OVERLAPS or about a field."""
    if not await tx.value(SQL["playlist_lock"], asked.playlist_id):
        raise Refusal(NOT_FOUND)
    today = now.date()
    return await _set_price(
        tx, "playlist", asked.playlist_id, asked, asked.effective_from or today, asked.effective_to, today
    )


async def _set_price(
    tx: Tx,
    what: Literal["content", "playlist"],
    id_: UUID,
    asked: AddContentPrice | AddPlaylistPrice,
    start: date,
    end: date | None,
    earliest: date,
) -> PriceSet:
    rows = await tx.many(SQL[_NAMED[what]["periods"]], id_, asked.currency)
    refusal = (
        check_amount(asked.price, asked.currency)
        or check_start(start, earliest)
        or check_period(start, end, [(row["start"], row["end"]) for row in rows])
    )
    if refusal:
        raise refusal
    await tx.run(SQL[_NAMED[what]["end"]], id_, asked.currency, start)
    price_id = await tx.value(SQL[_NAMED[what]["insert"]], id_, asked.price, asked.currency, start, end)
    await emit(tx, f"{what}.priced", f"{what}:{id_}", {f"{what}_id": id_, "price_id": price_id})
    return PriceSet(price_id, asked.price, asked.currency, start.isoformat(), end.isoformat() if end else None)


def _prices(rows: list[Row]) -> list[Price]:
    return [
        Price(
            row["price"],
            row["currency"],
            row["effective_from"].isoformat(),
            row["effective_to"].isoformat() if row["effective_to"] else None,
        )
        for row in rows
    ]


_NAMED: Mapping[str, Mapping[str, str]] = {
    "content": {
        "periods": "content_price_periods",
        "end": "content_price_end",
        "insert": "content_price_insert",
    },
    "playlist": {
        "periods": "playlist_price_periods",
        "end": "playlist_price_end",
        "insert": "playlist_price_insert",
    },
}


async def do_content_offer(tx: Tx, _: Viewer, asked: ContentOffer, now: datetime) -> Offer:
    """Raises Refusal CONTENT_NOT_FOUND."""
    if not await tx.value(SQL["content_seen"], asked.content_id):
        raise Refusal(CONTENT_NOT_FOUND)
    return Offer(_prices(await tx.many(SQL["content_offer_many"], asked.content_id, now)))


async def do_playlist_offer(tx: Tx, _: Viewer, asked: PlaylistOffer, now: datetime) -> Offer:
    """Raises Refusal NOT_FOUND."""
    if not await tx.value(SQL["playlist_seen"], asked.playlist_id):
        raise Refusal(NOT_FOUND)
    return Offer(_prices(await tx.many(SQL["playlist_offer_many"], asked.playlist_id, now.date())))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        PublishContent: do_publish_content,
        UnpublishContent: do_unpublish_content,
        AddContentPrice: do_add_content_price,
        AddPlaylistPrice: do_add_playlist_price,
        tmdb.SyncMediaItems: tmdb.do_sync_media_items,
        ContentOffer: do_content_offer,
        PlaylistOffer: do_playlist_offer,
    }
)

CONTEXT = Context("catalog", TABLES, STATES, COMMANDS, HANDLERS)
