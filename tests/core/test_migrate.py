"""Migrations: forwards wholly or not at all, back to what was, and never over somebody else's tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.database import dedicated
from core.process import run_tool
from edge.local.postgres import binaries
from edge.migrate import LOCK_KEY, MigrationError, migrate, migrations, roll_back, status
from tests.conftest import TestDatabase

FIRST = (
    "CREATE TABLE loans (id uuid PRIMARY KEY DEFAULT uuid7(), tenant_id uuid NOT NULL DEFAULT app_tenant_id() REFERENCES tenants);"
    "SELECT admit('loans', '@known'); ALTER TABLE contents ADD COLUMN shelf text;",
    "ALTER TABLE contents DROP COLUMN shelf; DROP TABLE loans;",
)
SECOND = ("CREATE INDEX contents_shelf_idx ON contents (shelf);", "DROP INDEX contents_shelf_idx;")


def folder_of(tmp_path: Path, *pairs: tuple[str, str]) -> Path:
    """A folder of these migrations, each with its way back."""
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
    folder = tmp_path / "m"
    folder.mkdir()
    for number, (up, down) in enumerate(pairs, 1):
        (folder / f"{number:04}_step_{number}.sql").write_text(up)
        (folder / f"{number:04}_step_{number}.down.sql").write_text(down)
    return folder


def dump(url: str) -> str:
    """The schema as pg_dump writes it, without its random guard words and our ledger's rows."""
    done = run_tool(
        [binaries() / "pg_dump", "--schema-only", "--exclude-table=schema_migrations", "-d", url], timeout_s=240
    )
    assert done.returncode == 0, done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


async def states(urls: TestDatabase, folder: Path) -> list[str]:
    """How the database stands to each migration, in order."""
    standing = await status(urls.owner_url, folder)
    assert standing is not None
    return [one.state for one in standing]


@pytest.mark.rule("lms-098")
async def test_the_way_back_leads_to_what_was(database_urls: TestDatabase, tmp_path: Path) -> None:
    before = dump(database_urls.owner_url)
    folder = folder_of(tmp_path, FIRST, SECOND)
    assert await migrate(database_urls.owner_url, folder) == ["step_1", "step_2"]
    assert await migrate(database_urls.owner_url, folder) == []
    after = dump(database_urls.owner_url)
    assert after != before
    assert await states(database_urls, folder) == ["applied", "applied"]
    assert await roll_back(database_urls.owner_url, 1, folder) == ["step_2"]
    assert await states(database_urls, folder) == ["applied", "missing"]
    assert await migrate(database_urls.owner_url, folder) == ["step_2"]
    assert dump(database_urls.owner_url) == after
    assert await roll_back(database_urls.owner_url, 0, folder) == ["step_2", "step_1"]
    assert dump(database_urls.owner_url) == before


@pytest.mark.rule("lms-097")
async def test_what_fails_midway_leaves_the_schema_as_it_was(database_urls: TestDatabase, tmp_path: Path) -> None:
    before = dump(database_urls.owner_url)
    broken = ("CREATE TABLE half (id integer); ALTER TABLE contents ADD COLUMN half text; SELECT 1 / 0;", "SELECT 1;")
    folder = folder_of(tmp_path, FIRST, broken)
    with pytest.raises(MigrationError, match="0002 step_2 failed, nothing was changed: division by zero"):
        await migrate(database_urls.owner_url, folder)
    assert dump(database_urls.owner_url) == before
    assert await states(database_urls, folder) == ["missing", "missing"]
    folder = folder_of(tmp_path, FIRST, (SECOND[0], "DROP INDEX contents_shelf_idx; SELECT 1 / 0;"))
    await migrate(database_urls.owner_url, folder)
    there = dump(database_urls.owner_url)
    with pytest.raises(MigrationError, match="nothing was changed"):
        await roll_back(database_urls.owner_url, 0, folder)
    assert dump(database_urls.owner_url) == there


async def test_what_was_applied_is_not_changed_afterwards(database_urls: TestDatabase, tmp_path: Path) -> None:
    await migrate(database_urls.owner_url, folder_of(tmp_path, FIRST))
    changed = folder_of(tmp_path, (FIRST[0] + " SELECT 1;", FIRST[1]))
    with pytest.raises(MigrationError, match="changed after it was applied"):
        await migrate(database_urls.owner_url, changed)
    with pytest.raises(MigrationError, match="not known as it was applied"):
        await roll_back(database_urls.owner_url, 0, changed)
    assert await states(database_urls, changed) == ["changed after it was applied"]
    with pytest.raises(MigrationError, match="newer than this program knows"):
        await migrate(database_urls.owner_url, folder_of(tmp_path))
    assert await states(database_urls, folder_of(tmp_path)) == ["applied, and unknown to this program"]


async def test_what_there_is_can_be_read_while_somebody_migrates(database_urls: TestDatabase, tmp_path: Path) -> None:
    """A migrator holds its lock, and rows of the ledger that it has not committed."""
    await migrate(database_urls.owner_url, folder_of(tmp_path, FIRST))
    other = await dedicated(database_urls.owner_url)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        async with other.transaction():
            await other.execute("INSERT INTO schema_migrations (number, name, checksum) VALUES (2, 'step_2', 'c')")
            assert await states(database_urls, folder_of(tmp_path, FIRST, SECOND)) == ["applied", "missing"]
    finally:
        await other.close()


@pytest.mark.rule("lms-098")
def test_a_migration_without_a_way_back_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FIRST, SECOND)
    (folder / "0002_step_2.down.sql").unlink()
    with pytest.raises(MigrationError, match=r"0002_step_2\.sql has no 0002_step_2\.down\.sql"):
        migrations(folder)
    (folder / "0002_step_2.sql").rename(folder / "0003_step_2.sql")
    (folder / "0003_step_2.down.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="without gaps"):
        migrations(folder)


async def test_other_peoples_tables_are_left_alone(database_urls: TestDatabase) -> None:
    admin = await dedicated(database_urls.admin_url)
    try:
        await admin.execute(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION penstock_owner; CREATE TABLE articles (id integer)"
        )
        with pytest.raises(MigrationError, match=r"other tables \(articles\)"):
            await migrate(database_urls.owner_url)
        assert await admin.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [
            ("articles",)
        ]
    finally:
        await admin.close()
