"""`penstock subtitles`, as an operator types it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from core.database import Database
from core.domain import media, media_texts
from core.ids import uuid7
from core.objects import ObjectStore
from core.viewer import service
from edge.cli.__main__ import app
from edge.local.fault import ServiceFault
from tests.conftest import TestDatabase
from tests.transcoder.test_worker import look

SRT = b"1\n00:00:00,200 --> 00:00:00,900\nWords\n"
Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(database_urls: TestDatabase, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a command against the test's database and store, in a folder with two files of words."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", database_urls.app_url)
    monkeypatch.setenv("PENSTOCK_STORE_URL", objects.url)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.srt").write_bytes(SRT)
    (tmp_path / "other.srt").write_bytes(SRT.replace(b"Words", b"Other words"))
    (tmp_path / "empty.srt").write_bytes(b"no words")

    async def typed(*words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["subtitles", *words]))

    return typed


async def make_title(database: Database, title: str) -> UUID:
    key = f"uploads/{uuid7()}"
    file = media.NewFile(uuid7(), "film.mp4", 1000, "video/mp4", f"sha256:{'a' * 64}", "file", None, key, None)
    async with database.transaction(service()) as tx:
        return (await media.submit(tx, file, media.NewTitle(title))).content_id


async def tracks(database: Database, content_id: UUID) -> list[tuple[str, str, bool]]:
    async with database.transaction(service()) as tx:
        return [(text.language, text.kind, text.is_default) for text in await media_texts.given_texts(tx, content_id)]


async def test_a_title_gets_words_by_its_name_or_by_the_end_of_its_id(
    database: Database, objects: ObjectStore, run: Run
) -> None:
    content_id = await make_title(database, "A film")
    said = await run("a FILM", "de=film.srt", "pt-BR=other.srt", "--default")
    assert said.exit_code == 0, said.output
    assert "“A film” has de, pt-BR." in said.output
    assert await tracks(database, content_id) == [("de", "subtitles", True), ("pt-BR", "subtitles", False)]
    said = await run(str(content_id)[-12:], "de=film.srt", "--kind", "captions")
    assert said.exit_code == 0, said.output
    assert sorted(await tracks(database, content_id)) == [
        ("de", "captions", False), ("de", "subtitles", True), ("pt-BR", "subtitles", False),
    ]  # fmt: skip


async def test_a_file_of_the_same_language_takes_the_place_of_the_earlier(
    database: Database, objects: ObjectStore, run: Run
) -> None:
    content_id = await make_title(database, "A film")
    for name in ("film.srt", "other.srt"):
        said = await run("A film", f"de={name}")
        assert said.exit_code == 0, said.output
    async with database.transaction(service()) as tx:
        (text,) = await media_texts.given_texts(tx, content_id)
    assert b"Other words" in await objects.get(text.storage_key)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("Another film", "de=film.srt"), "knows no title of 'Another film'"),
        (("Twice", "de=film.srt"), "knows more than one title of 'Twice'"),
        (("%%%%%%", "de=film.srt"), "knows no title of '%%%%%%'"),
        (("A film", "film.srt"), "must be LANG=FILE"),
        (("A film", "en=film.srt", "de=not-there.srt"), "finds no file"),
        (("A film", "en=film.srt", "de=empty.srt"), "no subtitles that can be read"),
    ],
)
async def test_what_cannot_be_changes_nothing(database: Database, run: Run, typed: tuple[str, ...], told: str) -> None:
    for title in ("A film", "Twice", "Twice"):
        await make_title(database, title)
    result = await run(*typed)
    assert isinstance(result.exception, ServiceFault)
    assert told in str(result.exception)
    assert (await look(database, "SELECT count(*) AS n FROM text_tracks"))["n"] == 0
