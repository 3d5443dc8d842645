"""`penstock seed`: what it fills, what it leaves alone, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from typer.testing import CliRunner, Result

from core import errors
from core.connections import Connection, Row
from core.database import Database, dedicated
from core.domain.tenancy.access import PolicyDefinition
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import Viewer
from edge.api.passwords import Passwords
from edge.cli.__main__ import app
from edge.local.fault import ServiceFault
from tests.conftest import Servers, TestDatabase

Run = Callable[..., Awaitable[Result]]

# Rows that only a machine may write: they would tell an operator of media, backups and servers that are not there.
LEFT_EMPTY = {
    "backup_records",
    "beat_ledger",
    "beat_ledger_crowded",
    "failover_events",
    "generation_keys",
    "generations",
    "idempotency_keys",
    "pgqueuer",
    "pgqueuer_log",
    "pgqueuer_schedules",
    "pgqueuer_statistics",
    "refresh_runs",
    "renditions",
    "replication_status",
    "schema_migrations",
    "transcode_jobs",
    "transcode_tasks",
    "webhook_deliveries",
}
# Rows that the schema's own triggers add beside the seeded ones, with ids of their own.
BY_TRIGGER = {
    "certificates",
    "outbox",
    "point_entries",
    "student_activity",
    "student_badges",
    "users",
    "tenants",
    "help_request_messages",
    "notifications",
    "text_changes",
}
TABLES = """
SELECT c.relname AS name,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'id' AND a.atttypid = 'uuid'::regtype) AS has_id
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


@pytest.fixture
def run(database_urls: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types `penstock seed` against the test's database, or another one, for few people."""
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PENSTOCK_STORE_URL", f"file://{tmp_path / 'store'}")
    monkeypatch.setenv("COLUMNS", "200")

    async def typed(*words: str, into: TestDatabase = database_urls) -> Result:
        monkeypatch.setenv("PENSTOCK_DATABASE_URL", into.app_url)
        monkeypatch.setenv("PENSTOCK_OWNER_DATABASE_URL", into.owner_url)
        given = words if "--users" in words else (*words, "--users", "12")
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["seed", *given]))

    return typed


