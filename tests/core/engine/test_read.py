"""`Database.read`: one statement is one transaction for one viewer, whatever the connection did before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import pytest

from core.database import Database, DatabaseDown, SchemaChanged, Tx, _Lent, dedicated
from core.domain.house import House
from core.domain.registry import CONTEXTS
from core.engine.read import prepare
from core.engine.schema import Schema, SchemaSource
from core.errors import BAD_QUERY, BAD_VALUE, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer, service
from tests.conftest import TestDatabase
from tests.patience import be_patient

STAFF = Viewer(DEFAULT_TENANT, UUID(int=5), "staff")
ELSEWHERE = Viewer(UUID(int=9), None, "staff")
COUNT = "SELECT count(*) FROM contents"
# The policy of transcode_tasks begins with a condition that needs no row at all: the likeliest to be judged too early.
COUNT_TASKS = "SELECT count(*) FROM transcode_tasks"
BARE = "SELECT id FROM transcode_tasks"
SETTINGS = ("app.tenant_id", "app.user_id", "app.role")


@pytest.fixture
async def narrow(database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool of one connection, on a catalogue of one published title, one draft and one task."""
    be_patient(monkeypatch)
    admin = await dedicated(database_urls.admin_url)
    await admin.execute(
        """SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false);
        INSERT INTO contents (title, content_type, is_published, published_at)
            VALUES ('Seen', 'MOVIE', true, now()), ('Draft', 'MOVIE', false, NULL);
        INSERT INTO files (name, size, mime_type, extension, checksum)
            VALUES ('a.mp4', 1, 'video/mp4', 'mp4', 'sha256:' || repeat('0', 64));
        INSERT INTO transcode_jobs (content_id, file_id)
            SELECT c.id, f.id FROM contents c, files f WHERE c.title = 'Seen';
        INSERT INTO transcode_tasks (job_id, kind) SELECT id, 'transcode' FROM transcode_jobs"""
    )
    await admin.close()
    database = await Database.connect(database_urls.app_url, name="test", max_size=1)
    yield database
    await database.close()


async def number(database: Database, viewer: Viewer, sql: str) -> int:
    row = await database.read(viewer, sql, ())
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(("sql", "seen"), [(COUNT, 2), (COUNT_TASKS, 1)])
async def test_the_first_statement_of_a_fresh_connection_sees_what_its_viewer_may(
    narrow: Database, sql: str, seen: int
) -> None:
    assert await number(narrow, STAFF, sql) == seen


async def test_a_statement_that_is_no_aggregate_keeps_the_order_too(narrow: Database) -> None:
    assert await narrow.read(STAFF, BARE, ()) is not None
    assert await narrow.read(GUEST, BARE, ()) is None


async def test_viewers_in_turn_on_one_connection_see_only_their_own(narrow: Database) -> None:
    # More often than the five times after which PostgreSQL may keep one plan for all.
    for _ in range(10):
        assert await number(narrow, STAFF, COUNT) == 2
        assert await number(narrow, GUEST, COUNT) == 1
        assert await number(narrow, ELSEWHERE, COUNT) == 0
        assert await number(narrow, service(), COUNT_TASKS) == 1
        assert await number(narrow, GUEST, COUNT_TASKS) == 0


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_the_order_holds_for_every_kind_of_plan(narrow: Database, database_urls: TestDatabase, mode: str) -> None:
    admin = await dedicated(database_urls.admin_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER ROLE penstock_app IN DATABASE {name} SET plan_cache_mode = {mode}")
    await admin.close()
    for viewer, seen in ((STAFF, 2), (GUEST, 1), (ELSEWHERE, 0), (STAFF, 2)):
        assert await number(narrow, viewer, COUNT) == seen


async def test_nothing_of_a_viewer_stays_on_the_connection(narrow: Database) -> None:
    await number(narrow, STAFF, COUNT)
    async with _Lent(narrow._connections, narrow._patience) as connection:
        left = [await connection.fetchval("SELECT coalesce(current_setting($1, true), '')", name) for name in SETTINGS]
        assert left == ["", "", ""]
        assert await connection.fetchval(COUNT) == 0
    with pytest.raises(Refusal):
        await narrow.read(STAFF, "SELECT 'x'::text::uuid", ())
    async with _Lent(narrow._connections, narrow._patience) as connection:
        assert await connection.fetchval(COUNT) == 0


async def test_the_settings_are_made_once_not_once_a_row(narrow: Database) -> None:
    row = await narrow.read(STAFF, "SELECT count(*) FROM contents, generate_series(1, 1000)", (), explain=True)
    assert row is not None
    assert row[0].count("set_config") <= 3
    assert '"Plans"' in row[0]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT $4::text::uuid", BAD_VALUE),
        ("SELECT $4::text = 1", BAD_QUERY),
        ("SELECT to_tsquery($4::text || '(')", BAD_QUERY),
        ("SELECT to_tsvector($4::text::regconfig, '')", BAD_QUERY),
    ],
)
async def test_what_the_server_refuses_is_a_refusal(narrow: Database, sql: str, code: object) -> None:
    with pytest.raises(Refusal) as caught:
        await narrow.read(GUEST, sql, ("x",))
    assert caught.value.code is code


