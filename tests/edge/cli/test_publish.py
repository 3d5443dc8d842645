"""`penstock publish`: a film with the subtitles that lie beside it, handed in together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from core.database import Database, DatabaseDown
from core.domain import media, media_commands, media_repackaging, media_texts
from core.domain.media_commands import CancelEncoding
from core.objects import ObjectStore
from core.viewer import service
from edge.cli import publish
from edge.cli.__main__ import app
from edge.cli.titles import Beside, follow, hand_in
from edge.local.fault import ServiceFault
from edge.settings import Settings, read_settings
from tests.transcoder.test_worker import look

SRT = b"1\n00:00:00,200 --> 00:00:00,900\nWords\n"


async def test_subtitles_beside_a_film_are_its_tracks_before_a_worker_sees_it(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    film, words = tmp_path / "film.mp4", tmp_path / "film.de.srt"
    film.write_bytes(b"a film")
    words.write_bytes(SRT)
    title = media.NewTitle("A film")
    made = await hand_in(database, objects, film, title, [Beside("de", words), Beside("pt-BR", words)])
    async with database.transaction(service()) as tx:
        given = await media_texts.given_texts(tx, made.content_id)
    assert [(text.language, text.label, text.kind) for text in given] == [
        ("de", "de", "subtitles"),
        ("pt-BR", "pt-BR", "subtitles"),
    ]
    assert [await objects.get(text.storage_key) for text in given] == [SRT, SRT]
    # The job that waits takes them with it: there is nothing to be done beside it.
    async with database.transaction(service()) as tx:
        assert await media_repackaging.queue_due(tx) == 0


async def test_watching_a_job_outlives_a_moment_without_the_database(
    database: Database, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"a film")
    made = await hand_in(database, objects, film, media.NewTitle("A film"))
    async with database.transaction(service()) as tx:
        await media_commands.do_cancel_encoding(tx, service(), CancelEncoding(made.job_id), datetime.now(UTC))
    away = ["a moment", "and another"]
    begin = Database.transaction

    def hesitate(self: Database, *args: Any, **options: Any) -> Any:
        if away:
            raise DatabaseDown(away.pop())
        return begin(self, *args, **options)

    monkeypatch.setattr(Database, "transaction", hesitate)
    ended = await follow(database, [made.job_id], Console(quiet=True))
    assert (ended[made.job_id]["state"], away) == ("cancelled", [])
    away.append("for good")
    monkeypatch.setattr("edge.cli.titles.AWAY_S", -1.0)
    with pytest.raises(DatabaseDown, match="for good"):
        await follow(database, [made.job_id], Console(quiet=True))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("film.srt", "must be LANG=FILE"),
        ("de=", "must be LANG=FILE"),
        ("de=not-there.srt", "finds no file"),
        ("d e=film.srt", "must be a BCP 47 tag"),
        ("de=empty.srt", "no subtitles that can be read"),
    ],
)
async def test_subtitles_that_are_none_stop_the_whole_thing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"a film")
    (tmp_path / "film.srt").write_bytes(SRT)
    (tmp_path / "empty.srt").write_bytes(b"no words")
    typed = ["publish", "film.mp4", "--title", "A film", "--subtitles", "en=film.srt", "--subtitles", given]
    result = CliRunner().invoke(app, typed)
    assert isinstance(result.exception, ServiceFault)
    assert told in str(result.exception)
    assert (await look(database, "SELECT count(*) AS n FROM files"))["n"] == 0


async def test_nothing_watches_over_what_a_failed_publishing_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever still watched would take the processes that are being ended for fallen, and start them again."""
    happened: list[str] = []

    class Installed:
        def __init__(self, settings: Settings) -> None:
            self.settings = settings

        async def start(self) -> None:
            happened.append("started")

    class Parent:
        def __init__(self, *_: object) -> None:
            pass

        def start(self, **_: object) -> None:
            pass

        async def watch(self, stop: asyncio.Event) -> None:
            await stop.wait()
            happened.append("watched")

        def stop(self) -> None:
            happened.append("ended")

    async def fail(*_: object) -> int:
        await asyncio.sleep(0)  # the watch has begun
        raise DatabaseDown("away")

    monkeypatch.setattr(publish, "Installation", Installed)
    monkeypatch.setattr(publish, "Supervisor", Parent)
    monkeypatch.setattr(publish, "publish_into", fail)
    monkeypatch.setattr(publish, "open_socket", lambda _: None)
    settings = read_settings({"PENSTOCK_DATA": str(tmp_path)})
    with pytest.raises(DatabaseDown):
        await publish._publish(settings, tmp_path / "film.mp4", media.NewTitle("A film"), ())
    assert happened == ["started", "watched", "ended"]
