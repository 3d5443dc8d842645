"""`penstock demo`: how its films are drawn, the crowd around them, what it leaves alone, and what stdout is for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from rich.console import Console
from typer.testing import CliRunner

from core.connections import Connection
from core.database import Database, Row
from core.domain import media
from core.ids import uuid7
from core.process import run_tool
from core.viewer import service
from edge.cli import __main__ as cli
from edge.cli.crowd import add_crowd
from edge.cli.demo import PASSWORD, PEOPLE
from edge.cli.scenes import CAPTIONS, SCENES, argv, source_name, subtitles
from edge.cli.seed import MOST
from edge.cli.titles import SQL
from edge.local.fault import ServiceFault
from edge.local.ffmpeg import ffmpeg_path
from edge.settings import Settings, read_settings
from tests.conftest import TestDatabase
from tests.edge.cli.test_seed import admin as admin
from tests.edge.cli.test_seed import counts
from transcoder.probe import probe

FEW = 12
HOSTS = [person.email for person in PEOPLE]


@pytest.fixture
def settings(database_urls: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a demo on the test's database."""
    monkeypatch.setattr("core.patience.SUSPECT_S", 60.0)
    return read_settings(
        {
            "PENSTOCK_DATA": str(tmp_path / "data"),
            "PENSTOCK_STORE_URL": f"file://{tmp_path / 'store'}",
            "PENSTOCK_DATABASE_URL": database_urls.app_url,
            "PENSTOCK_OWNER_DATABASE_URL": database_urls.owner_url,
        }
    )


@pytest.fixture
def console() -> Console:
    """A terminal that keeps what it is told."""
    return Console(record=True, width=200, stderr=True)


async def titles_with_a_file(database: Database) -> list[str]:
    async with database.transaction(service()) as tx:
        return [row["title"] for row in await tx.many(SQL["content_list"])]


@pytest.mark.parametrize(("lines", "size"), [(720, "1280x720"), (361, "642x360"), (360, "640x360")])
async def test_films_are_drawn_as_high_as_was_asked(tmp_path: Path, lines: int, size: str) -> None:
    """Of each, the first half second; an odd number of lines is no picture that can be encoded."""
    for scene in (replace(scene, seconds=1) for scene in SCENES if scene.picture):
        for language in CAPTIONS:
            (tmp_path / f"{scene.slug}.{language}.srt").write_text(subtitles(language, scene.seconds))
        command = argv(scene, ffmpeg_path(read_settings({})), tmp_path, lines)
        done = run_tool([*command[:-1], "-t", "0.5", command[-1]], timeout_s=300)
        assert done.returncode == 0, (scene.slug, done.stderr)
        found = await probe(tmp_path / source_name(scene))
        assert found.video is not None
        assert f"{found.video.width}x{found.video.height}" == size, scene.slug


def test_other_heights_are_refused_before_anything_starts(tmp_path: Path) -> None:
    for lines in ("240", "721", "high"):
        done = CliRunner().invoke(cli.app, ["demo", "--lines", lines, "--data", str(tmp_path / "data")])
        assert done.exit_code == 2
        assert not (tmp_path / "data").exists()


async def test_a_crowd_comes_once_and_its_titles_are_none_of_the_library(
    database: Database, admin: Connection[Row], settings: Settings, console: Console
) -> None:
    file = media.NewFile(uuid7(), "f.mp4", 1000, "video/mp4", f"sha256:{'a' * 64}", "file", None, "uploads/f", None)
    async with database.transaction(service()) as tx:
        await media.submit(tx, file, media.NewTitle("A film of the demo's"))
    for person in PEOPLE:
        await admin.execute("INSERT INTO users (name, email) VALUES ($1, $2)", person.name, person.email)
    before = await counts(admin)
    assert await add_crowd(database, settings, FEW, HOSTS, PASSWORD, console)
    after = await counts(admin)
    assert after["users"] == before["users"] + FEW
    for table in ("courses", "enrollments", "blogs", "orders", "podcasts", "sponsors", "contents"):
        assert after[table] > before[table], table
    assert await titles_with_a_file(database) == ["A film of the demo's"]
    for people in (FEW, FEW + 10):
        assert not await add_crowd(database, settings, people, HOSTS, PASSWORD, console)
    assert await counts(admin) == after


async def test_no_crowd_comes_to_people_who_are_real(
    database: Database, admin: Connection[Row], settings: Settings, console: Console
) -> None:
    await admin.execute("INSERT INTO users (name, email) VALUES ('Real', 'real@example.net')")
    before = await counts(admin)
    assert not await add_crowd(database, settings, FEW, HOSTS, PASSWORD, console)
    assert await counts(admin) == before
    assert console.export_text() == ""


async def test_a_database_that_is_not_ours_goes_without_a_crowd(
    database: Database,
    admin: Connection[Row],
    settings: Settings,
    console: Console,
) -> None:
    before = await counts(admin)
    a_guest = replace(settings, owner_database_url=settings.database_url)
    assert not await add_crowd(database, a_guest, FEW, HOSTS, PASSWORD, console)
    assert await counts(admin) == before
    assert "without a crowd" in console.export_text()


@pytest.mark.parametrize("number", ["1", "9", str(MOST + 1), "-1"])
def test_a_crowd_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, number: str) -> None:
    done = CliRunner().invoke(cli.app, ["demo", "--people", number, "--data", str(tmp_path / "data")])
    assert done.exit_code != 0
    assert done.exit_code == 2 or isinstance(done.exception, ServiceFault)
    assert not (tmp_path / "data").exists()


def test_what_is_logged_meanwhile_never_stands_before_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slow database was reported on stdout, before the line of `demo --json`."""

    def answer(prog_name: str) -> None:
        structlog.get_logger("core.patience").warning("server_away", server=prog_name)
        sys.stdout.write("{}\n")

    kept = structlog.get_config()
    monkeypatch.setattr(cli, "app", answer)
    try:
        cli.main()
    finally:
        structlog.configure(**kept)
    said = capsys.readouterr()
    assert said.out == "{}\n"
    assert "server_away" in said.err
