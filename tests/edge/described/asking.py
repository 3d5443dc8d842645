"""What schemathesis is told of this installation: real ids, filters that are understood, which answers are ours to be sorry for.

Runs in schemathesis's own environment (`SCHEMATHESIS_HOOKS`), where nothing of ours can be imported. Every choice follows from what was
drawn, so that a seed makes the same requests again.
"""

from __future__ import annotations

import atexit
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

TOLD = json.loads(Path(os.environ["ASKING"]).read_text())
"""`ids`: by the name of a column, for `id` by `table.id`. `columns`: of each table. `bearer`: who asks.
`counts`: the file that gets the counts."""
IDS: dict[str, list[str]] = TOLD["ids"]
COLUMNS: dict[str, list[str]] = TOLD["columns"]
OPERATORS = ("eq.", "eq.", "neq.", "gt.", "lte.", "like.*", "ilike.", "is.null", "in.(", "not.eq.", "fts.", "cs.", "{}")
# Who asks would be nobody from there on; it is asked all the same, without their token.
SIGNS_OUT = frozenset({"/auth/v1/logout"})

ZERO = "00000000-0000-7000-8000-000000000000"

_answers: Counter[tuple[str, str, int]] = Counter()


def _chance(text: object, of: int) -> int:
    return zlib.crc32(repr(text).encode("utf-8", "replace")) % of


def _id_for(name: str, path: str, drawn: object) -> str | None:
    """A real one for a parameter or key of this name; None leaves what was drawn."""
    table = path.rpartition("/")[2]
    pool = IDS.get(f"{table}.id") if name == "id" else IDS.get(name) or IDS.get(f"{name.removesuffix('_id')}s.id")
    return pool[_chance(drawn, len(pool))] if pool and _chance((name, drawn), 4) else None


def _with_ids(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_with_ids(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: (_id_for(key, path, item) or item) if isinstance(item, str) else _with_ids(item, path)
        for key, item in value.items()
    }


def _filter(name: str, drawn: str, path: str) -> str:
    operator = OPERATORS[_chance((drawn, name), len(OPERATORS))]
    operand = _id_for(name, path, drawn) or drawn
    if operator == "is.null":
        return operator
    return f"in.({operand})" if operator == "in.(" else drawn if operator == "{}" else operator + operand


def _parameter(name: str, drawn: str, columns: list[str]) -> str:
    """One of the parameters that every table has. Random text is refused at once, so it stays now and then only."""
    if not _chance((drawn, name), 4):
        return drawn
    column = columns[_chance((name, drawn, "c"), len(columns))]
    match name:
        case "select":
            return (column, "*", f"*,again:{column}")[_chance((drawn, "s"), 3)]
        case "order":
            return column + ("", ".desc", ".asc.nullsfirst")[_chance((drawn, "o"), 3)]
        case "cursor":
            return ""
        case "columns":
            return ",".join(columns)
        case "on_conflict":
            return column
    return drawn


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Makes of random text what gets past the first look."""
    path = case.operation.path
    if TOLD["bearer"] and path not in SIGNS_OUT:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {TOLD['bearer']}"}
    for name, drawn in list((case.path_parameters or {}).items()):
        case.path_parameters[name] = _id_for(name, path, drawn) or drawn
    if isinstance(case.query, dict):
        columns = COLUMNS.get(path.removeprefix("/rest/v1/"), [])
        ours = {parameter.name for parameter in case.operation.query}
        for name, drawn in list(case.query.items()):
            if not isinstance(drawn, str):
                continue
            if not columns:
                case.query[name] = _id_for(name, path, drawn) or drawn
            elif name in ours:
                case.query[name] = _parameter(name, drawn, columns)
            elif _chance((name, drawn, "f"), 8):
                case.query[name] = _filter(name, drawn, path)
        if case.method in ("PATCH", "PUT", "DELETE") and "id" in columns and _chance((path, case.query, "id"), 4):
            # Without a condition every one of them is refused.
            case.query["id"] = f"eq.{_id_for('id', path, repr(case.query)) or ZERO}"
    case.body = _with_ids(case.body, path)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Counts."""
    _answers[case.operation.method.upper(), case.operation.path, response.status_code] += 1


@schemathesis.check
def no_failure_of_ours(context: Any, response: Any, case: Any) -> None:
    """No answer of 5xx, but for 503 that says when to come back (RFC 9110 section 15.6.4)."""
    status = response.status_code
    waits = status == 503 and "retry-after" in response.headers
    assert status < 500 or waits, f"answered {status}: {response.content[:300]!r}"


@schemathesis.check
def as_described(context: Any, response: Any, case: Any) -> None:
    """A body is of the described shape. There may be none: `Prefer: return=` decides that, which OpenAPI cannot say."""
    if response.content:
        case.operation.validate_response(response, case=case)


@atexit.register
def _tell() -> None:
    Path(TOLD["counts"]).write_text(json.dumps([[*key, times] for key, times in sorted(_answers.items())]))
