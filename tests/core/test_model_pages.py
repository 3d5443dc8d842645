"""docs/model: a picture of each context, drawn from the catalogue, so it shows what is there and not what was meant.

    PENSTOCK_TEST_DRAW=1 .venv/bin/python -m pytest tests/core/test_model_pages.py

draws them again.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict

import pytest

from core.database import Connection, Row, dedicated
from core.settings import ROOT
from tests.conftest import TestDatabase
from tests.core.test_schema import CONTEXT_NAMES, tables_by_file

PAGES = ROOT / "docs" / "model"

_TABLES = """
SELECT c.oid, c.relname::text AS name, coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
       pg_get_partkeydef(c.oid) AS partition_key
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
_COLUMNS = """
SELECT a.attrelid AS oid, a.attname::text AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey::smallint[])) AS is_key
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_KEYS = """
SELECT con.conrelid AS oid, f.relname::text AS parent, con.confdeltype::text AS on_delete,
       (SELECT array_agg(a.attname::text ORDER BY k.nth) FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, nth)
        JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum) AS columns,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = con.conrelid AND i.indisunique AND i.indpred IS NULL
               AND (i.indkey::smallint[])[0:i.indnkeyatts - 1] <@ con.conkey) AS is_single
FROM pg_constraint con JOIN pg_class f ON f.oid = con.confrelid
WHERE con.contype = 'f' AND con.conparentid = 0 AND con.connamespace = 'public'::regnamespace ORDER BY con.conname
"""
_MOVES = """
SELECT tgrelid AS oid, pg_get_triggerdef(oid) AS text FROM pg_trigger
WHERE NOT tgisinternal AND tgparentid = 0 AND tgfoid = 'allow_transitions'::regproc
"""
ON_DELETE = {"c": "goes with it", "n": "set null", "d": "set to the system", "r": "keeps it", "a": "keeps it"}
EVERYWHERE = ("tenants", "users")
"""Nearly every table points at these: they are not drawn where they are at home elsewhere."""


async def draw(connection: Connection[Row]) -> dict[str, str]:
    """Each context's page."""
    tables = {row["name"]: row for row in await connection.fetch(_TABLES)}
    columns, keys, moves = defaultdict(list), defaultdict(list), defaultdict(list)
    for rows, sql in ((columns, _COLUMNS), (keys, _KEYS), (moves, _MOVES)):
        for row in await connection.fetch(sql):
            rows[row["oid"]].append(row)
    owned: dict[str, list[str]] = defaultdict(list)
    for stem, names in tables_by_file().items():
        owned[{"partitions": "platform"}.get(stem, stem.partition("_")[0])] += names
    pages = {}
    for context in sorted(CONTEXT_NAMES):
        drawn = [(tables[name], columns[tables[name]["oid"]], keys[tables[name]["oid"]]) for name in owned[context]]
        pages[context] = "\n".join(
            [
                f"# {context.capitalize()}",
                "",
                f"{len(drawn)} tables. Drawn from the database by `tests/core/test_model_pages.py`; a table's sentence is its comment there.",
                "Not drawn: that nearly everything belongs to a tenant, and much to a person.",
                "",
                "```mermaid",
                "erDiagram",
                *(line for table, cols, fks in drawn for line in _picture(table, cols, fks, owned[context])),
                "```",
                "",
                *(line for table, cols, fks in drawn for line in _words(table, cols, fks, moves[table["oid"]])),
            ]
        )
    return pages


def _picture(table: Row, columns: list[Row], keys: list[Row], at_home: list[str]) -> list[str]:
    pointing = {name for key in keys for name in key["columns"]}
    lines = [f"    {table['name']} {{"]
    for column in columns:
        marks = [mark for mark, holds in (("PK", column["is_key"]), ("FK", column["name"] in pointing)) if holds]
        if marks:
            lines.append(f"        {column['type'].replace(' ', '_')} {column['name']} {', '.join(marks)}")
    lines.append("    }")
    required = {column["name"] for column in columns if column["required"]}
    for key in keys:
        if key["parent"] in EVERYWHERE and key["parent"] not in at_home:
            continue
        one = "||" if set(key["columns"]) <= required else "|o"
        many = "o|" if key["is_single"] else "o{"
        label = ", ".join(name for name in key["columns"] if name != "tenant_id") or "tenant_id"
        lines.append(f'    {key["parent"]} {one}--{many} {table["name"]} : "{label}"')
    return lines


def _words(table: Row, columns: list[Row], keys: list[Row], moves: list[Row]) -> list[str]:
    lines = [f"## {table['name']}", ""]
    if table["comment"]:
        lines += [table["comment"], ""]
    lines += [", ".join(f"`{column['name']}`{'' if column['required'] else '?'}" for column in columns) + ".", ""]
    if table["partition_key"]:
        lines += [f"Partitioned by {table['partition_key'].lower()}.", ""]
    for move in moves:
        column, *steps = re.findall(r"'([^']*)'", move["text"].partition("allow_transitions")[2])
        after = defaultdict(list)
        for step in steps:
            before, _, then = step.partition(">")
            after[before].append(then)
        lines += [
            f"`{column}` moves " + "; ".join(f"{was} → {', '.join(then)}" for was, then in after.items()) + ".",
            "",
        ]
    gone = [
        f"{key['parent']} ({', '.join(key['columns'])}): {ON_DELETE[key['on_delete']]}"
        for key in keys
        if key["parent"] != "tenants"
    ]
    if gone:
        lines += [f"When what it points at is deleted: {'; '.join(gone)}.", ""]
    return lines


@pytest.fixture
async def pages(database_urls: TestDatabase) -> dict[str, str]:
    """All pages, as they should be."""
    connection = await dedicated(database_urls.owner_url)
    try:
        return await draw(connection)
    finally:
        await connection.close()


async def test_the_pages_show_the_model_as_it_is(pages: dict[str, str]) -> None:
    if os.environ.get("PENSTOCK_TEST_DRAW"):
        PAGES.mkdir(exist_ok=True)
        for context, page in pages.items():
            (PAGES / f"{context}.md").write_text(page, encoding="utf-8")
    assert {path.stem for path in PAGES.glob("*.md")} == set(pages)
    stale = [
        context for context, page in pages.items() if (PAGES / f"{context}.md").read_text(encoding="utf-8") != page
    ]
    assert stale == [], "draw them again: the head of this file says how"


async def test_a_page_draws_tables_keys_and_moves(pages: dict[str, str]) -> None:
    learning = pages["learning"]
    assert '    courses ||--o{ chapters : "course_id"' in learning
    assert '    enrollments ||--o| certificates : "enrollment_id"' in learning
    assert "`status` moves scheduled → live, cancelled; live → ended." in learning
    assert "        uuid course_id FK" in learning
