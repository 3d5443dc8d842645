"""Backups of a real embedded server: written, backed up, written again, put back to a moment in between."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.database import dedicated
from edge.cli.backup import read_moment
from edge.local.backups import Backups, Base, bases, spare
from edge.local.fault import ServiceFault
from edge.local.installation import Installation, open_secrets, scratch_sockets
from edge.local.restore import choose, verify
from edge.settings import read_settings
from tests.founded import found
from tests.waiting import until

pytestmark = [pytest.mark.timeout(900)]


@dataclass
class Box:
    """An installation with an embedded PostgreSQL that can be started and stopped."""

    data: Path
    installation: Installation

    async def start(self) -> None:
        settings = read_settings({"PENSTOCK_DATA": str(self.data), "PENSTOCK_LISTEN": "127.0.0.1:0"})
        self.installation = Installation(settings)
        await self.installation.start()

    def again(self) -> Installation:
        """Another look at the same folder."""
        return Installation(read_settings({"PENSTOCK_DATA": str(self.data)}))

    async def stop(self) -> None:
        await asyncio.to_thread(self.installation.stop)

    @property
    def backups(self) -> Backups:
        settings, server = self.installation.settings, self.installation.postgres
        assert server is not None
        return Backups(settings.backups, settings.backups_keep, server)

    async def write(self, name: str) -> datetime:
        """A row; the moment just after it, by PostgreSQL's clock."""
        server = self.installation.postgres
        assert server is not None
        connection = await dedicated(server.url("postgres"))
        try:
            await connection.execute(
                "INSERT INTO users (name, email) VALUES ($1, replace($1, ' ', '.') || '@example.com')", name
            )
            moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
            return moment
        finally:
            await connection.close()

    async def names(self) -> list[str]:
        """Of everybody but the installation itself."""
        server = self.installation.postgres
        assert server is not None
        connection = await dedicated(server.url("postgres"))
        try:
            return [
                row["name"]
                for row in await connection.fetch("SELECT name FROM users WHERE name <> 'Penstock' ORDER BY id")
            ]
        finally:
            await connection.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a unix socket's path has 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="psk-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def box(folder: Path) -> AsyncIterator[Box]:
    """It is running."""
    found(folder / "d")
    made = Box(folder / "d", Installation(read_settings({"PENSTOCK_DATA": str(folder / "d")})))
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@pytest.mark.rule("edupeak-314")
async def test_any_moment_since_a_backup_can_be_had_again(box: Box) -> None:
    await box.write("before")
    base = await box.backups.take(datetime.now(UTC))
    await box.write("wanted")
    moment = await box.write("wanted too")
    await box.write("regretted")
    last = await box.write("regretted too")

    with pytest.raises(ServiceFault, match="already running"):
        await box.again().restore(moment)
    await box.stop()
    found = await box.again().restore(moment)
    assert found.base == base
    await box.start()
    assert await box.names() == ["before", "wanted", "wanted too"]

    # Life goes on from there; the moment is still the same when asked for again, and so is what came after it.
    latest = await box.write("after all")
    await box.stop()
    await box.again().restore(latest)
    await box.start()
    assert await box.names() == ["before", "wanted", "wanted too", "after all"]
    assert last < latest
    kept = sorted(path.name for path in box.data.glob("postgres.before-*"))
    assert kept
    await box.write("and on")


@pytest.mark.rule("edupeak-315")
async def test_a_backup_is_restored_and_looked_at_beside_the_running_server(box: Box) -> None:
    await box.write("here")
    await box.backups.take(datetime.now(UTC))
    folder = box.data / "backups"
    scratch = folder / "scratch" / "postgres"
    found = await verify(folder, scratch, scratch_sockets(box.data), open_secrets(box.data))
    assert found.people == len(["Penstock", *await box.names()])
    assert found.tables > 150
    assert not scratch.exists()
    packed = found.base.folder / "base.tar.gz"
    damaged = bytearray(packed.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    packed.write_bytes(damaged)
    with pytest.raises(ServiceFault, match="not sound"):
        await verify(folder, scratch, scratch_sockets(box.data), open_secrets(box.data))
    assert not scratch.exists()


@pytest.mark.rule("edupeak-313")
async def test_a_backup_is_due_every_day_noted_and_forgotten_in_time(box: Box) -> None:
    backups = box.backups
    backups.keep = 2
    now = datetime.now(UTC)
    assert backups.is_due(now)
    taken = [await backups.take(now + timedelta(days=day)) for day in range(3)]
    assert bases(box.data / "backups") == taken[1:]
    assert not backups.is_due(now + timedelta(days=2, hours=23))
    assert backups.is_due(now + timedelta(days=3))
    server = box.installation.postgres
    assert server is not None
    connection = await dedicated(server.url("postgres"))
    try:
        records = await connection.fetch(
            "SELECT status, size_bytes, backup_location FROM backup_records ORDER BY started_at"
        )
    finally:
        await connection.close()
    assert [row["status"] for row in records] == ["succeeded"] * 3
    assert [row["backup_location"] for row in records] == [str(base.folder) for base in taken]
    first = taken[1].first_wal[8:]
    pieces = [
        path.name for path in (box.data / "backups" / "wal").glob("*.gz") if re.match(r"[0-9A-F]{24}\b", path.name)
    ]
    assert all(name[8:24] >= first for name in pieces)


@pytest.mark.rule("edupeak-313")
async def test_the_keeper_takes_the_first_one_by_itself(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.local.backups.FIRST_AFTER_S", 0.0)
    stopping = asyncio.Event()
    running = asyncio.create_task(box.installation.back_up(stopping))
    try:
        await until(lambda: len(bases(box.data / "backups")) == 1, 240, "a backup")
    finally:
        stopping.set()
        await running


def test_the_newest_backup_before_the_moment_is_chosen(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    made = []
    for day in range(3):
        base = Base(tmp_path / str(day), noon + timedelta(days=day))
        base.folder.mkdir()
        manifest = base.folder / "backup_manifest"
        manifest.touch()
        ended = (noon + timedelta(days=day, minutes=10)).timestamp()
        os.utime(manifest, (ended, ended))
        made.append(base)
    assert choose(made, None) == made[2]
    assert choose(made, noon + timedelta(days=1, minutes=10)) == made[1]
    # It had begun, and was not whole.
    assert choose(made, noon + timedelta(days=1, minutes=9)) == made[0]
    with pytest.raises(ServiceFault, match="reaches back to"):
        choose(made, noon)
    with pytest.raises(ServiceFault, match="there is none"):
        choose([], None)
    assert spare(made, 2) == made[:1]
    assert spare(made, 5) == []


def test_moments_are_read_with_and_without_a_zone() -> None:
    assert read_moment("2026-11-21T14:05:00Z") == datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
    assert read_moment("2026-11-21 14:05") == datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
    assert read_moment("2026-11-21T14:05:00+02:00") == datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
    with pytest.raises(ServiceFault, match="is no moment"):
        read_moment("yesterday")
