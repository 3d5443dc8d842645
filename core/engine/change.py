"""A write as it was asked, held against the schema and the policy of its table: what will be changed, or a refusal.

Decides verbs, columns, conflict targets and filters. Which rows is PostgreSQL's to say. Knows no SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core import errors
from core.domain.context import Verb
from core.engine.clauses import Filter
from core.engine.payload import Payload
from core.engine.plan import find_column, find_table, plan_read
from core.engine.prefer import Wishes, parse_prefer
from core.engine.request import EVERYTHING, ReadRequest, parse_read, split_query
from core.engine.scanner import Scanner, refuse
from core.engine.schema import Column, Schema, TableInfo
from core.engine.tree import Node
from core.errors import Fault, Refusal, bad_field
from core.viewer import Viewer

Method = Literal["POST", "PATCH", "PUT", "DELETE"]
VERBS: Mapping[Method, tuple[Verb, ...]] = {
    "POST": ("insert",),
    "PATCH": ("update",),
    "PUT": ("insert", "update"),
    "DELETE": ("delete",),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One write of one table. `tree` holds its conditions, and what of the rows is given back."""

    method: Method
    tree: Node
    read: ReadRequest
    wishes: Wishes
    payload: Payload
    columns: tuple[Column, ...] = ()
    """The columns that are set."""
    target: tuple[str, ...] | None = None
    """The unique columns whose conflict is merged (`merged` are then set) or ignored (nothing is)."""
    merged: tuple[Column, ...] | None = None
    uses_defaults: bool = False

    @property
    def is_upsert(self) -> bool:
        """Whether a row may turn out to be there already, and is then changed."""
        return self.target is not None and self.merged is not None


def allowed_methods(table: TableInfo) -> str:
    """What `Allow` says of a table, whoever asks."""
    writes = [method for method, verbs in VERBS.items() if set(verbs) <= table.policy.verbs]
    return ", ".join(["OPTIONS", "GET", "HEAD", *writes])


def plan_change(
    schema: Schema,
    viewer: Viewer,
    method: Method,
    table_name: str,
    query: str,
    *,
    payload: Payload,
    accept: str = "",
    prefer: str = "",
    may_roll_back: bool = False,
) -> Change:
    """The change that `{method} /rest/v1/{table_name}?{query}` asks for. Raises Refusal."""
    wishes = parse_prefer(prefer)
    if wishes.known.get("tx") == "rollback" and not may_roll_back:
        raise Refusal(errors.ROLLBACK_CLOSED)
    _check_verbs(find_table(schema, table_name), method, viewer)
    read = parse_read(table_name, query, accept=accept)
    if read.cursor is not None:
        refuse("cursor", "is for reads")
    change = _planned(Change(method, plan_read(read, schema), read, wishes, payload), query)
    _check_scopes(change, viewer)
    return change


def _planned(change: Change, query: str) -> Change:
    payload = change.payload
    names = {key: value for key, value in split_query(query) if key in ("columns", "on_conflict")}
    match change.method:
        case "POST":
            return _insert(change, names)
        case "PUT":
            return _put(change)
        case "PATCH":
            if len(payload.rows) != 1:
                raise bad_field("body", "PATCH takes one object")
            _check_filtered(change)
            return replace(change, columns=_settable(change, names, change.tree.table.policy.updatable))
        case "DELETE":
            _check_filtered(change)
            return change


def _check_verbs(table: TableInfo, method: Method, viewer: Viewer) -> None:
    policy = table.policy
    if not set(VERBS[method]) <= policy.verbs:
        raise Refusal(errors.READ_ONLY, data={"allowed": allowed_methods(table).split(", ")})
    if viewer.role not in policy.writers:
        raise Refusal(errors.SIGN_IN_NEEDED if viewer.user_id is None else errors.FORBIDDEN)


def _check_scopes(change: Change, viewer: Viewer) -> None:
    """As PostgreSQL's own rights have it: who chooses rows by their values, or is given them back, reads them."""
    if viewer.scopes is None:
        return
    verbs = set(VERBS[change.method]) | ({"update"} if change.merged is not None else set())
    for verb in sorted(verbs):
        viewer.check_scope(change.tree.table.name, verb)
    if change.tree.where or change.wishes.returns == "representation":
        for name in sorted(change.tree.tables):
            viewer.check_scope(name, "read")


