"""Keyset paging: a large list page by page, each going on from the values of the last row instead of counting rows to skip.

Decides what a cursor says and which order it needs: one that ends in the primary key, so that no two rows are equal. A cursor
holds nothing but values its reader was shown; it comes back from outside, so a forged one can only name another place.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import blake2b

import orjson

from core.engine.request import MAX_ROWS, ReadRequest
from core.engine.scanner import refuse
from core.engine.tree import Keyset, Node, Place, Sort

MAX_CURSOR_BYTES = 4096


def add_keyset(node: Node, request: ReadRequest) -> Node:
    """The root with a total order and the place to go on from, if the request pages by cursor."""
    if request.cursor is None or node.relation is not None:
        return node
    if not node.table.primary_key or not set(node.table.primary_key) <= node.table.columns.keys():
        refuse("cursor", f"{node.table.name} has no primary key to go on from", "Page with limit and offset.")
    if node.is_grouped or any(term.embed for term in node.order):
        refuse("cursor", "needs an order by the table's own columns")
    sorted_by = {term.place.column.name for term in node.order if not term.place.path}
    descending = bool(node.order) and node.order[-1].descending
    order = node.order + tuple(
        Sort(Place(node.table.columns[name], ()), None, descending, None)
        for name in node.table.primary_key
        if name not in sorted_by
    )
    node = replace(node, order=order)
    return replace(node, keyset=Keyset(_decode(request.cursor, node) if request.cursor else None))


def next_cursor(node: Node, row_count: int, last: str | None) -> str | None:
    """The cursor of the page that follows one that ended with the sort values `last`; None after a page that is not full."""
    size = MAX_ROWS if node.window.limit is None else min(node.window.limit, MAX_ROWS)
    if last is None or row_count < size:
        return None
    return base64.urlsafe_b64encode(orjson.dumps([_mark(node), *orjson.loads(last)])).rstrip(b"=").decode()


def _decode(cursor: str, node: Node) -> tuple[str | None, ...]:
    try:
        if len(cursor) > MAX_CURSOR_BYTES:
            raise ValueError
        found = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except ValueError:  # what is no base64, no ASCII or no JSON is one, too
        found = None
    if not isinstance(found, list) or not found or not all(value is None or isinstance(value, str) for value in found):
        refuse("cursor", "is none of ours", "Send the value of the last answer's Next-Cursor, or nothing to begin.")
    mark, *values = found
    if mark != _mark(node) or len(values) != len(node.order):
        refuse("cursor", "belongs to another order", "Keep `order` as it was on the first page.")
    if any(
        (value is None and not term.place.nullable) or "\0" in (value or "")
        for value, term in zip(values, node.order, strict=True)
    ):
        refuse("cursor", "is none of ours")
    return tuple(values)


def _mark(node: Node) -> str:
    """What tells one order of one table from another."""
    return blake2b(repr((node.table.name, node.order)).encode(), digest_size=6).hexdigest()
