"""`penstock database`: how large tables and indexes are, which indexes nobody reads, dead rows, slow statements, connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.database import Connection, Row, dedicated
from core.queries import load
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings

SQL = load("edge.cli", "database.sql")
LISTED = 15
_STATEMENTS_HINT = {
    "library_missing": "Slow statements are not counted: set shared_preload_libraries = 'pg_stat_statements' and restart PostgreSQL.",
    "extension_missing": "Slow statements are not counted here: CREATE EXTENSION pg_stat_statements; in this database.",
}

# The statements of this database that took the most time in all. Here, not in database.sql: it is good only where the extension is.
_SLOWEST = """
SELECT s.query, s.calls, s.total_exec_time AS total_ms, s.mean_exec_time AS mean_ms, s.max_exec_time AS max_ms, s.rows
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() ORDER BY s.total_exec_time DESC LIMIT $1
"""

Figures = dict[str, Any]


async def read_figures(connection: Connection[Row]) -> Figures:
    """What PostgreSQL counts of the connected database: bytes, milliseconds (`_ms`), seconds (`_s`), as `--json` prints it."""
    size = await connection.fetchrow(SQL["size_get"].sql)
    connections = await connection.fetchrow(SQL["connections_get"].sql)
    assert size is not None
    assert connections is not None
    indexes = [dict(row) for row in await connection.fetch(SQL["indexes_many"].sql)]
    state = await connection.fetchval(SQL["statements_state"].sql)
    slowest = await connection.fetch(_SLOWEST, LISTED) if state == "loaded" else []
    return {
        **dict(size),
        "connections": dict(connections),
        "tables": [dict(row) for row in await connection.fetch(SQL["tables_many"].sql)],
        "indexes": indexes,
        "unused_indexes": [row["index"] for row in indexes if row["scans"] == 0 and not row["holds_rule"]],
        "statements": {"state": state, "slowest": [dict(row) for row in slowest]},
    }


def run_figures(*, data: Path | None, as_json: bool) -> int:
    """Prints them, for a person or (`as_json`) a program."""
    settings = settings_for(port=None, data=data)
    settings = running_settings(settings) or settings
    # A pooler in between would answer for whichever connection it lends; the figures are the server's.
    url = settings.direct_database_url or settings.database_url
    if url is None:
        raise ServiceFault(
            "database", "finds no running installation", "Start one with `./penstock up`, or set PENSTOCK_DATABASE_URL."
        )
    figures = asyncio.run(_read(url))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    else:
        _show(figures, Console())
    return 0


async def _read(url: str) -> Figures:
    connection = await dedicated(url)
    try:
        return await read_figures(connection)
    finally:
        await connection.close()


def _show(figures: Figures, console: Console) -> None:
    taken = figures["connections"]
    ratio = figures["cache_hit_ratio"]
    read = "nothing read yet" if ratio is None else f"{ratio:.1%} of reads from memory"
    console.print(f"{escape(figures['database'])}: {_bytes(figures['size_bytes'])}, {read}", highlight=False)
    console.print(
        f"connections: {taken['used']} of {taken['most']}, {taken['active']} active, {taken['idle_in_transaction']} idle in a"
        f" transaction; the longest transaction {taken['longest_transaction_s']:.0f} s\n",
        highlight=False,
        soft_wrap=True,
    )
    tables = _table("table", "size", "indexes", "rows", "dead")
    for row in figures["tables"][:LISTED]:
        sizes = (_bytes(row["total_bytes"]), _bytes(row["index_bytes"]))
        tables.add_row(escape(row["table"]), *sizes, str(row["live_rows"]), str(row["dead_rows"]))
    console.print(tables)
    unused = set(figures["unused_indexes"])
    indexes = _table("index that nobody has read", "size", "of")
    for row in [row for row in figures["indexes"] if row["index"] in unused][:LISTED]:
        indexes.add_row(escape(row["index"]), _bytes(row["bytes"]), escape(row["table"]))
    console.print(indexes)
    if hint := _STATEMENTS_HINT.get(figures["statements"]["state"]):
        console.print(escape(hint), highlight=False, soft_wrap=True)
        return
    statements = _table("statement", "calls", "ms in all", "ms each", "ms at most")
    for row in figures["statements"]["slowest"]:
        took = (f"{row[name]:.1f}" for name in ("total_ms", "mean_ms", "max_ms"))
        statements.add_row(escape(" ".join(row["query"].split())[:100]), str(row["calls"]), *took)
    console.print(statements)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="left" if title == "of" else "right")
    return table


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
