"""What the engine knows of the database: the served tables, their columns, keys and foreign keys.

Decides which part of the catalogue is visible: tables that a context names, columns it does not hide. Knows nothing of
requests. A table is data here, never a class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from core.database import Database, Row
from core.domain.context import Context, Table
from core.queries import load
from core.viewer import service

_SQL = load("core.engine", "schema.sql")


@dataclass(frozen=True, slots=True)
class Column:
    """One visible column. `category` is PostgreSQL's letter for kinds of type: S text, B boolean, A array, R range."""

    name: str
    type: str
    category: str
    nullable: bool
    comment: str | None
    default_sql: str | None = None
    """The expression of its default, from the catalogue."""
    labels: tuple[str, ...] = ()
    """The values of an enum."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`columns` of `table` point at `foreign_columns` of `foreign_table`, pairwise."""

    name: str
    table: str
    columns: tuple[str, ...]
    foreign_table: str
    foreign_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TableInfo:
    """One served table. `keys` are the column sets of its primary key and unique constraints, hidden ones included."""

    name: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...]
    keys: frozenset[frozenset[str]]
    policy: Table
    comment: str | None
    rules: Mapping[str, tuple[str, ...]]
    """The visible columns that each of its constraints and unique indexes is about."""
    is_announced: bool = False
    """Whether the database announces every change of it (db/schema/announce_reads.sql)."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """Every served table by name, and the foreign keys between served tables. Compared by identity: one per reading."""

    tables: Mapping[str, TableInfo]
    foreign_keys: tuple[ForeignKey, ...]


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint at the known name that `name` was probably meant to be."""
    matches = get_close_matches(name[:63], list(known), n=1, cutoff=0.6)
    return f"Perhaps you meant {matches[0]}." if matches else None


def build_schema(
    served: Mapping[str, Table], tables: Iterable[Row], columns: Iterable[Row], constraints: Iterable[Row]
) -> Schema:
    """The schema from catalogue rows (shapes: schema.sql). Raises ValueError if a context names what is not there."""
    comments = {row["name"]: row["comment"] for row in tables}
    announced = {row["name"] for row in tables if row["is_announced"]}
    if missing := sorted(served.keys() - comments.keys()):
        raise ValueError(f"contexts name tables that the database lacks: {', '.join(missing)}")
    visible: dict[str, dict[str, Column]] = {name: {} for name in served}
    unseen = {name: set(table.hidden) for name, table in served.items()}
    for row in columns:
        name = row["name"]
        if name in unseen[row["table_name"]]:
            unseen[row["table_name"]].discard(name)
        else:
            labels, kind, nullable = tuple(row["labels"] or ()), row["type"], row["nullable"]
            column = Column(name, kind, row["category"], nullable, row["comment"], row["default_sql"], labels)
            visible[row["table_name"]][name] = column
    if wrong := sorted(f"{table}.{name}" for table, names in unseen.items() for name in names):
        raise ValueError(f"contexts hide columns that the database lacks: {', '.join(wrong)}")
    primary: dict[str, tuple[str, ...]] = {}
    keys: dict[str, set[frozenset[str]]] = {name: set() for name in served}
    rules: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in served}
    foreign_keys = []
    for row in constraints:
        name, own = row["table_name"], tuple(row["columns"] or ())
        rules[name][row["name"]] = tuple(column for column in own if column in visible[name])
        if row["kind"] in "pu":
            keys[name].add(frozenset(own))
            if row["kind"] == "p":
                primary[name] = own
        elif row["foreign_table"] in served:
            foreign_keys.append(ForeignKey(row["name"], name, own, row["foreign_table"], tuple(row["foreign_columns"])))
    found = {
        name: TableInfo(
            *(name, MappingProxyType(visible[name]), primary.get(name, ()), frozenset(keys[name]), policy),
            *(comments[name], MappingProxyType(rules[name]), name in announced),
        )
        for name, policy in sorted(served.items())
    }
    return Schema(MappingProxyType(found), tuple(foreign_keys))


class SchemaSource:
    """Reads the schema when it is first asked for, and again after `forget`; one reading serves all who wait."""

    def __init__(self, database: Database, contexts: tuple[Context, ...]) -> None:
        self._database = database
        self._served: dict[str, Table] = {}
        for context in contexts:
            for table in context.tables:
                if table.name in self._served:
                    raise ValueError(f"{table.name} is owned by two contexts")
                self._served[table.name] = table
        self._schema: Schema | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> Schema:
        """The schema as last read. Raises DatabaseDown when it was never read and cannot be now."""
        if self._schema is None:
            async with self._lock:
                if self._schema is None:
                    self._schema = await self._read()
        return self._schema

    def forget(self) -> None:
        """The next `current` reads the catalogue again."""
        self._schema = None

    async def _read(self) -> Schema:
        names = sorted(self._served)
        async with self._database.transaction(service()) as tx:
            tables = await tx.many(_SQL["table_many"], names)
            columns = await tx.many(_SQL["column_many"], names)
            constraints = await tx.many(_SQL["constraint_many"], names)
        return build_schema(self._served, tables, columns, constraints)
