"""A worker whose database is not there: it says once what it waits for and goes on trying; where that is in vain, it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from core.domain.media_settings import read_worker_settings
from core.process import start_service
from core.settings import ROOT
from core.variables import Variables
from edge.migrate import migrate
from tests.conftest import Servers, TestDatabase, run_sql
from tests.waiting import until
from transcoder.reaching import BACK_OFF_S, wait_for_database

WAIT_S = 60
SECRET = "hunter2"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a unix socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="psw-", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def worker(url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`./penstock worker` on the database of `url`, and its log."""
    log = folder / "worker.log"
    env = {"PATH": os.environ["PATH"], "PENSTOCK_DATA": str(folder / "d"), "DATABASE_URL": url}
    child = start_service([sys.executable, "-m", "edge.cli", "worker"], log=log, env=env, cwd=ROOT)
    try:
        yield child, log
    finally:
        child.kill()
        child.wait()


def events(log: Path, name: str) -> list[dict[str, object]]:
    """What the log says of `name`; its last line may be half there."""
    lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
    read = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in read if one["event"] == name]


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password
    return password


async def test_it_says_once_what_it_waits_for_and_works_when_it_is_there(
    database_urls: TestDatabase, folder: Path
) -> None:
    """The server's socket is where it was told only after some tries."""
    (sockets,) = parse_qs(urlsplit(database_urls.app_url).query)["host"]
    later = folder / "s"
    url = f"{database_urls.app_url.partition('?')[0]}?host={later}"
    with worker(url, folder) as (child, log):
        await until(lambda: events(log, "waiting_for_database"), WAIT_S)
        later.symlink_to(sockets)
        await until(lambda: events(log, "worker_ready"), WAIT_S)
        (said,) = events(log, "waiting_for_database")
        assert str(later) in str(said["waits_for"])
        assert "correct DATABASE_URL" in str(said["hint"])
        assert events(log, "database_there")
        assert password_of(url) not in log.read_text()
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, WAIT_S) == 0


async def test_one_that_waits_ends_when_it_is_told_to(folder: Path) -> None:
    with worker(f"postgresql://app:{SECRET}@/films?host={folder}/nowhere", folder) as (child, log):
        await until(lambda: events(log, "waiting_for_database"), WAIT_S)
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, WAIT_S) == 0
        assert SECRET not in log.read_text()


async def test_a_database_without_a_schema_is_waited_for(servers: Servers, folder: Path) -> None:
    name = f"e_{uuid4().hex[:16]}"
    await run_sql(servers.admin_url, f"CREATE DATABASE {name} OWNER penstock_owner")
    try:
        with worker(servers.database(servers.app_url, name), folder) as (_, log):
            (said,) = await until(lambda: events(log, "waiting_for_database"), WAIT_S)
            assert "schema" in str(said["why"])
            assert "migrate" in str(said["hint"])
            await migrate(servers.database(servers.owner_url, name))
            await until(lambda: events(log, "worker_ready"), WAIT_S)
    finally:
        await run_sql(servers.admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("wrong", ["password", "database", "user", "superuser"])
async def test_what_no_waiting_mends_ends_it(database_urls: TestDatabase, folder: Path, wrong: str) -> None:
    right = database_urls.app_url
    url, says = {
        "password": (right.replace(password_of(right), SECRET), "Check the user and the password"),
        "database": (right.replace(urlsplit(right).path, "/nosuch"), "Create the database"),
        "user": (right.replace("penstock_app", "nobody_here"), "Check the user and the password"),
        "superuser": (database_urls.admin_url, "Name a plain role"),
    }[wrong]
    with worker(url, folder) as (child, log):
        assert await asyncio.to_thread(child.wait, WAIT_S) == 2
        said = log.read_text()
    assert said.startswith("penstock: DATABASE_URL: ")
    assert says in said
    assert said.count("\n") == 1
    assert password_of(url) not in said


async def test_it_tries_again_sooner_at_first_and_never_seldom(folder: Path) -> None:
    environ = {"PENSTOCK_DATABASE_URL": f"postgresql://app:{SECRET}@/films?host={folder}/nowhere"}
    pauses: list[float] = []

    async def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 20

    with capture_logs() as said:
        assert not await wait_for_database(read_worker_settings(Variables(environ)), "PENSTOCK_DATABASE_URL", pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACK_OFF_S[-1]
    assert [one["event"] for one in said] == ["waiting_for_database"]
