"""The clauses of a read in PostgREST's dialect, as text and as records: select, filters, logic, order.

Decides what is well formed. Knows no schema (a column may not exist) and no SQL (operators are names here).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from core.engine.scanner import Field, Scanner, refuse

COMPARISONS = frozenset({"eq", "neq", "gt", "gte", "lt", "lte"})
PATTERNS = frozenset({"like", "ilike", "match", "imatch"})
SEARCHES = frozenset({"fts", "plfts", "phfts", "wfts"})
CONTAINMENTS = frozenset({"cs", "cd", "ov"})
RANGES = frozenset({"sl", "sr", "nxr", "nxl", "adj"})
OPERATORS = COMPARISONS | PATTERNS | SEARCHES | CONTAINMENTS | RANGES | {"in", "is", "isdistinct"}
QUANTIFIABLE = (COMPARISONS - {"neq"}) | PATTERNS
IS_VALUES = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
CASTS = frozenset(
    "text int2 int4 int8 smallint integer int bigint numeric float4 float8 real"  # noqa: SIM905 - a list of words
    " varchar decimal boolean bool date time timestamp timestamptz interval uuid json jsonb".split()
)
AGGREGATES = frozenset({"sum", "avg", "min", "max", "count"})
MAX_LOGIC_DEPTH = 5
MAX_EMBED_DEPTH = 5

_OPERATION = re.compile(r"(?P<not>not\.)?(?P<operator>[a-z]+)(?:\((?P<argument>[A-Za-z_][\w]{0,62})\))?\.", re.ASCII)
_LOGIC = re.compile(r"(?P<not>not\.)?(?P<kind>and|or)\(")

Join = Literal["left", "inner"]
Word = Literal["and", "or"]
Nulls = Literal["first", "last"]
Quantifier = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class Star:
    """`*`: every visible column."""


@dataclass(frozen=True, slots=True)
class Pick:
    """`alias:column->path::cast`."""

    field: Field
    alias: str | None
    cast: str | None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`alias:column->path::cast.function()::result_cast`; without a field it is `count()`, of rows."""

    function: str
    field: Field | None
    alias: str | None
    cast: str | None
    result_cast: str | None


@dataclass(frozen=True, slots=True)
class Embed:
    """`alias:target!hint!inner(select)`; `...target(select)` spreads its columns into the parent."""

    target: str
    alias: str | None
    hint: str | None
    join: Join
    spread: bool
    select: tuple[Item, ...]

    @property
    def name(self) -> str:
        """What the rest of the query calls it."""
        return self.alias or self.target


Item: TypeAlias = Star | Pick | Aggregate | Embed


@dataclass(frozen=True, slots=True)
class Filter:
    """`field=not.operator(argument).value`; only `in` has several values."""

    field: Field
    operator: str
    values: tuple[str, ...]
    negated: bool
    quantifier: Quantifier | None
    language: str | None
    parameter: str


@dataclass(frozen=True, slots=True)
class Logic:
    """`and(...)` or `or(...)`."""

    kind: Word
    negated: bool
    members: tuple[Filter | Logic, ...]


Condition = Filter | Logic


@dataclass(frozen=True, slots=True)
class Order:
    """`column.desc.nullslast`, or `embed(column).desc`."""

    field: Field
    embed: str | None
    descending: bool
    nulls: Nulls | None
    parameter: str


def parse_select(text: str) -> tuple[Item, ...]:
    """The value of `select`; nothing selected means everything."""
    scanner = Scanner(text, "select")
    if scanner.done:
        return (Star(),)
    items = _items(scanner, depth=0)
    scanner.finish()
    return items


def _items(scanner: Scanner, depth: int) -> tuple[Item, ...]:
    return scanner.listed(lambda: _item(scanner, depth))


def _item(scanner: Scanner, depth: int) -> Item:
    if scanner.take("*"):
        return Star()
    if scanner.take("...") or scanner.take(".."):  # PostgREST takes either
        return _embed(scanner, scanner.name("a relation"), None, depth, spread=True)
    alias = None
    field = scanner.field("a column or relation")
    if not field.path and not scanner.peek("::") and scanner.take(":"):
        alias = field.name
        field = scanner.field("a column or relation")
    if field == Field("count") and scanner.take("()"):
        return Aggregate("count", None, alias, None, _cast(scanner))
    if not field.path and (scanner.peek("(") or scanner.peek("!")):
        return _embed(scanner, field.name, alias, depth, spread=False)
    cast = _cast(scanner)
    if not scanner.take("."):
        return Pick(field, alias, cast)
    function = scanner.name("an aggregate function")
    if function not in AGGREGATES:
        refuse("select", f"there is no aggregate function {function!r}", f"There are {', '.join(sorted(AGGREGATES))}.")
    scanner.expect("()")
    return Aggregate(function, field, alias, cast, _cast(scanner))