@pytest.fixture
async def admin(database_urls: TestDatabase) -> AsyncIterator[Connection[Row]]:
    """A connection that sees every row of every tenant."""
    connection = await dedicated(database_urls.admin_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def another_database(servers: Servers) -> AsyncIterator[TestDatabase]:
    name = f"t_{uuid4().hex[:16]}"
    owner = await dedicated(servers.admin_url)
    try:
        await owner.execute(f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy")
        urls = (servers.app_url, servers.owner_url, servers.admin_url)
        yield TestDatabase(*(servers.database(url, name) for url in urls))
    finally:
        await owner.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await owner.close()


async def counts(connection: Connection[Row]) -> dict[str, int]:
    names = [row["name"] for row in await connection.fetch(TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}


async def ids(connection: Connection[Row]) -> dict[str, set[UUID]]:
    """The ids that the seed itself gave, by table."""
    tables = [row["name"] for row in await connection.fetch(TABLES) if row["has_id"]]
    return {
        name: {row["id"] for row in await connection.fetch(f"SELECT id FROM {name}")}
        for name in tables
        if name not in BY_TRIGGER
    }


@pytest.mark.rule("infocus-069")
@pytest.mark.rule("infocus-070")
@pytest.mark.rule("infocus-071")
@pytest.mark.rule("infocus-072")
@pytest.mark.rule("infocus-073")
@pytest.mark.rule("infocus-074")
@pytest.mark.rule("infocus-075")
async def test_the_rows_that_the_documents_name_are_there(run: Run, admin: Connection[Row]) -> None:
    assert (await run()).exit_code == 0
    demo = await admin.fetch(
        "SELECT u.id, u.email FROM users u JOIN user_profiles p ON p.user_id = u.id WHERE u.email = ANY ($1) ORDER BY 2",
        ["alice@example.com", "bob@example.com", "carol@example.com"],
    )
    assert len(demo) == 3
    people = [row["id"] for row in demo]
    titles = await admin.fetch("SELECT id, title FROM media_items")
    assert {row["title"] for row in titles} == {"Fight Club", "The Shawshank Redemption", "Breaking Bad"}
    entries = await admin.fetch("SELECT status::text, rating FROM watchlist_entries WHERE user_id = ANY ($1)", people)
    assert {row["status"] for row in entries} == {"completed", "watching", "not_watched"}
    assert any(row["rating"] for row in entries)
    offered = await admin.fetch("SELECT DISTINCT media_item_id FROM streaming_providers")
    assert {row["media_item_id"] for row in offered} == {row["id"] for row in titles}
    family = await admin.fetchval("SELECT id FROM families WHERE created_by = $1", people[0])
    assert await admin.fetchval("SELECT count(*) FROM family_memberships WHERE family_id = $1", family) == 3
    assert await admin.fetchval("SELECT count(*) FROM family_invitations WHERE family_id = $1", family) == 3
    told = "SELECT count(*) FROM recommendations WHERE recommended_by = ANY ($1) AND recommended_to = ANY ($1)"
    assert await admin.fetchval(told, people) == 3
    for table in ("sessions", "refresh_tokens"):
        held = await admin.fetch(f"SELECT DISTINCT user_id FROM {table} WHERE user_id = ANY ($1)", people)
        assert {row["user_id"] for row in held} == set(people), table


async def test_every_table_that_a_person_looks_at_has_rows(run: Run, admin: Connection[Row]) -> None:
    assert (await run("--users", "60")).exit_code == 0
    assert {name for name, count in (await counts(admin)).items() if count == 0} <= LEFT_EMPTY
    # Nothing of it leaves the machine: no mail of a seeded course, no call of a seeded webhook.
    assert await admin.fetchval("SELECT count(*) FROM outbox WHERE delivered_at IS NULL") == 0
    assert await admin.fetchval("SELECT count(*) FROM webhooks WHERE enabled") == 0


async def test_the_same_number_gives_the_same_rows_and_another_gives_others(
    run: Run, admin: Connection[Row], servers: Servers
) -> None:
    assert (await run()).exit_code == 0
    first = await ids(admin)
    totals = "SELECT id, total_amount, status FROM orders ORDER BY id"
    taken = "SELECT id, progress, status FROM enrollments ORDER BY id"
    seen = [await admin.fetch(totals), await admin.fetch(taken)]
    async with another_database(servers) as other:
        assert (await run(into=other)).exit_code == 0
        connection = await dedicated(other.admin_url)
        assert await ids(connection) == first
        assert [await connection.fetch(totals), await connection.fetch(taken)] == seen
        await connection.close()
    async with another_database(servers) as third:
        assert (await run("--seed", "2", into=third)).exit_code == 0
        connection = await dedicated(third.admin_url)
        assert not (await ids(connection))["orders"] & first["orders"]
        await connection.close()


async def test_the_second_run_changes_nothing_and_another_seed_is_refused(run: Run, admin: Connection[Row]) -> None:
    assert (await run()).exit_code == 0
    before = await counts(admin)
    again = await run()
    assert again.exit_code == 0
    assert "already there" in again.output
    for words in (["--seed", "7"], ["--users", "20"], ["--seed", "7", "--into-existing"]):
        other = await run(*words)
        assert isinstance(other.exception, ServiceFault), other.output
    assert await counts(admin) == before


async def test_an_installation_in_use_is_left_alone_unless_told(run: Run, admin: Connection[Row]) -> None:
    await admin.execute("INSERT INTO users (name, email) VALUES ('Real', 'real@example.net')")
    before = await counts(admin)
    refused = await run()
    assert isinstance(refused.exception, ServiceFault)
    assert "--into-existing" in str(refused.exception)
    assert await counts(admin) == before
    assert (await run("--into-existing")).exit_code == 0
    assert await admin.fetchval("SELECT count(*) FROM users WHERE email = 'real@example.net'") == 1


async def test_a_row_in_the_way_takes_the_whole_seed_back(run: Run, admin: Connection[Row]) -> None:
    await admin.execute("INSERT INTO users (name, email) VALUES ('Carol', 'CAROL@example.com')")
    before = await counts(admin)
    refused = await run("--into-existing")
    assert isinstance(refused.exception, Refusal)
    assert refused.exception.code is errors.EMAIL_TAKEN
    assert await counts(admin) == before


@pytest.mark.parametrize("words", [["--users", "9"], ["--users", "5001"], ["--seed", "-1"], ["--password", "short"]])
async def test_what_cannot_be_is_refused_before_anything(run: Run, admin: Connection[Row], words: list[str]) -> None:
    before = await counts(admin)
    assert (await run(*words)).exit_code != 0
    assert await counts(admin) == before


async def test_a_server_that_is_busy_with_the_seed_alone_is_waited_for(
    run: Run, admin: Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a machine does that is loaded: nobody is answered in time, so that requests would let go of the server.
    monkeypatch.setattr("core.patience.SUSPECT_S", 0.01)
    monkeypatch.setattr("core.patience.QUESTION_S", 0.0)
    assert (await run()).exit_code == 0
    assert await admin.fetchval("SELECT count(*) FROM users WHERE email = 'carol@example.com'") == 1


async def test_a_login_that_does_not_own_the_tables_is_told_which_does(
    run: Run, admin: Connection[Row], database_urls: TestDatabase
) -> None:
    before = await counts(admin)
    plain = TestDatabase(database_urls.app_url, database_urls.app_url, database_urls.admin_url)
    refused = await run(into=plain)
    assert isinstance(refused.exception, ServiceFault)
    assert "PENSTOCK_OWNER_DATABASE_URL" in str(refused.exception)
    assert await counts(admin) == before


async def test_carol_comes_in_and_finds_her_own(run: Run, admin: Connection[Row], database: Database) -> None:
    assert (await run("--password", "correct horse")).exit_code == 0
    carol = await admin.fetchval("SELECT id FROM users WHERE email = 'carol@example.com'")
    stored = await admin.fetchval(
        "SELECT password FROM accounts WHERE user_id = $1 AND provider_id = 'credential'", carol
    )
    passwords = Passwords()
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "penstock-demo")
    passwords.close()
    async with database.transaction(Viewer(DEFAULT_TENANT, carol, "authenticated")) as tx:
        for table in ("user_library", "watch_progress", "orders", "subscriptions"):
            rows = await tx.many(Statement("own", "many", "a test looks", f"SELECT user_id FROM {table}"))
            assert rows, table
            assert {row["user_id"] for row in rows} == {carol}, table
    done = "SELECT e.progress, e.status::text, c.code FROM enrollments e JOIN certificates c ON c.enrollment_id = e.id WHERE e.user_id = $1"
    row = await admin.fetchrow(done, carol)
    assert row is not None
    assert (row["progress"], row["status"]) == (100, "completed")


async def test_seeded_policies_are_read_by_what_decides(run: Run, admin: Connection[Row]) -> None:
    """One that is not would be a failure of ours at whatever asks for access: members, roles, the workspace."""
    assert (await run()).exit_code == 0
    definitions = [row[0] for row in await admin.fetch("SELECT policy_definition FROM access_control_policies")]
    assert definitions
    for definition in definitions:
        assert msgspec.json.decode(definition, type=PolicyDefinition).effect in ("allow", "deny")


async def test_seeded_files_have_their_bytes(run: Run, admin: Connection[Row], tmp_path: Path) -> None:
    assert (await run()).exit_code == 0
    store = ObjectStore(f"file://{tmp_path / 'store'}")
    files = await admin.fetch(
        "SELECT f.size, f.checksum, s.storage_key FROM files f JOIN storage s ON s.file_id = f.id"
    )
    assert len(files) == 8
    for file in files:
        data = await store.get(file["storage_key"])
        assert (len(data), f"sha256:{sha256(data).hexdigest()}") == (file["size"], file["checksum"])
