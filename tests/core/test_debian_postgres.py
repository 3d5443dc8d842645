"""The schema on the distribution's own PostgreSQL (15 on Debian 12), loaded by psql as its head says, and by the loader."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import asyncpg
import pytest

from core.database import Connection, Row, dedicated
from core.process import run_tool, start_service
from core.settings import ROOT
from edge.local.account import unprivileged
from edge.migrate import migrate
from tests.core.rows import Rows
from tests.waiting import until, until_now

pytestmark = pytest.mark.needs("postgresql")
OWNER = "keeper"


@dataclass(frozen=True)
class Debian:
    """A running server of the distribution's, and its programs."""

    programs: Path
    sockets: Path

    def url(self, database: str, role: str = "postgres") -> str:
        """A URL that needs no password: the socket's folder is ours."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets))}"


@pytest.fixture(scope="module")
def debian() -> Iterator[Debian]:
    """A new server of the oldest version that is installed."""
    programs = min(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="psd-", dir="/tmp"))
    folder.chmod(0o755)
    data, sockets = folder / "pg", folder / "run"
    run_as = unprivileged(programs, folder)
    for made in (data, sockets):
        made.mkdir(mode=0o700)
        run_as.own(made)
    initdb = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]
    done = run_tool([*run_as.prefix, *initdb], timeout_s=120, user=run_as.user, cwd=data)
    assert done.returncode == 0, done.stdout + done.stderr
    options = ("listen_addresses=", f"unix_socket_directories={sockets}", "fsync=off", "timezone=UTC")
    server = start_service(
        [*run_as.prefix, programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
        log=folder / "log",
        user=run_as.user,
        death_signal=signal.SIGINT,
        cwd=data,
    )
    try:
        ready = [programs / "pg_isready", "-q", "-h", sockets]
        until_now(lambda: run_tool(ready, timeout_s=20).returncode == 0, 60, "the server answers")
        yield Debian(programs, sockets)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def empty(debian: Debian) -> str:
    """The name of an empty database that belongs to a plain owner."""
    return await another(debian)


@pytest.fixture(scope="module")
def by_psql(debian: Debian) -> str:
    """The name of a database that psql loaded as a plain owner, for those who only look at it or take a copy."""
    name = asyncio.run(another(debian))
    load_by_psql(debian, name)
    return name


@pytest.fixture
async def loaded(debian: Debian, by_psql: str) -> str:
    """The name of a copy, to be written to."""
    return await another(debian, f"TEMPLATE {by_psql}")


async def another(debian: Debian, like: str = "") -> str:
    """The name of a new database of the owner's."""
    name = f"d_{secrets.token_hex(6)}"
    admin = await dedicated(debian.url("postgres"))
    try:
        if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", OWNER):
            await admin.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER")
            await admin.execute("CREATE ROLE penstock_app LOGIN")
        # A connection that was just closed may still be there on the server's side.
        await until(lambda: _made(admin, f"CREATE DATABASE {name} {like} OWNER {OWNER}"), 60, "a database")
    finally:
        await admin.close()
    return name


async def _made(admin: Connection[Row], statement: str) -> bool:
    try:
        await admin.execute(statement)
    except asyncpg.ObjectInUseError:
        return False
    return True


def load_by_psql(debian: Debian, database: str) -> None:
    """As db/schema.sql says."""
    done = run_tool(
        [
            debian.programs / "psql",
            "-qX",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            ROOT / "db" / "schema.sql",
            debian.url(database, OWNER),
        ],
        timeout_s=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.rule("podcast-150")
async def test_psql_loads_it_as_a_plain_owner_and_every_table_takes_a_row(debian: Debian, loaded: str) -> None:
    admin = await dedicated(debian.url(loaded))
    try:
        made: UUID = await admin.fetchval("SELECT uuid7()")
        assert made.version == 7
        assert abs((made.int >> 80) / 1000 - time.time()) < 3600
        tenant_id = await admin.fetchval("INSERT INTO tenants (slug) VALUES ('mine') RETURNING id")
        user_id = await admin.fetchval("INSERT INTO users (name, email) VALUES ('Vera', 'v@example.com') RETURNING id")
        rows = Rows(admin, tenant_id, user_id)
        for table in await rows.tables():
            if not await admin.fetchval(f"SELECT count(*) FROM {table}"):
                await rows.make(table)
    finally:
        await admin.close()


async def test_the_loader_makes_what_psql_makes(debian: Debian, empty: str, loaded: str) -> None:
    assert await migrate(debian.url(empty, OWNER)) == ["schema"]
    assert await outline(debian.url(empty, OWNER)) == await outline(debian.url(loaded, OWNER))


async def test_without_a_tenant_a_plain_role_sees_nothing(debian: Debian, loaded: str) -> None:
    app = await dedicated(debian.url(loaded, "penstock_app"))
    try:
        assert await app.fetchval("SELECT count(*) FROM tenants") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(
                "INSERT INTO genres (title, tenant_id) VALUES ('Drama', '00000000-0000-7000-8000-000000000001')"
            )
    finally:
        await app.close()


async def outline(url: str) -> set[str]:
    """Every column, rule, policy, index and trigger, in words."""
    connection = await dedicated(url)
    try:
        found = await connection.fetch(
            """
            SELECT format('column %s.%s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull)
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND attnum > 0
            AND c.relname !~ '^(pgqueuer|schema_migrations)'
            UNION ALL SELECT format('rule %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '^(pgqueuer|schema_migrations)'
            UNION ALL SELECT format('policy %s.%s %s %s', tablename, policyname, qual, with_check) FROM pg_policies
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '^(pgqueuer|schema_migrations)'
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text !~ '^pgqueuer'
            """
        )
    finally:
        await connection.close()
    return {row[0] for row in found}


@pytest.mark.rule("podcast-149")
async def test_which_of_the_documents_extensions_are_there_and_what_stands_for_the_others(
    debian: Debian, loaded: str
) -> None:
    """pg_trgm is installed. What uuid-ossp and pgcrypto are wanted for PostgreSQL has itself, and a plain owner may add both beside the schema.

    TimescaleDB is not: docs/decisions/0008 says why, and which tables stand for its hypertables.
    """
    owner = await dedicated(debian.url(loaded, OWNER))
    try:
        there = {row[0] for row in await owner.fetch("SELECT extname::text FROM pg_extension")}
        assert there == {"plpgsql", "btree_gist", "pg_trgm"}
        made = await owner.fetchrow("SELECT uuid7(), gen_random_uuid(), sha256('x')")
        assert made is not None
        assert (made[0].version, made[1].version, len(made[2])) == (7, 4, 32)
        await owner.execute('CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION pgcrypto')
        hypertables = {row[0] for row in await owner.fetch("SELECT parent FROM time_partitions")}
        assert {"listener_events", "listener_metrics", "attribution_events"} <= hypertables
    finally:
        await owner.close()
