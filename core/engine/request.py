"""A read as it was asked: path, query string and headers made into one record, or refused.

Decides what the request says, by PostgREST's rules, within bounds. Knows no schema, no viewer and no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote_to_bytes

from core.engine.clauses import (
    Condition,
    Item,
    Logic,
    Order,
    Star,
    parse_filter,
    parse_logic,
    parse_order,
    parse_select,
)
from core.engine.prefer import Count, parse_prefer
from core.engine.scanner import Scanner, refuse
from core.errors import NOT_ACCEPTABLE, RANGE_UNSATISFIABLE, Fault, Refusal

MAX_ROWS = 1000
MAX_CONDITIONS = 50
MAX_ORDER_TERMS = 20

Format = Literal["array", "object", "csv"]
EmbedPath = tuple[str, ...]

_MEDIA: Mapping[str, tuple[Format, bool]] = {
    **dict.fromkeys(("application/json", "application/*", "*/*"), ("array", False)),
    **dict.fromkeys(("application/vnd.pgrst.array+json", "application/vnd.pgrst.array"), ("array", True)),
    **dict.fromkeys(("application/vnd.pgrst.object+json", "application/vnd.pgrst.object"), ("object", True)),
    **dict.fromkeys(("text/csv", "text/*"), ("csv", False)),
}
_ELSEWHERE = frozenset({"columns", "on_conflict", "apikey"})
"""Parameters that belong to writes, or (apikey) to whoever asks: nothing to a read."""
_RANGE = re.compile(r"(?:items=)?([0-9]{1,18})-([0-9]{0,18})", re.ASCII)
_COUNT = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows of the ordered result: `limit` None means as many as are given at most."""

    limit: int | None = None
    offset: int = 0


