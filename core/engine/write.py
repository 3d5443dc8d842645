"""The stages of a write in call order: payload, change, SQL, one statement in a transaction of the viewer's, answer.

What can be refused is refused before the database is asked; what only the outcome shows (too many rows, not exactly one)
takes the transaction back.
"""

from __future__ import annotations

import orjson

from core.database import Database
from core.engine.change import Change
from core.engine.misread import name_faults, sent_to_change
from core.engine.render_change import render_change
from core.engine.request import MAX_ROWS
from core.engine.respond import CONTENT_TYPES, Answer, content_range, key_filter
from core.errors import NOT_SINGULAR, TOO_MANY_AFFECTED, Fault, Refusal
from core.viewer import Viewer


class _RolledBack(Exception):  # noqa: N818 - states the fact
    """The change was tried, as wished, and taken back."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


async def answer_change(database: Database, viewer: Viewer, change: Change) -> Answer:
    """Makes a planned change for `viewer`. Raises Refusal, SchemaChanged or DatabaseDown; then nothing was changed."""
    if change.method == "POST" and not change.payload.rows:
        return _respond(change, b"[]" if change.wishes.returns == "representation" else b"", 0, None, None)
    sql = render_change(change)
    try:
        async with database.transaction(viewer) as tx:
            row = await tx.ask(sql.text, sql.arguments)
            assert row is not None, "an aggregate gives one row"
            _check_outcome(change, row["row_count"])
            answer = _respond(change, row["body"], row["row_count"], row["new_count"], row["key"])
            if change.wishes.known.get("tx") == "rollback":
                raise _RolledBack(answer)
    except _RolledBack as rolled_back:
        return rolled_back.answer
    except Refusal as refusal:
        _name_fields(refusal, change)
        name_faults(refusal, sent_to_change(change), "body")
        raise
    return answer


def _name_fields(refusal: Refusal, change: Change) -> None:
    """Of a broken constraint the columns it is about: those that were sent, or all where none was."""
    columns = change.tree.table.rules.get(str(refusal.data.get("constraint")), ())
    sent = {column.name for column in change.columns}.intersection(columns)
    why = refusal.message or refusal.code.message
    refusal.faults = refusal.faults or tuple(Fault(name, why) for name in columns if name in sent or not sent)


def _check_outcome(change: Change, row_count: int) -> None:
    if change.read.format == "object" and row_count != 1:
        raise Refusal(NOT_SINGULAR, details=f"The result contains {row_count} rows")
    most = change.wishes.max_affected
    if most is not None and change.method in ("PATCH", "DELETE") and row_count > most:
        raise Refusal(TOO_MANY_AFFECTED, details=f"{row_count} rows, of {most} at most")
    if change.wishes.returns == "representation" and row_count > MAX_ROWS:
        raise Refusal(
            TOO_MANY_AFFECTED, f"{row_count} rows are too many to be given back.", "Ask with Prefer: return=minimal."
        )


def _respond(change: Change, body: bytes, row_count: int, new_count: int | None, key: str | None) -> Answer:
    total = row_count if change.wishes.count else None
    headers = {"Content-Range": content_range(0, row_count if change.method == "PATCH" else 0, total)}
    if applied := change.wishes.applied(
        "handling", "max-affected", "resolution", "missing", "return", "count", "tx", "timezone"
    ):
        headers["Preference-Applied"] = ", ".join(applied)
    if key is not None and row_count == 1 and change.method == "POST":
        headers["Location"] = f"/rest/v1/{change.tree.table.name}?{key_filter(orjson.loads(key))}"
    if change.wishes.returns == "representation":
        headers["Content-Type"] = CONTENT_TYPES[change.read.format]
    is_told = change.wishes.returns == "representation" or change.method == "POST"
    status = 201 if change.method in ("POST", "PUT") and new_count != 0 else 200 if is_told else 204
    return Answer(status, headers, body)