async def test_a_table_that_is_gone_means_the_schema_changed(narrow: Database) -> None:
    with pytest.raises(SchemaChanged):
        await narrow.read(GUEST, "SELECT FROM no_such_table", ())
    with pytest.raises(SchemaChanged):
        await narrow.read(GUEST, "SELECT no_such_column FROM contents", ())


async def test_a_server_that_goes_away_is_down(narrow: Database, database_urls: TestDatabase) -> None:
    assert await number(narrow, STAFF, COUNT) == 2
    async with _Lent(narrow._connections, narrow._patience) as connection:
        pid = connection.get_server_pid()
    admin = await dedicated(database_urls.admin_url)
    # The server ends the sleeper when it looks up: whether that is before or in its sleep is all the same to us.
    asleep = asyncio.create_task(narrow.read(GUEST, "SELECT pg_sleep(4)", ()))
    await admin.fetchval("SELECT pg_terminate_backend($1, 4000)", pid)
    await admin.close()
    with pytest.raises(DatabaseDown):
        await asleep
    assert await number(narrow, STAFF, COUNT) == 2


async def test_every_served_table_can_be_read_with_all_its_relations(narrow: Database) -> None:
    """Every table of every context, with every relation that needs no hint, as SQL that PostgreSQL takes."""
    schema: Schema = await SchemaSource(narrow, CONTEXTS).current()
    for table in schema.tables:
        reachable = {key.name for key in schema.foreign_keys if key.table == table}
        select = ",".join(["*", *(f"{name}(*)" for name in sorted(reachable))])
        prepared = prepare(schema, table, f"select={select}", "", "count=exact", "")
        row = await narrow.read(service(), prepared.sql.text, prepared.sql.arguments)
        assert row is not None
        assert row["total"] == row["row_count"]


async def test_the_schema_is_read_once_for_all_who_wait(narrow: Database) -> None:
    source = SchemaSource(narrow, CONTEXTS)
    schemas = await asyncio.gather(*(source.current() for _ in range(5)))
    assert len({id(schema) for schema in schemas}) == 1
    source.forget()
    assert await source.current() is not schemas[0]


async def test_every_column_that_a_context_opens_is_there_and_seen(narrow: Database) -> None:
    schema = await SchemaSource(narrow, CONTEXTS).current()
    for table in schema.tables.values():
        policy = table.policy
        assert (policy.insertable | policy.updatable) <= table.columns.keys(), policy.name
        assert bool(policy.insertable) == ("insert" in policy.verbs), policy.name
        assert bool(policy.updatable) == ("update" in policy.verbs), policy.name


async def test_a_line_cut_inside_the_driver_is_a_database_that_is_down(narrow: Database) -> None:
    """asyncpg then stumbles over a protocol that is gone, with an AttributeError."""

    class Cut:
        async def fetchrow(self, *_: object) -> None:
            raise AttributeError("'NoneType' object has no attribute 'bind_execute'")

    with pytest.raises(DatabaseDown):
        await Tx(cast("Any", Cut()), House()).ask("SELECT 1", ())
    with pytest.raises(DatabaseDown):
        async with narrow.transaction(GUEST) as tx:
            tx.connection.terminate()
            raise AttributeError("'NoneType' object has no attribute 'bind_execute'")
    with pytest.raises(AttributeError):
        async with narrow.transaction(GUEST):
            raise AttributeError("ours")
