"""The description of everything that is served, as OpenAPI 3.1: tables and commands from what the engine knows, the rest by hand.

Decides how columns and policies read in JSON Schema. Knows no database: it is handed the schema as last read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from core.domain.context import Command
from core.engine.change import VERBS
from core.engine.request import MAX_ROWS
from core.engine.schema import Column, Schema, TableInfo
from edge.api.play import PlayRequest
from edge.progress.beat import Envelope, WireBeat

Json = dict[str, Any]

BY_HAND = Path(__file__).with_name("openapi.json")
_REF = "#/components/schemas/{name}"
_TYPES: Mapping[str, Json] = {
    "boolean": {"type": "boolean"},
    "smallint": {"type": "integer", "format": "int16"},
    "integer": {"type": "integer", "format": "int32"},
    "bigint": {"type": "integer", "format": "int64"},
    "real": {"type": "number"},
    "double precision": {"type": "number"},
    "numeric": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date"},
    "timestamp with time zone": {"type": "string", "format": "date-time"},
    "json": {},
    "jsonb": {},
}
_READING = ("select", "order", "limit", "offset", "cursor", "prefer", "range")
_WRITING: Mapping[str, tuple[str, ...]] = {
    "POST": ("select", "columns", "on_conflict", "prefer"),
    "PUT": ("select", "prefer"),
    "PATCH": ("select", "columns", "prefer"),
    "DELETE": ("select", "prefer"),
}
_SUMMARIES = {
    "POST": "Makes rows",
    "PUT": "Makes or replaces one row",
    "PATCH": "Changes rows",
    "DELETE": "Deletes rows",
}


def describe(schema: Schema, commands: Mapping[str, Command], version: str) -> Json:
    """The whole document."""
    document: Json = orjson.loads(BY_HAND.read_bytes())
    document["info"]["version"] = version
    structs = [PlayRequest, WireBeat, Envelope]
    structs += [kind for command in commands.values() for kind in (command.request, command.answer)]
    _, components = msgspec.json.schema_components(structs, ref_template=_REF)
    schemas = document["components"]["schemas"]
    schemas.update(components)
    for table in schema.tables.values():
        schemas[f"{table.name}.row"] = _row(table)
        for name, columns in (("insert", table.policy.insertable), ("update", table.policy.updatable)):
            if columns:
                schemas[f"{table.name}.{name}"] = _writable(table, columns, is_new=name == "insert")
        document["paths"][f"/rest/v1/{table.name}"] = _table_path(table)
    for name, command in sorted(commands.items()):
        document["paths"][f"/rest/v1/rpc/{name}"] = _command_path(name, command)
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def column_schema(column: Column) -> Json:
    """What a value of a column looks like in JSON."""
    base, brackets, _ = column.type.partition("[]")
    found: Json = (
        {"type": "string", "enum": list(column.labels)} if column.labels else dict(_TYPES.get(base, {"type": "string"}))
    )
    if brackets:
        found = {"type": "array", "items": found}
    if column.nullable and "type" in found:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    if column.comment:
        found["description"] = column.comment
    return found


def _row(table: TableInfo) -> Json:
    found: Json = {"type": "object", "properties": {name: column_schema(c) for name, c in table.columns.items()}}
    if table.comment:
        found["description"] = table.comment
    return found


def _writable(table: TableInfo, columns: frozenset[str], *, is_new: bool) -> Json:
    open_columns = {name: column for name, column in table.columns.items() if name in columns}
    needed = [name for name, column in open_columns.items() if not column.nullable and column.default_sql is None]
    found: Json = {
        "type": "object",
        "properties": {name: column_schema(column) for name, column in open_columns.items()},
        "additionalProperties": False,
    }
    return {**found, "required": needed} if is_new and needed else found


def _table_path(table: TableInfo) -> Json:
    path: Json = {}
    filters: Json = {
        "name": "filters",
        "in": "query",
        "description": "A condition for each column: `eq.5`, `not.in.(a,b)`, `like.A*`, `is.null`, `fts.word`, ...; and `and`, `or`.",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "properties": {name: {"type": "string"} for name in table.columns}},
    }
    rows: Json = {"type": "array", "maxItems": MAX_ROWS, "items": _ref(f"{table.name}.row")}
    content: Json = {
        "application/json": {"schema": rows},
        "application/vnd.pgrst.object+json": {"schema": _ref(f"{table.name}.row")},
        "text/csv": {"schema": {"type": "string"}},
    }
    if "read" in table.policy.verbs:
        path["get"] = _operation(
            f"read_{table.name}",
            f"Reads {table.name}",
            [_parameter(name) for name in _READING] + [filters],
            {
                "200": {"description": "The rows", "content": content},
                "206": {"description": "Some of the rows", "content": content},
            },
        )
    for method, verbs in VERBS.items():
        if not set(verbs) <= table.policy.verbs:
            continue
        operation = _operation(
            f"{method.lower()}_{table.name}",
            f"{_SUMMARIES[method]} of {table.name} (for {', '.join(sorted(table.policy.writers))})",
            [_parameter(name) for name in _WRITING[method]] + ([] if method == "POST" else [filters]),
            {
                "200": {"description": "The rows as they are now", "content": content},
                "201": {"description": "Made", "content": content},
                "204": {"description": "Done"},
            },
        )
        if method != "DELETE":
            one = _ref(f"{table.name}.{'update' if method == 'PATCH' else 'insert'}")
            shape: Json = {"oneOf": [one, {"type": "array", "items": one}]} if method == "POST" else one
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape}}}
        path[method.lower()] = operation
    return path


def _command_path(name: str, command: Command) -> Json:
    doc = " ".join((command.request.__doc__ or "").split())
    answers: Json = {
        "200": {
            "description": "Done",
            "content": {"application/json": {"schema": _ref(command.answer.__name__)}},
        }
    }
    post = _operation(f"rpc_{name}", doc, [] if command.is_read else [_parameter("idempotency_key")], answers)
    post["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _ref(command.request.__name__)}},
    }
    path: Json = {"post": post}
    if command.is_read:
        query: Json = {"name": "query", "in": "query", "style": "form", "explode": True, "required": True}
        path["get"] = _operation(f"rpc_get_{name}", doc, [{**query, "schema": _ref(command.request.__name__)}], answers)
    return path


def _operation(operation_id: str, summary: str, parameters: list[Json], responses: Json) -> Json:
    return {
        "operationId": operation_id,
        "summary": summary,
        "parameters": parameters,
        "responses": {**responses, "default": {"$ref": "#/components/responses/Refusal"}},
    }


def _parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}
