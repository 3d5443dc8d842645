"""What will be read or written, as records: nodes joined by relations, with their outputs, conditions, order and window.

Decides only whether an operator applies to a place. Made by the planner, read by the renderer; knows no request, no SQL and no viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.engine.clauses import CONTAINMENTS, PATTERNS, RANGES, SEARCHES, Filter, Item, Nulls, Word
from core.engine.relations import Relation
from core.engine.request import EVERYTHING, EmbedPath, Window
from core.engine.scanner import JsonStep, refuse
from core.engine.schema import Column, TableInfo


@dataclass(frozen=True, slots=True)
class Place:
    """A column of a node's table, or a place inside its JSON."""

    column: Column
    path: tuple[JsonStep, ...]

    @property
    def is_text(self) -> bool:
        """Whether text is found there."""
        return self.path[-1].as_text if self.path else self.column.category == "S"

    @property
    def type(self) -> str:
        """What a value is cast to before it is compared with it."""
        return ("text" if self.path[-1].as_text else "jsonb") if self.path else self.column.type

    @property
    def nullable(self) -> bool:
        """Whether there may be nothing."""
        return bool(self.path) or self.column.nullable


@dataclass(frozen=True, slots=True)
class Output:
    """One key of a row. Without a place it counts rows."""

    name: str
    place: Place | None
    cast: str | None
    aggregate: str | None = None
    result_cast: str | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on a place of the node's own table."""

    place: Place
    filter: Filter


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the embed with this alias has a row."""

    alias: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by one word."""

    kind: Word
    negated: bool
    members: tuple[Test | Exists | Group, ...]


Planned = Test | Exists | Group


@dataclass(frozen=True, slots=True)
class Sort:
    """One term of an order; `embed` is the alias of the to-one embed whose column it is."""

    place: Place
    embed: str | None
    descending: bool
    nulls: Nulls | None


@dataclass(frozen=True, slots=True)
class Keyset:
    """Paging by the values of the last row: `after` are those to go on from, None at the start."""

    after: tuple[str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Node:
    """One table being read: the root, or an embed joined to its parent by `relation`.

    `alias` (t0, t1, ...) is unique in the tree, `name` is its key in the parent's rows.
    """

    table: TableInfo
    alias: str
    name: str
    path: EmbedPath
    relation: Relation | None
    asked: tuple[Item, ...]
    is_inner: bool = False
    is_spread: bool = False
    children: tuple[Node, ...] = ()
    outputs: tuple[Output, ...] = ()
    where: tuple[Planned, ...] = ()
    order: tuple[Sort, ...] = ()
    window: Window = EVERYTHING
    keyset: Keyset | None = None
    source: str | None = None
    """What is read in place of the table: the rows that the same statement wrote."""

    @property
    def to_one(self) -> bool:
        """Whether it holds at most one row for each row of its parent."""
        return self.relation is not None and self.relation.to_one

    @property
    def is_grouped(self) -> bool:
        """Whether its rows are sums of the table's, one for each value of what is not summed."""
        return any(output.aggregate for output in self.outputs)

    @property
    def is_summed(self) -> bool:
        """Whether anything here or below is more than counted."""
        own = any(output.aggregate not in (None, "count") for output in self.outputs)
        return own or any(child.is_summed for child in self.children)

    @property
    def tables(self) -> frozenset[str]:
        """Every table that is read here and below."""
        junction = {self.relation.junction} if self.relation and self.relation.junction else frozenset()
        return frozenset({self.table.name}).union(junction, *(child.tables for child in self.children))


def check_operator(place: Place, condition: Filter) -> None:
    """Refuses an operator that does not apply to what is found at `place`."""
    operator, column = condition.operator, place.column
    is_json = column.type == "jsonb" or (bool(place.path) and not place.path[-1].as_text)
    if operator in PATTERNS:
        fits = place.is_text
    elif operator in SEARCHES:
        fits = place.is_text or is_json or column.type == "tsvector"
    elif operator in CONTAINMENTS:
        fits = is_json or (not place.path and (column.category in "AR" or column.type.endswith("multirange")))
    elif operator in RANGES:
        fits = not place.path and (column.category == "R" or column.type.endswith("multirange"))
    elif operator == "is" and condition.values[0].lower() in ("true", "false", "unknown"):
        fits = not place.path and column.category == "B"
    else:
        fits = True
    if not fits:
        refuse(condition.parameter, f"{operator} does not apply to {column.name}, which is {column.type}")