def _cast(scanner: Scanner) -> str | None:
    if not scanner.take("::"):
        return None
    cast = scanner.name("a type").lower()
    if cast not in CASTS:
        refuse("select", f"there is no cast to {cast!r}", f"Casts: {', '.join(sorted(CASTS))}.")
    return cast


def _embed(scanner: Scanner, target: str, alias: str | None, depth: int, *, spread: bool) -> Embed:
    if depth >= MAX_EMBED_DEPTH:
        refuse("select", f"embeds may nest {MAX_EMBED_DEPTH} deep at most")
    hint: str | None = None
    join: Join = "left"
    while scanner.take("!"):
        word = scanner.name("a hint, `inner` or `left`")
        if word == "inner":
            join = "inner"
        elif word == "left":
            join = "left"
        elif hint is None:
            hint = word
        else:
            refuse("select", f"{target} has two hints, {hint} and {word}")
    scanner.expect("(")
    items = () if scanner.peek(")") else _items(scanner, depth + 1)
    scanner.expect(")")
    return Embed(target, alias, hint, join, spread, items)


def parse_filter(field: Field, text: str, parameter: str) -> Filter:
    """`field` with the value of its parameter: `not.op(argument).value`, the value unquoted."""
    scanner = Scanner(text, parameter)
    operator, negated, quantifier, language = _operation(scanner)
    if operator == "in":
        values = scanner.items()
        scanner.finish()
    else:
        values = (text[scanner.at :],)
    return _checked(Filter(field, operator, values, negated, quantifier, language, parameter))


def parse_logic(kind: Word, text: str, parameter: str, *, negated: bool = False) -> Logic:
    """The value of `and` or `or`: `(field.op.value,and(...),not.or(...))`, values quoted where they must be."""
    scanner = Scanner(text, parameter)
    logic = _logic(scanner, kind, negated, depth=1)
    scanner.finish()
    return logic


def _logic(scanner: Scanner, kind: Word, negated: bool, depth: int) -> Logic:
    if depth > MAX_LOGIC_DEPTH:
        refuse(scanner.parameter, f"conditions may nest {MAX_LOGIC_DEPTH} deep at most")
    scanner.expect("(")
    members = scanner.listed(lambda: _member(scanner, depth))
    scanner.expect(")")
    return Logic(kind, negated, members)


def _member(scanner: Scanner, depth: int) -> Condition:
    scanner.peek("")
    match = _LOGIC.match(scanner.text, scanner.at)
    if match is not None:
        scanner.at = match.end() - 1
        kind: Word = "and" if match["kind"] == "and" else "or"
        return _logic(scanner, kind, match["not"] is not None, depth + 1)
    field = scanner.field()
    scanner.expect(".")
    operator, negated, quantifier, language = _operation(scanner)
    if operator == "in":
        values = scanner.items()
    elif scanner.peek('"'):
        values = (scanner.quoted(),)
    elif scanner.peek("{"):
        values = (scanner.braced(),)
    else:
        values = (scanner.until(",)"),)
    return _checked(Filter(field, operator, values, negated, quantifier, language, scanner.parameter))


def _operation(scanner: Scanner) -> tuple[str, bool, Quantifier | None, str | None]:
    match = _OPERATION.match(scanner.text, scanner.at)
    if match is None:
        scanner.fail("an operator and a value, such as eq.5")
    operator, argument = match["operator"], match["argument"]
    if operator not in OPERATORS:
        refuse(scanner.parameter, f"there is no operator {operator!r}", f"Operators: {', '.join(sorted(OPERATORS))}.")
    scanner.at = match.end()
    quantifier: Quantifier | None = None
    language: str | None = None
    if argument is not None:
        if operator in SEARCHES:
            language = argument
        elif operator in QUANTIFIABLE and argument in ("any", "all"):
            quantifier = "any" if argument == "any" else "all"
        else:
            refuse(scanner.parameter, f"{operator} does not take ({argument})")
    return operator, match["not"] is not None, quantifier, language


def _checked(found: Filter) -> Filter:
    if found.operator == "is" and found.values[0].lower() not in IS_VALUES:
        refuse(found.parameter, f"is takes one of {', '.join(IS_VALUES)}", "Write eq.value to compare with a value.")
    if any("\0" in value for value in found.values):
        refuse(found.parameter, "a value may not contain NUL")
    return found


def parse_order(text: str, parameter: str) -> tuple[Order, ...]:
    """The value of `order`."""
    scanner = Scanner(text, parameter)
    terms = scanner.listed(lambda: _term(scanner))
    scanner.finish()
    return terms


def _term(scanner: Scanner) -> Order:
    field, embed = scanner.field(), None
    if not field.path and scanner.take("("):
        embed, field = field.name, scanner.field()
        scanner.expect(")")
    descending = False
    nulls: Nulls | None = None
    if scanner.take(".desc"):
        descending = True
    else:
        scanner.take(".asc")
    if scanner.take(".nullsfirst"):
        nulls = "first"
    elif scanner.take(".nullslast"):
        nulls = "last"
    return Order(field, embed, descending, nulls, scanner.parameter)
