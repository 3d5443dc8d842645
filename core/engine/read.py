"""The stages of a read in call order: request, plan, SQL, one statement for the viewer, answer.

What can be refused is refused before the database is asked, and that happens once (twice for an estimate).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

from core.database import Database
from core.engine.keyset import next_cursor
from core.engine.misread import name_faults, sent_to_read
from core.engine.plan import plan_read
from core.engine.render import Sql, render_matches, render_read
from core.engine.request import MAX_ROWS, ReadRequest, parse_read
from core.engine.respond import Answer, respond
from core.engine.schema import Schema
from core.engine.tree import Node
from core.errors import SIGN_IN_NEEDED, Refusal
from core.viewer import Viewer


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A request that was understood, and what it will run."""

    request: ReadRequest
    tree: Node
    sql: Sql
    tables: frozenset[str]
    """All that it reads."""
    is_announced: bool
    """Whether the database announces every change of them."""


# The stages before the database are pure, and clients ask the same again and again: 0.2 ms of work each time.
@lru_cache(maxsize=512)
def prepare(schema: Schema, table: str, query: str, accept: str, prefer: str, range_: str) -> Prepared:
    """Request, plan and SQL for one read; `query` is still percent-encoded. Raises Refusal."""
    request = parse_read(table, query, accept=accept, prefer=prefer, range_=range_)
    tree = plan_read(request, schema)
    if tree.is_grouped:
        request = replace(request, count=None)  # of groups there is none but their number
    sql = render_read(tree, request.format, request.count, strip_nulls=request.strip_nulls)
    return Prepared(request, tree, sql, tree.tables, all(schema.tables[name].is_announced for name in tree.tables))


async def answer_read(database: Database, viewer: Viewer, prepared: Prepared) -> Answer:
    """Runs a prepared read for `viewer`. Raises Refusal or DatabaseDown."""
    if viewer.role == "anon" and prepared.tree.is_summed:
        # A sum reads every row there is: whoever asks for it is somebody whose requests are counted.
        raise Refusal(SIGN_IN_NEEDED, "Guests may count, and sum nothing.")
    if viewer.scopes is not None:
        for name in sorted(prepared.tables):
            viewer.check_scope(name, "read")
    try:
        row = await database.read(viewer, prepared.sql.text, prepared.sql.arguments)
    except Refusal as refusal:
        name_faults(refusal, sent_to_read(prepared.tree), "cursor" if prepared.request.cursor else "select")
        raise
    assert row is not None, "an aggregate gives one row"
    total: int | None = row["total"]
    count = prepared.request.count
    if count == "planned" or (count == "estimated" and total is not None and total > MAX_ROWS):
        # The planner may guess fewer than there are: what was just given is a floor.
        last = prepared.request.windows[()].offset + row["row_count"] if row["row_count"] else 0
        total = max(total or 0, last, await _planned(database, viewer, prepared.tree))
    cursor = next_cursor(prepared.tree, row["row_count"], row["last"]) if prepared.tree.keyset else None
    return respond(prepared.request, row["body"], row["row_count"], total, cursor=cursor)


async def _planned(database: Database, viewer: Viewer, tree: Node) -> int:
    """How many rows the planner expects."""
    sql = render_matches(tree)
    row = await database.read(viewer, sql.text, sql.arguments, explain=True)
    assert row is not None, "EXPLAIN gives one row"
    return int(json.loads(row[0])[0]["Plan"]["Plan Rows"])
