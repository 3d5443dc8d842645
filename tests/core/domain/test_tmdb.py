"""Titles of The Movie Database: added once, brought up to date after that, and rated by others too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from core.database import Database, Row, dedicated
from core.domain.catalog_tmdb import TmdbDocument, read_document
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from edge.api.bodies import decode_struct
from tests.conftest import TestDatabase
from tests.core.rows import Rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STAFF = Viewer(DEFAULT_TENANT, None, "staff")
FILM: dict[str, Any] = {
    "adult": False,
    "id": 550,
    "imdb_id": "tt0137523",
    "title": "Fight Club",
    "overview": "An office worker and a soap maker start a club.",
    "release_date": "1999-10-15",
    "vote_average": 8.433,
    "vote_count": 26280,
    "genres": [{"id": 18, "name": "Drama"}, {"id": 53, "name": "Thriller"}, {"id": 18, "name": "Drama"}],
    "runtime": 139,
    "poster_path": "/pB8BM7pdSp6B6Ih7QZ4DrQ3PmJK.jpg",
    "backdrop_path": None,
    "credits": {"crew": [{"name": "David Fincher", "job": "Director"}, {"name": "Jim Uhls", "job": "Screenplay"}]},
}
SERIES: dict[str, Any] = {
    "id": 1396,
    "name": "Breaking Bad",
    "overview": "",
    "first_air_date": "2008-01-20",
    "vote_average": 0,
    "genres": [{"id": 18, "name": "Drama"}],
    "episode_run_time": [47, 60],
    "created_by": [{"id": 66633, "name": "Vince Gilligan"}],
}


class Shelf:
    """Gives commands at NOW."""

    def __init__(self, commands: Commands, rows: Rows) -> None:
        self.commands, self.rows = commands, rows

    async def sync(self, *documents: dict[str, Any], viewer: Viewer = STAFF) -> list[str]:
        """What became of each document."""
        body = msgspec.json.encode({"documents": documents})
        asked = decode_struct(body, self.commands.known["sync_media_items"].request)
        done = msgspec.json.decode((await self.commands.run(viewer, "sync_media_items", asked, now=NOW)).body)
        assert [item["tmdb_id"] for item in done["items"]] == [document["id"] for document in documents]
        held = {str(row["id"]) for row in await self.held()}
        assert {item["media_item_id"] for item in done["items"]} <= held
        return [item["outcome"] for item in done["items"]]

    async def held(self) -> list[Row]:
        return await self.rows.connection.fetch("SELECT * FROM media_items ORDER BY tmdb_id")


@pytest.fixture
async def shelf(database: Database, database_urls: TestDatabase) -> AsyncIterator[Shelf]:
    connection = await dedicated(database_urls.admin_url)
    yield Shelf(Commands(database, CONTEXTS), Rows(connection, DEFAULT_TENANT))
    await connection.close()


@pytest.mark.rule("infocus-032")
async def test_a_title_that_is_held_is_updated_and_never_added_again(shelf: Shelf) -> None:
    assert await shelf.sync(FILM, SERIES) == ["added", "added"]
    film, series = before = await shelf.held()
    assert (film["title"], film["tmdb_type"], film["release_date"], str(film["rating"])) == (
        "Fight Club",
        "movie",
        date(1999, 10, 15),
        "8.43",
    )
    assert (film["genres"], film["creators"], film["runtime_minutes"], film["imdb_id"]) == (
        ["Drama", "Thriller"],
        ["David Fincher"],
        139,
        "tt0137523",
    )
    assert (series["tmdb_type"], series["creators"], series["runtime_minutes"], series["rating"]) == (
        "tv",
        ["Vince Gilligan"],
        47,
        None,
    )
    assert await shelf.sync(SERIES, FILM) == ["unchanged", "unchanged"]
    assert await shelf.held() == before
    assert await shelf.sync({**FILM, "vote_average": 8.5, "overview": "A club."}, SERIES) == ["updated", "unchanged"]
    after = (await shelf.held())[0]
    assert (after["id"], str(after["rating"]), after["description"]) == (film["id"], "8.50", "A club.")


async def test_an_entry_of_a_list_leaves_what_it_does_not_speak_of(shelf: Shelf) -> None:
    await shelf.sync(FILM)
    entry = {"id": 550, "media_type": "movie", "title": "Fight Club", "genre_ids": [18], "release_date": ""}
    assert await shelf.sync(entry) == ["unchanged"]
    assert await shelf.sync({**entry, "title": "Fight Club!"}) == ["updated"]
    row = (await shelf.held())[0]
    assert (row["title"], row["genres"], row["release_date"]) == (
        "Fight Club!",
        ["Drama", "Thriller"],
        date(1999, 10, 15),
    )


async def test_a_number_of_the_other_kind_changes_nothing(shelf: Shelf) -> None:
    """TMDB counts films and series apart, and a number is held once."""
    await shelf.sync(FILM)
    with pytest.raises(Refusal) as caught:
        await shelf.sync({"id": 7, "title": "New"}, {**SERIES, "id": 550})
    assert (caught.value.code.code, caught.value.data) == ("PS911", {"tmdb_id": 550, "held": "movie"})
    assert [row["title"] for row in await shelf.held()] == ["Fight Club"]


@pytest.mark.parametrize(
    ("documents", "path"),
    [
        ([], "documents"),
        ([FILM, FILM], "documents[1].id"),
        ([{"id": 1}], "documents[0].name"),
        ([{"id": 1, "title": ""}], "documents[0].title"),
        ([{"id": 0, "title": "x"}], "documents[0].id"),
        ([{**FILM, "media_type": "person"}], "documents[0].media_type"),
        ([{**FILM, "release_date": "soon"}], "documents[0].release_date"),
        ([{**FILM, "vote_average": 11}], "documents[0].vote_average"),
        ([{**FILM, "poster_path": "//evil .example"}], "documents[0].poster_path"),
        ([{**FILM, "imdb_id": "nm123"}], "documents[0].imdb_id"),
        ([{**FILM, "imdb_id": "tt"}], "documents[0].imdb_id"),
    ],
    ids=["none", "twice", "nameless", "empty", "zero", "person", "date", "rating", "path", "imdb", "imdb-short"],
)
async def test_a_document_that_is_none_names_its_field(shelf: Shelf, documents: list[Any], path: str) -> None:
    with pytest.raises(Refusal) as caught:
        await shelf.sync(*documents)
    assert [fault.path for fault in caught.value.faults] == [path]
    assert await shelf.held() == []


async def test_only_staff_and_the_product_synchronise(shelf: Shelf) -> None:
    with pytest.raises(Refusal, match="PS"):
        await shelf.sync(FILM, viewer=Viewer(DEFAULT_TENANT, uuid4(), "authenticated"))
    assert await shelf.held() == []
    assert await shelf.sync(FILM, viewer=service()) == ["added"]


def test_an_unknown_field_of_a_document_is_not_looked_at() -> None:
    said = msgspec.json.decode(b'{"id": 1, "title": "A", "budget": 63000000}', type=TmdbDocument)
    facts = read_document(said, "documents[0]")
    assert (facts.tmdb_type, facts.genres, facts.creators, facts.rating) == ("movie", None, None, None)


@pytest.mark.rule("infocus-080")
async def test_a_title_carries_the_ratings_of_other_sources_each_once(shelf: Shelf, database: Database) -> None:
    await shelf.sync(FILM)
    film = (await shelf.held())[0]["id"]
    rated = [("imdb", 8.8, 10), ("rotten_tomatoes", 81, 100)]
    async with database.transaction(STAFF) as tx:
        for source, score, out_of in rated:
            await tx.connection.execute(
                "INSERT INTO media_item_ratings (media_item_id, source, score, out_of) VALUES ($1, $2, $3, $4)",
                film,
                source,
                score,
                out_of,
            )
    async with database.transaction(Viewer(DEFAULT_TENANT, None, "anon")) as tx:
        rows = await tx.connection.fetch("SELECT source, score, out_of FROM media_item_ratings ORDER BY source")
    assert [(row["source"], float(row["score"]), int(row["out_of"])) for row in rows] == rated
    served = next(context for context in CONTEXTS if context.name == "catalog").tables
    assert "read" in next(table for table in served if table.name == "media_item_ratings").verbs
    for source, score, rule in (
        ("imdb", 8, "once"),
        ("metacritic", 11, "score_in_range"),
        ("IMDb!", 1, "source_plain"),
    ):
        with pytest.raises(Exception, match=f"media_item_ratings__{rule}"):
            await shelf.rows.make("media_item_ratings", media_item_id=film, source=source, score=score, out_of=10)