def _check_filtered(change: Change) -> None:
    if not change.tree.where:
        raise Refusal(errors.NEEDS_FILTER)
    if change.tree.window != EVERYTHING:
        refuse("limit", "does not limit a change", "Say which rows by filters, how many by Prefer: max-affected.")


def _settable(change: Change, names: Mapping[str, str], open_columns: frozenset[str]) -> tuple[Column, ...]:
    """The columns of the payload, or those of `columns=`; each must be open."""
    keys = _names(names["columns"], "columns") if "columns" in names else change.payload.keys
    if "columns" not in names and not change.payload.is_uniform:
        hint = "Name the columns in `columns`; rows without a key then get null, or with Prefer: missing=default its default."
        raise bad_field("body", "all rows must have the same keys", hint)
    columns = tuple(find_column(change.tree.table, key, "columns" if "columns" in names else "body") for key in keys)
    _check_open(columns, open_columns)
    return columns


def _check_open(columns: tuple[Column, ...], open_columns: frozenset[str]) -> None:
    if closed := sorted({column.name for column in columns} - open_columns):
        raise Refusal(
            errors.COLUMN_CLOSED,
            f"{', '.join(closed)}: not written by clients.",
            hint=f"Open here: {', '.join(sorted(open_columns))}." if open_columns else None,
            faults=tuple(Fault(name, "is not written by clients") for name in closed),
        )


def _insert(change: Change, names: Mapping[str, str]) -> Change:
    if change.tree.where:
        refuse("query", "a new row has no conditions", "Embeds of what is given back may have theirs.")
    table = change.tree.table
    columns = _settable(change, names, table.policy.insertable)
    if not columns and len(change.payload.rows) > 1:
        raise bad_field("body", "has several rows without any column")
    change = replace(change, columns=columns, uses_defaults=change.wishes.known.get("missing") == "default")
    resolution = change.wishes.known.get("resolution")
    if resolution is None:
        return change
    asked = _names(names["on_conflict"], "on_conflict") if "on_conflict" in names else table.primary_key
    change = replace(change, target=_target(table, asked))
    return _merging(change) if resolution == "merge-duplicates" else change


def _put(change: Change) -> Change:
    """One row by its whole primary key: filters, body and key must say the same."""
    table, rows = change.tree.table, change.payload.rows
    wanted = {
        condition.field.name: condition.values[0]
        for path, condition in change.read.conditions
        if not path and isinstance(condition, Filter) and condition.operator == "eq" and not condition.negated
    }
    if not table.primary_key or len(change.tree.where) != len(wanted) or wanted.keys() != set(table.primary_key):
        refuse("query", f"PUT names one row: {'&'.join(f'{name}=eq....' for name in table.primary_key) or 'by key'}")
    if len(rows) != 1 or any(str(rows[0].get(name)).lower() != value.lower() for name, value in wanted.items()):
        raise bad_field("body", "PUT takes one object, with the primary key of the address")
    columns = _settable(change, {}, table.policy.insertable)
    return _merging(replace(change, columns=columns, target=table.primary_key))


def _merging(change: Change) -> Change:
    policy = change.tree.table.policy
    if "update" not in policy.verbs:
        raise Refusal(errors.READ_ONLY, f"Rows of {policy.name} are not changed.")
    merged = tuple(column for column in change.columns if column.name not in (change.target or ()))
    _check_open(merged, policy.updatable)
    return replace(change, merged=merged)


def _target(table: TableInfo, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a unique key; one that is unique within a tenant may be named without it."""
    found = next((names for names in (asked, (*asked, "tenant_id")) if frozenset(names) in table.keys), None)
    if found is None:
        refuse("on_conflict", f"{table.name} has no unique key ({', '.join(asked)})")
    return found


def _names(text: str, parameter: str) -> tuple[str, ...]:
    scanner = Scanner(text, parameter)
    names = scanner.listed(lambda: scanner.name("a column"))
    scanner.finish()
    return tuple(dict.fromkeys(names))
