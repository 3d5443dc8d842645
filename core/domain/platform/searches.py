"""Searching the catalogue, and what is learnt from how people search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import ANYONE, Asked, Command, Handler, Moment, Table
from core.errors import NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.platform", "searches.sql")

MAX_QUERY_CHARS = 500
LONGEST = timedelta(days=366)

# TABLES
TABLES = (Table("search_analytics"),)

# RULES


def check_query(query: str) -> Refusal | None:
    """There is something to look for, and nothing that a text cannot hold."""
    if not query.strip() or len(query) > MAX_QUERY_CHARS or "\x00" in query:
        return bad_field("query", f"must have 1 to {MAX_QUERY_CHARS} characters")
    return None


def check_time(since: datetime, until: datetime) -> Refusal | None:
    """A time that ends after it began, of a year at most."""
    if not timedelta(0) < until - since <= LONGEST:
        return bad_field("until", f"must be later than since, by {LONGEST.days} days at most")
    return None


# COMMANDS


class SearchContents(Asked, frozen=True):
    """Looks for titles: words, "phrases", `or`, `-without`. The search is written down; `record_search_click` adds what was chosen."""

    query: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20


class RecordSearchClick(Asked, frozen=True):
    """Says which result of a search of yours was opened, within a day."""

    search_id: UUID
    result_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SearchEffectiveness(Asked, frozen=True):
    """How well people find what they look for (default: the last 30 days)."""

    since: Moment | None = None
    until: Moment | None = None


class FoundContent(msgspec.Struct, frozen=True):
    """One title."""

    id: UUID
    title: str
    content_type: str


class Search(msgspec.Struct, frozen=True):
    """The best matches, and how many there are in all, up to a thousand."""

    search_id: UUID
    results_count: int
    results: list[FoundContent]


class ClickRecorded(msgspec.Struct, frozen=True):
    """The search it belongs to."""

    search_id: UUID


class FruitlessQuery(msgspec.Struct, frozen=True):
    """What was sought and not found."""

    query: str
    searches: int


class Effectiveness(msgspec.Struct, frozen=True):
    """How searches went."""

    searches: int
    without_results: int
    clicked: int
    fruitless: list[FruitlessQuery]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "search_contents": Command(SearchContents, Search, ANYONE),
        "record_search_click": Command(RecordSearchClick, ClickRecorded, ANYONE),
        "search_effectiveness": Command(SearchEffectiveness, Effectiveness, is_read=True),
    }
)

# HANDLERS


async def do_search(tx: Tx, _: Viewer, asked: SearchContents, now: datetime) -> Search:
    """Raises Refusal about the query."""
    if refusal := check_query(asked.query):
        raise refusal
    count = await tx.value(SQL["contents_search_count"], asked.query)
    rows = await tx.many(SQL["contents_search"], asked.query, asked.limit) if count else []
    search_id = await tx.value(SQL["search_note"], asked.query.strip(), count)
    return Search(search_id, count, [FoundContent(row["id"], row["title"], row["content_type"]) for row in rows])


async def do_record_click(tx: Tx, _: Viewer, asked: RecordSearchClick, now: datetime) -> ClickRecorded:
    """Raises Refusal NOT_FOUND for a search that is somebody else's, or old."""
    if "\x00" in asked.result_id:
        raise bad_field("result_id", "must be the id of a result")
    if not await tx.value(SQL["click_note"], asked.search_id, asked.result_id):
        raise Refusal(NOT_FOUND)
    return ClickRecorded(asked.search_id)


async def do_effectiveness(tx: Tx, _: Viewer, asked: SearchEffectiveness, now: datetime) -> Effectiveness:
    """Raises Refusal about the time."""
    until = asked.until or now
    since = asked.since or until - timedelta(days=30)
    if refusal := check_time(since, until):
        raise refusal
    row = await tx.one(SQL["effectiveness"], since, until)
    assert row is not None
    fruitless = [
        FruitlessQuery(found["query"], found["searches"]) for found in await tx.many(SQL["fruitless"], since, until)
    ]
    return Effectiveness(row["searches"], row["without_results"], row["clicked"], fruitless)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {SearchContents: do_search, RecordSearchClick: do_record_click, SearchEffectiveness: do_effectiveness}
)
