"""The schema keeps its own promises: what holds for every table is asked of the catalogue."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from core.database import Connection, Database, Row, dedicated
from core.domain.registry import CONTEXTS
from core.settings import ROOT
from edge.migrate import migrate, schema_text
from tests.conftest import TestDatabase

CONTEXT_NAMES = {
    "identity", "tenancy", "catalog", "media", "commerce", "playback", "learning", "community", "podcasts", "advertising", "platform",
}  # fmt: skip
OTHERS = r"^(pgqueuer|schema_migrations)"  # the dispatcher's own, and the ledger of migrations


@pytest.fixture
async def owner(shared_database: TestDatabase) -> AsyncIterator[Connection[Row]]:
    """A connection that reads the catalogue."""
    connection = await dedicated(shared_database.owner_url)
    yield connection
    await connection.close()


async def table_names(owner: Connection[Row]) -> set[str]:
    """Every table of the schema, partitions apart."""
    rows = await owner.fetch(
        """SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND NOT relispartition AND relname !~ $1""",
        OTHERS,
    )
    return {row[0] for row in rows}


async def test_every_table_says_what_it_is(owner: Connection[Row]) -> None:
    """In a sentence: the pages of docs/model, /openapi.json and /rest/v1/ give it to whoever reads them."""
    silent = await owner.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
           AND NOT relispartition AND relname !~ $1 AND coalesce(obj_description(oid, 'pg_class'), '') !~ '\\.$'""",
        OTHERS,
    )
    assert [row["relname"] for row in silent] == []


def tables_by_file() -> dict[str, list[str]]:
    """Which file of the schema makes which tables."""
    return {
        path.stem: re.findall(r"^CREATE TABLE (\w+)", path.read_text(encoding="utf-8"), re.M)
        for path in sorted((ROOT / "db" / "schema").glob("*.sql"))
    }


@pytest.mark.rule("podcast-003")
async def test_every_table_forces_row_level_security(owner: Connection[Row]) -> None:
    """Partitions too: who reads one directly must meet the same wall."""
    open_tables = await owner.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND NOT (relrowsecurity AND relforcerowsecurity) AND relname !~ $1""",
        OTHERS,
    )
    assert [row["relname"] for row in open_tables] == []


@pytest.mark.rule("podcast-004")
async def test_every_table_of_a_tenant_is_isolated_by_a_restrictive_policy(owner: Connection[Row]) -> None:
    """Restrictive: no policy beside it can let more through."""
    rows = await owner.fetch(
        """SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_isolation'
                           AND NOT p.polpermissive AND p.polcmd = '*')"""
    )
    assert [row["relname"] for row in rows] == []


@pytest.mark.rule("infocus-064")
@pytest.mark.rule("podcast-145")
@pytest.mark.rule("lms-087")
async def test_every_foreign_key_has_an_index(owner: Connection[Row]) -> None:
    """Without one, each delete of a parent reads the whole child."""
    rows = await owner.fetch(
        """SELECT con.conname FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
           WHERE con.contype = 'f' AND con.conparentid = 0 AND c.relnamespace = 'public'::regnamespace AND c.relname !~ $1
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = con.conrelid AND i.indpred IS NULL AND i.indisvalid
                           AND (SELECT array_agg(k ORDER BY k) FROM unnest((i.indkey::smallint[])[0:cardinality(con.conkey) - 1]) k)
                             = (SELECT array_agg(k ORDER BY k) FROM unnest(con.conkey) k))""",
        OTHERS,
    )
    assert [row["conname"] for row in rows] == []


async def test_every_rule_is_named_after_its_table(owner: Connection[Row]) -> None:
    """`table__rule`, which an error tells a client. Keys that say nothing more keep PostgreSQL's names, which clients know as hints."""
    rows = await owner.fetch(
        """SELECT c.relname::text, con.conname::text, con.contype::text FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
           WHERE c.relnamespace = 'public'::regnamespace AND con.conparentid = 0 AND con.contype <> 'n'
           AND NOT c.relispartition AND c.relname !~ $1
           UNION ALL
           SELECT t.relname::text, i.relname::text, 'u'
           FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
           WHERE x.indisunique AND NOT x.indisprimary AND t.relnamespace = 'public'::regnamespace
           AND NOT t.relispartition AND t.relname !~ $1""",
        OTHERS,
    )
    assert len(rows) > 500
    own = {"p": r"{0}_pkey", "f": r"{0}_\w+_fkey|{0}__[a-z0-9_]+"}
    wrong = [
        row["conname"]
        for row in rows
        if not re.fullmatch(own.get(row["contype"], r"{0}__[a-z0-9_]+").format(row["relname"]), row["conname"])
    ]
    assert wrong == []


