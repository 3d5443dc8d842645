"""`penstock database`: figures of a real server, with and without the counting of slow statements."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from core.database import Connection, Row, dedicated
from edge.cli.__main__ import app
from edge.cli.database import read_figures
from edge.local.postgres import EmbeddedPostgres, new_password
from edge.local.secrets import SecretFile
from tests.conftest import TestDatabase

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(database_urls: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types the command against the test's database."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", database_urls.app_url)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    async def typed(*words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["database", *words]))

    return typed


@pytest.fixture
async def counting() -> AsyncIterator[Connection[Row]]:
    """An empty server of our own that counts statements."""
    # Short: a unix socket's path has 107 bytes. Open: the server may run as somebody else.
    with tempfile.TemporaryDirectory(prefix="psc-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        folder = Path(name)
        server = EmbeddedPostgres(
            folder / "pg",
            folder / "run",
            folder / "log",
            SecretFile(folder / "secrets.json", lambda _: new_password()),
            ("shared_preload_libraries=pg_stat_statements", "fsync=off", "autovacuum=off"),
        )
        server.start(60)
        try:
            connection = await dedicated(server.url("postgres", "postgres"))
            try:
                yield connection
            finally:
                await connection.close()
        finally:
            server.stop()


@pytest.mark.rule("edupeak-316")
@pytest.mark.rule("edupeak-321")
async def test_sizes_and_connections_are_shown_to_a_program(run: Run) -> None:
    said = await run("--json")
    assert said.exit_code == 0, said.output
    figures = json.loads(said.output)
    assert figures["size_bytes"] > 1_000_000
    assert 1 <= figures["connections"]["here"] <= figures["connections"]["used"] <= figures["connections"]["most"]
    tables = {row["table"]: row for row in figures["tables"]}
    assert {"contents", "content_views", "users"} <= tables.keys()
    assert not [name for name in tables if name.startswith("content_views_2")]
    assert tables["contents"]["total_bytes"] >= tables["contents"]["index_bytes"] > 0
    indexes = {row["index"]: row for row in figures["indexes"]}
    assert indexes["contents_pkey"]["holds_rule"]
    assert indexes["contents_pkey"]["table"] == "contents"
    assert "contents_pkey" not in figures["unused_indexes"]
    assert "direct_purchases_content_id_idx" in figures["unused_indexes"]
    assert figures["statements"] == {"state": "library_missing", "slowest": []}


async def test_a_person_is_told_how_slow_statements_are_counted(run: Run) -> None:
    said = await run()
    assert said.exit_code == 0, said.output
    assert "index that nobody has read" in said.output
    assert "shared_preload_libraries" in said.output


@pytest.mark.rule("edupeak-317")
@pytest.mark.rule("edupeak-316")
async def test_slow_statements_and_indexes_that_are_read_are_told_apart(counting: Connection[Row]) -> None:
    assert (await read_figures(counting))["statements"]["state"] == "extension_missing"
    await counting.execute("CREATE EXTENSION pg_stat_statements")
    await counting.execute("CREATE TABLE shelf (id integer PRIMARY KEY, title text, place integer)")
    await counting.execute(
        "CREATE INDEX shelf_title_idx ON shelf (title); CREATE INDEX shelf_place_idx ON shelf (place)"
    )
    await counting.execute("INSERT INTO shelf SELECT n, n::text, n FROM generate_series(1, 5000) AS n; ANALYZE shelf")
    await counting.execute("SET enable_seqscan = off")
    await counting.execute("SELECT pg_stat_statements_reset()")
    assert await counting.fetchval("SELECT id FROM shelf WHERE place = $1", 7) == 7
    await counting.execute("DELETE FROM shelf WHERE id <= 40")
    # What a connection has counted is told when it next idles; this says it now.
    await counting.execute("SELECT pg_stat_force_next_flush()")
    figures = await read_figures(counting)
    assert figures["unused_indexes"] == ["shelf_title_idx"]
    table = next(row for row in figures["tables"] if row["table"] == "shelf")
    assert (table["live_rows"], table["dead_rows"]) == (4960, 40)
    assert figures["statements"]["state"] == "loaded"
    queries = {row["query"]: row for row in figures["statements"]["slowest"]}
    assert queries["SELECT id FROM shelf WHERE place = $1"]["calls"] == 1
