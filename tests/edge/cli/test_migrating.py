"""`penstock migrate --status`: reading needs no stop, makes nothing, and changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.local.installation import Installation
from edge.migrate import migrations
from edge.settings import read_settings
from tests.conftest import Servers, TestDatabase
from tests.founded import found
from tests.running import run_penstock

WAIT_S = 300
APPLIED = "".join(f"{one.number:04} {one.name}: applied\n" for one in migrations()) or (
    "The schema is there; this release has no migrations yet.\n"
)
pytestmark = pytest.mark.timeout(900)


def untouched(data: Path) -> bool:
    """Whether nothing was made."""
    return not data.exists()


async def migrate(*words: str, data: Path, **env: str) -> tuple[int, str, str]:
    """The exit code, and what is said on stdout and on stderr."""
    done = await asyncio.to_thread(run_penstock, "migrate", *words, "--data", data, timeout_s=WAIT_S, env=env)
    return done.returncode, done.stdout, done.stderr


async def test_what_is_applied_can_be_read_while_penstock_runs_and_while_it_stands(data: Path) -> None:
    found(data)
    running = Installation(read_settings({"PENSTOCK_DATA": str(data)}))
    try:
        await running.open_database()
        code, said, _ = await migrate("--status", data=data)
        assert (code, said) == (0, APPLIED)
        code, said, complaint = await migrate(data=data)
        assert (code, said) == (2, "")
        assert "is already running" in complaint
    finally:
        await asyncio.to_thread(running.stop)
    code, said, _ = await migrate("--status", data=data)
    assert (code, said) == (0, APPLIED)


async def test_where_there_is_nothing_nothing_is_made(data: Path, servers: Servers) -> None:
    code, said, _ = await migrate("--status", data=data)
    assert code == 0
    assert f"no database in {data} yet" in said
    code, said, _ = await migrate("--status", data=data, DATABASE_URL=servers.admin_url)
    assert code == 0
    assert "no schema yet" in said
    assert untouched(data)


async def test_a_server_of_ones_own_is_asked_without_a_data_folder(data: Path, database_urls: TestDatabase) -> None:
    code, said, _ = await migrate("--status", data=data, PENSTOCK_DATABASE_URL=database_urls.app_url)
    assert (code, said) == (0, APPLIED)
    assert untouched(data)


async def test_one_thing_at_a_time(data: Path) -> None:
    code, _, complaint = await migrate("--status", "--down", "0", data=data)
    assert code == 2
    assert "--status" in complaint
    assert untouched(data)
