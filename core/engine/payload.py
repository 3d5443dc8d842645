"""The body of a write: JSON, CSV or a form, made into rows of one shape, or refused.

Decides what is well formed and which keys the rows have. Knows no table: a key may be no column.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from core.engine.request import MAX_ROWS
from core.errors import BAD_JSON, BAD_REQUEST, UNSUPPORTED_TYPE, Refusal


@dataclass(frozen=True, slots=True)
class Payload:
    """`rows` are objects by key; values are JSON, or texts that came as CSV or a form and that their columns will read."""

    rows: tuple[dict[str, Any], ...]
    keys: tuple[str, ...]
    """The keys of the first row."""

    @property
    def is_uniform(self) -> bool:
        """Whether every row has the same keys."""
        return all(row.keys() == self.rows[0].keys() for row in self.rows)

    @property
    def text(self) -> str:
        """The rows as a JSON array."""
        return orjson.dumps(self.rows).decode()


def parse_payload(body: bytes, content_type: str) -> Payload:
    """The rows of a body: an array of objects, or one object alone. Raises Refusal 400 or 415."""
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", "application/json") or (media.startswith("application/vnd.pgrst.") and media.endswith("+json")):
        rows = _json(body)
    elif media == "text/csv":
        rows = _csv(_text(body))
    elif media == "application/x-www-form-urlencoded":
        rows = [dict(parse_qsl(_text(body), keep_blank_values=True))]
    else:
        raise Refusal(UNSUPPORTED_TYPE, hint="Send application/json, text/csv or application/x-www-form-urlencoded.")
    if len(rows) > MAX_ROWS:
        raise Refusal(BAD_REQUEST, f"A body has at most {MAX_ROWS} rows.", details=f"It has {len(rows)}.")
    return Payload(tuple(rows), tuple(rows[0]) if rows else ())


def _json(body: bytes) -> list[dict[str, Any]]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(BAD_JSON) from error
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise Refusal(BAD_JSON, "The body must be a JSON object, or an array of them.")
    return rows


def _csv(text: str) -> list[dict[str, Any]]:
    """RFC 4180 with a header; an unquoted or quoted NULL is null, as in PostgREST."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise Refusal(BAD_REQUEST, f"The CSV is malformed: {error}.") from error
    if not lines or len(set(lines[0])) < len(lines[0]) or any(len(line) != len(lines[0]) for line in lines):
        raise Refusal(BAD_REQUEST, "CSV needs a header of different names, and as many values in every line.")
    header, *values = lines
    return [{key: None if cell == "NULL" else cell for key, cell in zip(header, line, strict=True)} for line in values]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(BAD_REQUEST, "The body is not UTF-8.") from None
