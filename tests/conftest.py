"""Real servers for every test: one PostgreSQL a run, one Valkey a test process, one cloned database a test."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from core import opening
from core.database import Database, dedicated
from core.objects import ObjectStore
from edge.local.postgres import EmbeddedPostgres, new_password
from edge.local.secrets import SecretFile
from edge.local.valkey import EmbeddedValkey
from edge.migrate import migrate
from edge.redis_client import Redis, connect
from tests.founded import keep
from tests.patience import be_patient

# Hypothesis counts milliseconds by default; on a busy machine they say nothing about the code.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")
# A loaded machine may take longer to let a connection in than a request may: fixtures wait.
opening.CONNECT_TIMEOUT_S = 60

pytest_plugins = ("tests.needs", "tests.demo", "tests.installations")

SERVERS = "PENSTOCK_TEST_SERVERS"
SHOP_SQL = Path(__file__).parent / "edge" / "rest_shop.sql"
ROOM_BYTES = 4 << 30
YOUNG_S = 600
# A developer's settings must not reach a test; what is meant for the tests themselves stays.
for _name in [
    n for n in os.environ if n.startswith("PENSTOCK_") and not n.startswith(("PENSTOCK_TEST_", "PENSTOCK_SCREENSHOTS"))
]:
    del os.environ[_name]
os.environ.pop("DATABASE_URL", None)

_running: list[EmbeddedPostgres] = []
_folders: list[Path] = []


@dataclass(frozen=True)
class Servers:
    """Where the run's PostgreSQL is."""

    admin_url: str
    owner_url: str
    app_url: str

    def database(self, url: str, name: str) -> str:
        """`url` with another database."""
        return url.replace("/penstock?", f"/{name}?").replace("/postgres?", f"/{name}?")


def _fastest_folder() -> str:
    """Memory where there is enough of it: a clone of the template is 1,600 files, on a disk a second of system time."""
    memory = Path("/dev/shm")
    for left in memory.glob("pst-*"):
        # Of a run that was killed: nobody else takes it out of memory.
        if left.stat().st_uid == os.getuid() and not _is_in_use(left):
            shutil.rmtree(left, ignore_errors=True)
    free_bytes = shutil.disk_usage(memory).free if memory.is_mount() and os.access(memory, os.W_OK) else 0
    return str(memory) if free_bytes > ROOM_BYTES else "/tmp"


def _is_in_use(folder: Path) -> bool:
    """A young one may be between two steps of its making, without a server."""
    if time.time() - folder.stat().st_mtime < YOUNG_S:
        return True
    try:
        # A server that stands alone writes its number with a minus.
        number = abs(int((folder / "pg" / "postmaster.pid").read_text().split()[0]))
    except (FileNotFoundError, ValueError, IndexError):
        return False
    return Path(f"/proc/{number}").exists()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What the tests are made of stays: it is not looked through for cycles while it is made, nor with each test's objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """The first process (not an xdist worker) starts PostgreSQL and migrates the template."""
    if hasattr(config, "workerinput") or SERVERS in os.environ:
        return
    # Short: a unix socket's path has 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pst-", dir=_fastest_folder()))
    folder.chmod(0o755)
    _folders.append(folder)
    server = EmbeddedPostgres(
        folder / "pg",
        folder / "run",
        folder / "postgres.log",
        SecretFile(folder / "secrets.json", lambda _: new_password()),
        options=(
            "fsync=off",
            # A clone makes a checkpoint, after which each page would be written, compressed, to the log as a whole.
            "full_page_writes=off",
            "max_connections=400",
            # 4,096 rounds of a hash, at both ends, for each of some ten thousand connections.
            "scram_iterations=1",
            # A log of two pieces: it is copied with every data folder.
            "min_wal_size=32MB",
        ),
    )
    server.start()
    _running.append(server)
    asyncio.run(server.prepare())
    asyncio.run(migrate(server.url("penstock_owner")))
    server.stop()
    keep(server, folder / "secrets.json", folder / "founded")
    server.start()
    os.environ[SERVERS] = json.dumps([server.url("postgres", "postgres"), server.url("penstock_owner"), server.url()])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops what `pytest_configure` started."""
    if hasattr(config, "workerinput"):
        return
    for server in _running:
        server.stop()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The run's PostgreSQL."""
    return Servers(*json.loads(os.environ[SERVERS]))


@dataclass(frozen=True)
class TestDatabase:
    """A migrated database of the test's own."""

    __test__ = False
    app_url: str
    owner_url: str
    admin_url: str


async def run_sql(url: str, *texts: str) -> None:
    """Statements on a connection of their own."""
    connection = await dedicated(url)
    try:
        for text in texts:
            await connection.execute(text)
    finally:
        await connection.close()


def _named(servers: Servers, prefix: str) -> tuple[str, TestDatabase]:
    """A name that nobody has, and where a database of this name is."""
    name = f"{prefix}_{uuid4().hex[:16]}"
    return name, TestDatabase(
        servers.database(servers.app_url, name),
        servers.database(servers.owner_url, name),
        servers.database(servers.admin_url, name),
    )


def _making(name: str, template: str) -> str:
    return f"CREATE DATABASE {name} TEMPLATE {template} OWNER penstock_owner STRATEGY file_copy"


@asynccontextmanager
async def clone(servers: Servers, template: str = "penstock") -> AsyncIterator[TestDatabase]:
    """A database with all that `template` holds, dropped afterwards. Nobody may be connected to the template."""
    name, made = _named(servers, "t")
    admin = await dedicated(servers.admin_url)
    try:
        await admin.execute(_making(name, template))
        yield made
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()


@contextmanager
def kept(servers: Servers, prefix: str, *texts: str) -> Iterator[tuple[str, TestDatabase]]:
    """A migrated database, with what `texts` make in it, for the fixtures that last as long as the process: its name, and where it is."""
    name, made = _named(servers, prefix)
    asyncio.run(run_sql(servers.admin_url, _making(name, "penstock")))
    if texts:
        asyncio.run(run_sql(made.admin_url, *texts))
    yield name, made
    asyncio.run(run_sql(servers.admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_urls(servers: Servers) -> AsyncIterator[TestDatabase]:
    """A fresh clone of the migrated template, dropped afterwards."""
    async with clone(servers) as made:
        yield made


@pytest.fixture(scope="session")
def shared_database(servers: Servers) -> Iterator[TestDatabase]:
    """A migrated database that the tests of a process share: nothing in it may be committed."""
    with kept(servers, "s") as (_, made):
        yield made


@pytest.fixture(scope="session")
def shop_template(servers: Servers) -> Iterator[str]:
    """The name of a database with the shop in it, to be cloned: filling one costs four times as much as a clone."""
    with kept(servers, "shop", SHOP_SQL.read_text()) as (name, _):
        yield name


@pytest.fixture
async def database(database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool on the test's database, as the app's role."""
    be_patient(monkeypatch)
    pool = await Database.connect(database_urls.app_url, name="test", max_size=8)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedValkey]:
    """This test process's Valkey."""
    folder = Path(tempfile.mkdtemp(prefix="psv-", dir="/tmp"))
    server = EmbeddedValkey(folder / "data", folder / "v.sock", folder / "valkey.log", append_fsync="no")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    """A client on an emptied Valkey."""
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    """An object store in a folder of the test's own."""
    return ObjectStore(f"file://{tmp_path / 'store'}")
