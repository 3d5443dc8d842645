"""From a change to one SQL statement that makes it and gives back what was asked for; it cannot fail.

As in render.py the text depends on the shape alone. Sees plans only.
"""

# ruff: noqa: S608 - what is interpolated are fragments of these modules, names they quoted and numbers of parameters

from __future__ import annotations

from dataclasses import replace

from core.engine.change import Change
from core.engine.render import Arguments, Sql, quote, render_conditions, render_rows

_IS_NEW = '"is new"'


def render_change(change: Change) -> Sql:
    """One row comes back: body, row_count (rows changed), new_count (of an upsert) and, alone of one row, its key as JSON."""
    arguments = Arguments(first=1)
    tree, returns = change.tree, change.wishes.returns
    written = f"{_write(change, arguments)} RETURNING {tree.alias}.*"
    if change.is_upsert:
        # The system column is 0 in a row that this statement made, and says who locked it in one that was there.
        written += f", {tree.alias}.xmax = 0 AS {_IS_NEW}"
    counts = "(SELECT count(*) FROM written) AS row_count, "
    counts += f"(SELECT count(*) FROM written WHERE {_IS_NEW})" if change.is_upsert else "NULL::bigint"
    key = "NULL"
    if returns == "headers-only" and tree.table.primary_key:
        pairs = ", ".join(f"{arguments.text(name)}, written.{quote(name)}::text" for name in tree.table.primary_key)
        key = f"(SELECT json_build_object({pairs})::text FROM written LIMIT 1)"
    body, source = "''::bytea", ""
    if returns == "representation":
        shown = replace(tree, where=(), source="written")
        body, rows = render_rows(shown, change.read.format, change.read.strip_nulls, arguments)
        source = f" FROM ({rows}) AS e"
    return arguments.of(
        f"WITH written AS ({written}) SELECT {body} AS body, {counts} AS new_count, {key} AS key{source}"
    )


def _write(change: Change, arguments: Arguments) -> str:
    tree = change.tree
    table = f"{quote(tree.table.name)} AS {tree.alias}"
    names = [quote(column.name) for column in change.columns]
    match change.method:
        case "DELETE":
            return f"DELETE FROM {table}{render_conditions(tree, arguments)}"
        case "PATCH" if not names:
            # Nothing to set: the rows that match are those that change, and none does.
            return f"UPDATE {table} SET {quote(next(iter(tree.table.columns)))} = NULL WHERE FALSE"
        case "PATCH":
            sets = ", ".join(f"{name} = p.{name}" for name in names)
            rows = _rows(change, arguments)
            return f"UPDATE {table} SET {sets} FROM {rows}{render_conditions(tree, arguments)}"
    if not names:
        return f"INSERT INTO {table} DEFAULT VALUES{_conflict(change)}"
    values = ", ".join(f"p.{name}" for name in names)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {_rows(change, arguments)}{_conflict(change)}"
    )


def _rows(change: Change, arguments: Arguments) -> str:
    """The payload as rows p of the types of its columns; PostgreSQL reads the values."""
    columns = ", ".join(f"{quote(column.name)} {column.type}" for column in change.columns)
    if change.uses_defaults and any(column.default_sql for column in change.columns):
        defaults = [f"{arguments.text(c.name)}, {c.default_sql}" for c in change.columns if c.default_sql]
        payload = arguments.text(change.payload.text, "jsonb")
        return (
            f"jsonb_array_elements({payload}) AS sent (row) CROSS JOIN LATERAL"
            f" jsonb_to_record(jsonb_build_object({', '.join(defaults)}) || sent.row) AS p ({columns})"
        )
    return f"json_to_recordset({arguments.text(change.payload.text, 'json')}) AS p ({columns})"


def _conflict(change: Change) -> str:
    if change.target is None:
        return ""
    target = f" ON CONFLICT ({', '.join(map(quote, change.target))})"
    if change.merged is None:
        return f"{target} DO NOTHING"
    # A row that is there and gets nothing new is set to itself: so it is given back like the others.
    names = [quote(column.name) for column in change.merged] or [quote(change.target[0])]
    return f"{target} DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in names)}"