EVERYTHING = Window()


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A read of `table`. Conditions, orders and windows go by the path of embed names they apply to, () the table."""

    table: str
    select: tuple[Item, ...] = (Star(),)
    conditions: tuple[tuple[EmbedPath, Condition], ...] = ()
    orders: Mapping[EmbedPath, tuple[Order, ...]] = field(default_factory=dict)
    windows: Mapping[EmbedPath, Window] = field(default_factory=dict)
    format: Format = "array"
    strip_nulls: bool = False
    count: Count | None = None
    cursor: str | None = None
    """Where to go on in keyset paging, as it was given; "" is the start, None is no such paging."""
    applied: tuple[str, ...] = ()
    """The preferences that were followed, for Preference-Applied."""


@dataclass(slots=True)
class _Draft:
    """What the parameters read so far say."""

    select: tuple[Item, ...] | None = None
    conditions: list[tuple[EmbedPath, Condition]] = field(default_factory=list)
    orders: dict[EmbedPath, tuple[Order, ...]] = field(default_factory=dict)
    limits: dict[EmbedPath, int] = field(default_factory=dict)
    offsets: dict[EmbedPath, int] = field(default_factory=dict)
    cursor: str | None = None


def parse_read(table: str, query: str, *, accept: str = "", prefer: str = "", range_: str = "") -> ReadRequest:
    """The read that `GET /rest/v1/{table}?{query}` (still percent-encoded) with these headers asks for."""
    draft = _Draft()
    for key, value in split_query(query):
        _take(draft, key, value)
    if sum(_size(condition) for _, condition in draft.conditions) > MAX_CONDITIONS:
        refuse("query", f"there may be {MAX_CONDITIONS} conditions at most")
    if sum(len(terms) for terms in draft.orders.values()) > MAX_ORDER_TERMS:
        refuse("order", f"there may be {MAX_ORDER_TERMS} terms at most")
    windows = {
        path: Window(draft.limits.get(path), draft.offsets.get(path, 0)) for path in draft.limits | draft.offsets
    }
    windows[()] = _ranged(windows.get((), EVERYTHING), range_)
    format_, strip_nulls = choose_format(accept)
    if draft.cursor is not None and (format_ != "array" or windows[()].offset):
        refuse("cursor", "goes with a JSON array, and without an offset")
    wishes = parse_prefer(prefer)
    asked = (draft.select or (Star(),), tuple(draft.conditions), draft.orders, windows)
    applied = wishes.applied("handling", "count", "timezone")
    return ReadRequest(table, *asked, format_, strip_nulls, wishes.count, draft.cursor, applied)


def split_query(query: str) -> list[tuple[str, str]]:
    """The parameters of a query string in order, decoded; `+` is a space."""
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        key, _, value = part.replace("+", " ").partition("=")
        try:
            pairs.append((unquote_to_bytes(key).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError:
            refuse("query", "is not UTF-8")
    return pairs


def _take(draft: _Draft, key: str, value: str) -> None:
    if key in _ELSEWHERE:
        return
    if key == "select":
        _check_first(key, draft.select is None)
        draft.select = parse_select(value)
        return
    scanner = Scanner(key, key[:100] or "query")
    names: list[str] = []
    while True:
        is_quoted = scanner.peek('"')
        target = scanner.field("a column or parameter name")
        if target.path or not scanner.take("."):
            break
        names.append(target.name)
    scanner.finish()
    word = "" if is_quoted or target.path else target.name
    if word in ("and", "or"):
        negated = bool(names) and names[-1] == "not"
        path = tuple(names[:-1] if negated else names)
        draft.conditions.append((path, parse_logic("and" if word == "and" else "or", value, key, negated=negated)))
        return
    path = tuple(names)
    if word == "order":
        _check_first(key, path not in draft.orders)
        draft.orders[path] = parse_order(value, key)
    elif word == "cursor" and not path:
        _check_first(key, draft.cursor is None)
        draft.cursor = value
    elif word in ("limit", "offset"):
        counts = draft.limits if word == "limit" else draft.offsets
        _check_first(key, path not in counts)
        counts[path] = _number(key, value)
    else:
        draft.conditions.append((path, parse_filter(target, value, key)))


def _check_first(key: str, is_first: bool) -> None:
    if not is_first:
        refuse(key, "is given twice")


def _number(key: str, value: str) -> int:
    if _COUNT.fullmatch(value) is None:
        refuse(key, "must be a whole number of at most 18 digits")
    number = int(value)
    if number < 0:
        refuse(key, "must not be negative", code=RANGE_UNSATISFIABLE)
    return number


def _size(condition: Condition) -> int:
    return sum(_size(member) for member in condition.members) if isinstance(condition, Logic) else 1


def _ranged(window: Window, header: str) -> Window:
    """The window narrowed by a Range header; one in another unit (bytes) or of another shape is not for us."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return window
    first, last = int(match[1]), int(match[2]) if match[2] else None
    if last is not None and last < first:
        refuse("Range", "its end lies before its start", code=RANGE_UNSATISFIABLE)
    if window.limit == 0:
        return window
    bound = None if window.limit is None else window.offset + window.limit - 1
    ends = [end for end in (last, bound) if end is not None]
    offset = max(first, window.offset)
    if not ends:
        return Window(None, offset)
    if min(ends) < offset:
        refuse("Range", "has no row in common with limit and offset", code=RANGE_UNSATISFIABLE)
    return Window(min(ends) - offset + 1, offset)


def choose_format(accept: str) -> tuple[Format, bool]:
    """The format that an Accept header likes best, and whether nulls are to be left out."""
    best: tuple[float, Format, bool] | None = None
    for part in accept.split(",") if accept.strip() else ("*/*",):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        if media not in _MEDIA:
            continue
        format_, may_strip = _MEDIA[media]
        quality = 1.0
        for parameter in parameters:
            if re.fullmatch(r"q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", parameter):
                quality = float(parameter[2:])
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, format_, may_strip and "nulls=stripped" in parameters)
    if best is None:
        hint = "Accept application/json, application/vnd.pgrst.object+json or text/csv."
        raise Refusal(NOT_ACCEPTABLE, None, hint, accept[:200], (Fault("Accept", "names no type that is given"),))
    return best[1], best[2]
