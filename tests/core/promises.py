"""What the schema promises, as data: a rule of the requirement documents is one line, and `keep` is asked whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from tests.core.rows import Rows, Values

Keep = Callable[[Rows], Coroutine[Any, Any, None]]


async def refused(rows: Rows, constraint: str, action: Coroutine[Any, Any, object]) -> None:
    """`action` is refused by that constraint and no other, at the latest when it is committed."""
    try:
        async with rows.connection.transaction():
            await action
            await rows.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.IntegrityConstraintViolationError as error:
        assert getattr(error, "constraint_name", None) == constraint, error
    else:
        raise AssertionError(f"{constraint} did not refuse it")


@dataclass(frozen=True)
class Make:
    """A row with these values cannot be made."""

    constraint: str
    table: str
    values: Values

    async def keep(self, rows: Rows) -> None:
        await refused(rows, self.constraint, rows.make(self.table, **self.values))


@dataclass(frozen=True)
class Twice:
    """A second row that equals the first in these columns cannot be made."""

    constraint: str
    table: str
    columns: tuple[str, ...]
    values: Values = field(default_factory=dict)

    async def keep(self, rows: Rows) -> None:
        first = await rows.make(self.table, **self.values)
        same = {name: first[name] for name in self.columns}
        again = {
            name: "\\x" + value.hex() if isinstance(value, bytes) else value
            for name, value in {**self.values, **same}.items()
        }
        await refused(rows, self.constraint, rows.make(self.table, **again))


@dataclass(frozen=True)
class Change:
    """A row that was made like this cannot be changed like that."""

    constraint: str
    table: str
    values: Values
    changes: Values

    async def keep(self, rows: Rows) -> None:
        row = await rows.make(self.table, **self.values)
        await refused(rows, self.constraint, rows.change(self.table, row, **self.changes))


@dataclass(frozen=True)
class Path:
    """A row can go from state to state along this path; each step may set more."""

    table: str
    values: Values
    steps: tuple[Values, ...]

    async def keep(self, rows: Rows) -> None:
        row = await rows.make(self.table, **self.values)
        for step in self.steps:
            row = await rows.change(self.table, row, **step)


@dataclass(frozen=True)
class Unknown:
    """The column takes the listed values and no other."""

    table: str
    column: str
    values: tuple[str, ...] = ()

    async def keep(self, rows: Rows) -> None:
        kind = await rows.type_of(self.table, self.column)
        for value in self.values:
            await rows.connection.fetchval(f"SELECT $1::text::{kind}", value)
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            async with rows.connection.transaction():
                await rows.connection.fetchval(f"SELECT $1::text::{kind}", "something else")


@dataclass(frozen=True)
class Goes:
    """Deleting the parent deletes the child."""

    parent: str
    child: str
    column: str

    async def keep(self, rows: Rows) -> None:
        parent = await rows.make(self.parent)
        await rows.make(self.child, **{self.column: parent["id"]})
        await rows.delete(self.parent, parent)
        assert not await rows.connection.fetchval(
            f"SELECT count(*) FROM {self.child} WHERE {self.column} = $1", parent["id"]
        )


@dataclass(frozen=True)
class Stays:
    """Deleting the parent leaves the child, which no longer points at it."""

    parent: str
    child: str
    column: str
    values: Values = field(default_factory=dict)

    async def keep(self, rows: Rows) -> None:
        parent = await rows.make(self.parent)
        child = await rows.make(self.child, **{**self.values, self.column: parent["id"]})
        await rows.delete(self.parent, parent)
        left = await rows.connection.fetchrow(f"SELECT * FROM {self.child} WHERE id = $1", child["id"])
        assert left is not None
        assert left[self.column] is None


@dataclass(frozen=True)
class New:
    """A row made with these values begins like that."""

    table: str
    values: Values
    begins: Values

    async def keep(self, rows: Rows) -> None:
        row = await rows.make(self.table, **self.values)
        assert {name: row[name] for name in self.begins} == self.begins


Promise = Make | Twice | Change | Path | Unknown | Goes | Stays | New


def promise(what: Promise, *marks: pytest.MarkDecorator) -> Any:
    """One parameter of a test, with the rules that it shows."""
    match what:
        case Make(constraint=name) | Twice(constraint=name) | Change(constraint=name):
            label = name
        case Goes(parent, child, column) | Stays(parent, child, column):
            label = f"{parent}-{child}.{column}"
        case Unknown(table, column):
            label = f"{table}.{column}"
        case other:
            label = other.table
    return pytest.param(what, marks=marks, id=label)
