"""Titles as The Movie Database describes them, into `media_items`: what is held under its number is brought up to date, the rest is added.

The documents are those of its API, version 3: the details of a film or a series (`/movie/{id}`, `/tv/{id}`, with `append_to_response=credits`
the directors too) or an entry of one of its lists. What a document does not speak of stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import Asked
from core.errors import TMDB_OTHER_KIND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain", "catalog_tmdb.sql")

MOST_DOCUMENTS = 100
Text = Annotated[str, msgspec.Meta(max_length=500)]
Path = Annotated[str, msgspec.Meta(max_length=300, pattern=r"^/[^\s]*$")]
Minutes = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Names = Annotated[list["TmdbName"], msgspec.Meta(max_length=100)]


class TmdbName(msgspec.Struct, frozen=True):
    """A genre, or somebody who made it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class TmdbCrew(msgspec.Struct, frozen=True):
    """Somebody of the crew, and what they did."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    job: str = ""


class TmdbCredits(msgspec.Struct, frozen=True):
    """Who made a film."""

    crew: Annotated[list[TmdbCrew], msgspec.Meta(max_length=2_000)] = []


class TmdbDocument(msgspec.Struct, frozen=True):
    """A film (`title`, `release_date`, `runtime`, `credits`) or a series (`name`, `first_air_date`, `episode_run_time`, `created_by`).
    Other fields of a document are not looked at; an empty date is none."""

    id: Annotated[int, msgspec.Meta(ge=1, le=2_147_483_647)]
    media_type: Literal["movie", "tv"] | None = None
    title: Text | None = None
    name: Text | None = None
    overview: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    release_date: str | None = None
    first_air_date: str | None = None
    vote_average: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None
    genres: Names | None = None
    created_by: Names | None = None
    credits: TmdbCredits | None = None
    runtime: Minutes | None = None
    episode_run_time: Annotated[list[Minutes], msgspec.Meta(max_length=100)] | None = None
    poster_path: Path | None = None
    backdrop_path: Path | None = None
    imdb_id: Annotated[str, msgspec.Meta(pattern=r"^(tt[0-9]{1,12})?$")] | None = None


class MediaItemFacts(msgspec.Struct, frozen=True):
    """What a document says of a title; null is not said."""

    tmdb_id: int
    tmdb_type: Literal["movie", "tv"]
    title: str
    description: str | None
    release_date: date | None
    rating: float | None
    genres: list[str] | None
    creators: list[str] | None
    runtime_minutes: int | None
    poster_path: str | None
    backdrop_path: str | None
    imdb_id: str | None


# RULES


def read_document(said: TmdbDocument, where: str) -> MediaItemFacts:
    """The facts of a document. `where` names it in a refusal. Raises Refusal about a field."""
    kind = said.media_type or ("movie" if said.title is not None else "tv")
    title = said.title if kind == "movie" else said.name
    if not title:
        raise bad_field(f"{where}.{'title' if kind == 'movie' else 'name'}", "must say what it is called")
    day = "release_date" if kind == "movie" else "first_air_date"
    minutes = said.runtime if kind == "movie" else next(iter(said.episode_run_time or ()), None)
    return MediaItemFacts(
        tmdb_id=said.id,
        tmdb_type=kind,
        title=title,
        description=said.overview or None,
        release_date=_day(getattr(said, day), f"{where}.{day}"),
        # TMDB's word for no votes yet.
        rating=said.vote_average or None,
        genres=None if said.genres is None else _once(genre.name for genre in said.genres),
        creators=_creators(said, kind),
        runtime_minutes=minutes or None,
        poster_path=said.poster_path,
        backdrop_path=said.backdrop_path,
        imdb_id=said.imdb_id or None,
    )


def _creators(said: TmdbDocument, kind: str) -> list[str] | None:
    if kind == "tv":
        return None if said.created_by is None else _once(maker.name for maker in said.created_by)
    return None if said.credits is None else _once(one.name for one in said.credits.crew if one.job == "Director")


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _day(text: str | None, where: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise bad_field(where, "must be a day, such as 1999-10-15") from None


# COMMANDS


class SyncMediaItems(Asked, frozen=True):
    """Takes over what The Movie Database says of titles. One that is held under its number is brought up to date, never added again."""

    documents: Annotated[list[TmdbDocument], msgspec.Meta(min_length=1, max_length=MOST_DOCUMENTS)]


class MediaItemSynced(msgspec.Struct, frozen=True):
    """One title: `unchanged` where the document says what was held already."""

    tmdb_id: int
    media_item_id: UUID
    outcome: Literal["added", "updated", "unchanged"]


class MediaItemsSynced(msgspec.Struct, frozen=True):
    """What became of each document, in their order."""

    items: list[MediaItemSynced]


# HANDLERS


async def do_sync_media_items(tx: Tx, _: Viewer, asked: SyncMediaItems, now: datetime) -> MediaItemsSynced:
    """Raises Refusal TMDB_OTHER_KIND or about a field; nothing is written then."""
    facts: dict[int, MediaItemFacts] = {}
    for place, said in enumerate(asked.documents):
        where = f"documents[{place}]"
        if said.id in facts:
            raise bad_field(f"{where}.id", "is there twice")
        facts[said.id] = read_document(said, where)
    rows = await tx.many(SQL["media_items_put"], msgspec.json.encode(list(facts.values())).decode(), now)
    written: dict[int, Literal["added", "updated"]] = {
        row["tmdb_id"]: "added" if row["is_new"] else "updated" for row in rows
    }
    synced = {}
    for row in await tx.many(SQL["media_items_held"], list(facts)):
        tmdb_id, held = row["tmdb_id"], row["tmdb_type"]
        if held != facts[tmdb_id].tmdb_type:
            raise Refusal(TMDB_OTHER_KIND, data={"tmdb_id": tmdb_id, "held": held})
        synced[tmdb_id] = MediaItemSynced(tmdb_id, row["id"], written.get(tmdb_id, "unchanged"))
    return MediaItemsSynced([synced[tmdb_id] for tmdb_id in facts])
