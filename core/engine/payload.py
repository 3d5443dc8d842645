"""The body of a write: JSON, CSV or a form, made into rows of one shape, or refused.

Decides what is well formed and which keys the rows have. Knows no table: a key may be no column.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from core.engine.request import MAX_ROWS
from core.errors import BAD_JSON, BAD_REQUEST, UNSUPPORTED_TYPE, Refusal

_OF_POSTGREST = re.compile(r"application/vnd\.pgrst\..*\+json")
JSON = msgspec.json.Encoder(decimal_format="number")


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
        return JSON.encode(self.rows).decode()


def parse_payload(body: bytes, content_type: str) -> Payload:
    """The rows of a body: an array of objects, or one object alone. Raises Refusal 400 or 415."""
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media in ("", "application/json") or _OF_POSTGREST.fullmatch(media):
            rows = _json(body)
        elif media == "text/csv":
            rows = _csv(body.decode())
        elif media == "application/x-www-form-urlencoded":
            rows = [dict(parse_qsl(body.decode(), keep_blank_values=True))]
        else:
            raise Refusal(UNSUPPORTED_TYPE, hint="Send application/json, text/csv or a form, urlencoded.")
    except UnicodeDecodeError:
        raise Refusal(BAD_REQUEST, "The body is not UTF-8.") from None
    if len(rows) > MAX_ROWS:
        raise Refusal(BAD_REQUEST, f"A body has at most {MAX_ROWS} rows.", details=f"It has {len(rows)}.")
    return Payload(tuple(rows), tuple(rows[0]) if rows else ())


def _json(body: bytes) -> list[dict[str, Any]]:
    """JSON, and none that is nested so deep that it could not be written again, a hundred calls further down, for PostgreSQL."""
    try:
        found = msgspec.json.Decoder(float_hook=_exact).decode(body)
        JSON.encode(reduce(lambda inner, _: [inner], range(100), found))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(BAD_JSON, details=str(error)) from error
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise Refusal(BAD_JSON, "The body must be a JSON object, or an array of them.")
    return rows


def _exact(text: str) -> Decimal | float:
    """A number with every digit it came with. Those that no double holds would be written out by PostgreSQL, at any length."""
    if abs(near := float(text)) > 1e308:
        raise ValueError("number out of range")
    return Decimal(text) if near else near


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
