"""Which part of a request a database error is about: PostgreSQL quotes the value that it cannot read, and names no field.

Decides by the value and the type in its message; where it quotes none, by what was asked. Knows no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.engine.change import Change
from core.engine.payload import JSON
from core.engine.tree import Group, Node, Planned, Test
from core.errors import BAD_QUERY, BAD_VALUE, Fault, Refusal

MOST_FAULTS = 10
_QUOTED = re.compile(r'"(.*)"[^"]*$', re.DOTALL)
_TYPE = re.compile(r"for (?:type|enum) ([^:]+)")
# Words of a message, and what the type or the operator of the value then has in its name.
_ABOUT = (
    ("tsquery", "fts"), ("text search", "fts"), ("regular expression", "match"), ("LIKE", "like"),
    ("numeric field", "numeric"), ("range lower", "range"), ("range literal", "range"), ("JSON array", "[]"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One value of a request: where it stands, the type it is read as with the operator, and its text."""

    path: str
    kind: str
    text: str


def name_faults(refusal: Refusal, sent: Iterable[Sent], otherwise: str) -> None:
    """Names in `refusal`, if it is about a value, those of `sent` that are meant; where none is, `otherwise`."""
    if refusal.faults or refusal.code not in (BAD_VALUE, BAD_QUERY):
        return
    why = refusal.message or refusal.code.message
    found = list(dict.fromkeys(one.path for one in sent if _is_meant(one, why)))[:MOST_FAULTS]
    paths = found or ["order" if "ordering operator" in why else otherwise]
    refusal.message = f"{paths[0]}: {why}"
    refusal.faults = tuple(Fault(path, why) for path in paths)


def _is_meant(one: Sent, why: str) -> bool:
    if "Unicode escape" in why:  # U+0000, which no text of PostgreSQL may hold
        return "\0" in one.text or "\\u0000" in one.text
    quoted, type_ = _QUOTED.search(why), _TYPE.search(why)
    about = next((kind for words, kind in _ABOUT if words in why), "")
    # Of an array, or of what is inside JSON, it quotes an element.
    if quoted and quoted[1] != one.text and (one.text[:1] not in ("{", "[") or quoted[1] not in one.text):
        return False
    fits = about in one.kind and one.kind.startswith(type_[1] if type_ else "")
    return fits and bool(type_ or about or (quoted and not f"{one.kind} ".startswith("text ")))


def sent_to_read(node: Node) -> Iterator[Sent]:
    """What the conditions on `node` and below compare with."""
    for condition in node.where:
        yield from _compared(condition)
    for child in node.children:
        yield from sent_to_read(child)


def _compared(condition: Planned) -> Iterator[Sent]:
    if isinstance(condition, Group):
        for member in condition.members:
            yield from _compared(member)
    elif isinstance(condition, Test):
        asked = condition.filter
        kind = f"{condition.place.type}{'[]' if asked.quantifier else ''} {asked.operator}"
        yield from (Sent(asked.parameter, kind, text) for text in (*asked.values, asked.language or ""))


def sent_to_change(change: Change) -> Iterator[Sent]:
    """What is written, each value as PostgreSQL is given it, and what the conditions compare with."""
    for at, row in enumerate(change.payload.rows):
        for column in change.columns:
            path = column.name if len(change.payload.rows) == 1 else f"[{at}].{column.name}"
            if (value := row.get(column.name)) is not None:
                yield Sent(path, column.type, value if isinstance(value, str) else JSON.encode(value).decode())
    yield from sent_to_read(change.tree)