async def test_every_table_belongs_to_one_context(owner: Connection[Row]) -> None:
    """The file that makes a table names its context: learning_courses.sql is learning's."""
    made = tables_by_file()
    counts = Counter(table for tables in made.values() for table in tables)
    assert [table for table, count in counts.items() if count > 1] == []
    assert set(counts) == await table_names(owner)
    owners = {table: stem.partition("_")[0] for stem, tables in made.items() for table in tables}
    strays = {table: context for table, context in owners.items() if context not in CONTEXT_NAMES | {"partitions"}}
    assert strays == {}
    views = {row[0] for row in await owner.fetch("SELECT viewname::text FROM pg_views WHERE schemaname = 'public'")}
    for context in CONTEXTS:
        for table in context.tables:
            assert owners.get(table.name) == context.name or table.name in views, table.name


def test_every_file_of_the_schema_is_loaded_and_short() -> None:
    text = (ROOT / "db" / "schema.sql").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "db" / "schema").glob("*.sql")}
    assert files == set(re.findall(r"^\\ir schema/(\S+)$", text, re.M))
    long = {
        path.name: lines
        for path in (ROOT / "db" / "schema").glob("*.sql")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


async def test_policies_read_the_settings_once_a_statement(owner: Connection[Row]) -> None:
    """A bare app_user_id() in a policy is called for every row; inside (SELECT ...) the planner calls it once."""
    rows = await owner.fetch("SELECT tablename, policyname, concat_ws(' ', qual, with_check) AS text FROM pg_policies")
    bare = [
        f"{row['tablename']}.{row['policyname']}"
        for row in rows
        if re.search(r"(?<!SELECT )\b(?:app_\w+|my_\w+|taught_courses|families_i_manage)\(\)", row["text"])
    ]
    assert bare == []


async def test_views_obey_the_policies_of_who_asks(owner: Connection[Row]) -> None:
    """A view runs as its owner unless told otherwise."""
    rows = await owner.fetch(
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
           AND (relkind = 'm' OR NOT coalesce(reloptions, '{}') @> '{security_invoker=true}')
           AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')"""
    )
    assert [row["relname"] for row in rows] == []


@pytest.mark.rule("edupeak-330")
@pytest.mark.rule("infocus-001")
@pytest.mark.rule("podcast-140")
async def test_every_table_has_a_key_that_nobody_counts_up(owner: Connection[Row]) -> None:
    """A primary key everywhere; an id is a time-ordered uuid. Only the outbox's order is a number, which no client sees."""
    without = await owner.fetch(
        """SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname !~ $1
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)""",
        OTHERS,
    )
    assert [row["relname"] for row in without] == []
    ids = await owner.fetch(
        """SELECT table_name::text FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'id' AND table_name !~ $1 AND (data_type <> 'uuid' OR column_default <> 'uuid7()')
           AND table_name IN (SELECT relname FROM pg_class WHERE relkind IN ('r', 'p'))""",
        OTHERS,
    )
    assert [row[0] for row in ids] == []


@pytest.mark.rule("edupeak-312")
async def test_json_is_held_as_jsonb(owner: Connection[Row]) -> None:
    """In every column: one of them looks into a value without reading all of it again."""
    kinds = await owner.fetch(
        """SELECT data_type, count(*) FILTER (WHERE table_name !~ $1) AS columns FROM information_schema.columns
           WHERE table_schema = 'public' AND data_type IN ('json', 'jsonb') GROUP BY 1""",
        OTHERS,
    )
    found = {row["data_type"]: row["columns"] for row in kinds}
    assert found.pop("jsonb") > 30
    assert not any(found.values())


@pytest.mark.rule("edupeak-298")
@pytest.mark.rule("infocus-002")
@pytest.mark.rule("infocus-003")
@pytest.mark.rule("podcast-141")
async def test_the_moments_of_a_row_are_the_databases_word(owner: Connection[Row]) -> None:
    rows = await owner.fetch(
        """SELECT c.relname::text AS name, a.attname::text AS col,
                  EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = c.relname
                          || CASE a.attname WHEN 'updated_at' THEN '_touch' ELSE '_keep_created_at' END) AS kept
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('updated_at', 'created_at')
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition AND c.relname !~ $1
           AND NOT c.relname::text = ANY (machine_tables())""",
        OTHERS,
    )
    assert len(rows) > 100
    assert [f"{row['name']}.{row['col']}" for row in rows if not row["kept"]] == []


@pytest.mark.parametrize("document", ["streaming", "infocus", "edupeak", "lms"])
@pytest.mark.rule("streaming-108")
@pytest.mark.rule("streaming-109")
@pytest.mark.rule("streaming-110")
@pytest.mark.rule("streaming-111")
@pytest.mark.rule("streaming-112")
@pytest.mark.rule("infocus-065")
@pytest.mark.rule("infocus-066")
@pytest.mark.rule("infocus-067")
@pytest.mark.rule("edupeak-288")
@pytest.mark.rule("edupeak-299")
@pytest.mark.rule("edupeak-300")
@pytest.mark.rule("edupeak-301")
@pytest.mark.rule("edupeak-302")
@pytest.mark.rule("edupeak-303")
@pytest.mark.rule("edupeak-304")
@pytest.mark.rule("edupeak-305")
@pytest.mark.rule("edupeak-306")
@pytest.mark.rule("edupeak-307")
@pytest.mark.rule("edupeak-308")
@pytest.mark.rule("edupeak-309")
@pytest.mark.rule("lms-080")
@pytest.mark.rule("lms-081")
@pytest.mark.rule("lms-082")
@pytest.mark.rule("lms-083")
@pytest.mark.rule("lms-084")
@pytest.mark.rule("lms-085")
@pytest.mark.rule("lms-086")
async def test_every_index_that_a_document_names_is_there(owner: Connection[Row], document: str) -> None:
    rows = await owner.fetch("SELECT tablename::text, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    said = tomllib.loads((ROOT / "db" / "lineage" / f"{document}.toml").read_text(encoding="utf-8"))["indexes"]
    missing = []
    for name, wanted in said.items():
        match = re.fullmatch(r"(unique )?(\w+) \((.+?)\)(?: WHERE (.+))?", wanted)
        assert match is not None, wanted
        unique, table, columns, condition = match.groups()
        found = [
            row["indexdef"]
            for row in rows
            if row["tablename"] == table
            and re.search(rf" USING btree \({re.escape(columns)}[,) ]", row["indexdef"])
            and (not unique or row["indexdef"].startswith("CREATE UNIQUE "))
            and (condition is None or "WHERE" in row["indexdef"])
            and (condition is None or condition.split(" ")[0] in row["indexdef"].partition("WHERE")[2])
        ]
        if not found:
            missing.append(f"{name}: {wanted}")
    assert missing == []


@pytest.mark.rule("podcast-146")
@pytest.mark.rule("podcast-147")
@pytest.mark.rule("podcast-148")
async def test_columns_that_lists_are_cut_by_have_an_index(owner: Connection[Row]) -> None:
    """Columns named email, slug, status, stage, occurred_at and metric_date are part of an index.

    Not where rows are only ever read through their parent, a handful at a time, nor a job's word for what it is at.
    """
    read_by_parent = {"chapters.status", "lessons.status", "support_call_requests.status", "transcode_jobs.stage"}
    rows = await owner.fetch(
        """SELECT c.relname::text || '.' || a.attname::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname !~ $1
           AND a.attname IN ('email', 'slug', 'status', 'stage', 'occurred_at', 'metric_date')
           AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
                           AND (a.attnum = ANY (i.indkey::smallint[]) OR pg_get_indexdef(i.indexrelid) ~ ('\\(' || a.attname || '\\)')))""",
        OTHERS,
    )
    assert {row["name"] for row in rows} == read_by_parent
    assert await owner.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisunique AND indnatts > 1") > 20


@pytest.mark.rule("edupeak-310")
@pytest.mark.rule("infocus-068")
@pytest.mark.rule("lms-096")
async def test_migrating_again_changes_nothing(database_urls: TestDatabase) -> None:
    assert await migrate(database_urls.owner_url) == []


async def test_the_app_role_cannot_bypass_row_level_security(database: Database) -> None:
    assert await database.unfit() is None


def test_the_schema_is_one_text() -> None:
    """What psql reads by its includes, the loader reads too."""
    text = schema_text()
    assert "\\ir" not in text
    assert text.count("CREATE TABLE ") > 150
