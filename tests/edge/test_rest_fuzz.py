"""Generated questions and bodies: whatever is asked of any column of any table, no answer is an error of ours."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

import orjson
import pytest
from aiohttp import ClientResponse

from core.engine.clauses import CASTS, IS_VALUES, OPERATORS, QUANTIFIABLE, SEARCHES
from core.engine.schema import Column, Schema, TableInfo
from core.viewer import GUEST, service
from tests.edge.rest_shop import MARA, STAFF, Shop, own_shop, shop, shop_database
from tests.waiting import until

__all__ = ["own_shop", "shop", "shop_database"]

FEW, MANY = 2_000, 100_000
VALUES = (
    *("", "0", "-1", "7", "1.5", "1e400", "NaN", "Infinity", "9" * 25, "-9223372036854775808", "2147483648"),
    *("true", "f", "null", "NULL", "now", "today", "epoch", "2026-02-30", "2026-01-01", "infinity", "10000-01-01 BC"),
    *("00000000-0000-7000-8000-000000000101", "MOVIE", "Anna", "a b", "a&b|!c", "(a", "'", '"', "\\", "%", "*", "_", "é", "\U0001f600"),
    *("{}", "{a,b}", '{"a":1}', "{1,2}", "{{1},{2}}", "[]", "[1,2)", "(,)", "empty", "[2,1]", '[{"a":[1]}]', "{", "}", "[", "x" * 300),
    *("^(a+)+$", "a{1000}", "[[:alpha:]]", "(?i)x", "\\m", "a" * 70, "P1D", "1:2:3", "::1", "$1", "--", "/*", ";"),
)  # fmt: skip
PATHS = ("->a", "->>a", "->0", "->-1", "->a->b->>0", '->"x y"', "->>0->a", "->")


class Generator:
    """Draws from the grammar, and now and then spoils what it drew."""

    def __init__(self, seed: int, schema: Schema) -> None:
        self.random = random.Random(seed)
        self.tables = [table for table in schema.tables.values() if "read" in table.policy.verbs]
        self.names = [table.name for table in self.tables]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def question(self) -> str:
        """A path with its query."""
        table = self.random.choice(self.tables)
        pairs = [self.filter(table) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        if self.chance(0.3):
            pairs.append(("select", self.select(table, 0)))
        if self.chance(0.3):
            pairs.append(("order", self.order(table)))
        if self.chance(0.2):
            pairs.append((self.random.choice(("limit", "offset")), self.random.choice(VALUES + ("3",) * 40)))
        if self.chance(0.1):
            pairs.append(("cursor", self.random.choice(("", "", "W10", *VALUES))))
        query = "&".join(f"{quote(key)}={quote(self.spoiled(value))}" for key, value in pairs)
        return f"/{table.name}?{query}"

    def spoiled(self, text: str) -> str:
        if not text or not self.chance(0.04):
            return text
        at = self.random.randrange(len(text))
        return text[:at] + self.random.choice(("", "(", ")", ",", ".", '"', "\0", "{", "not.")) + text[at + 1 :]

    def column(self, table: TableInfo) -> Column:
        return self.random.choice(list(table.columns.values()))

    def field(self, table: TableInfo) -> tuple[str, Column]:
        column = self.column(table)
        path = self.random.choice(PATHS) if self.chance(0.5 if "json" in column.type else 0.01) else ""
        name = f'"{column.name.replace(chr(34), chr(92) + chr(34))}"' if not column.name.isidentifier() else column.name
        return name + path, column

    def filter(self, table: TableInfo) -> tuple[str, str]:
        if self.chance(0.2):
            negation = "not." if self.chance(0.2) else ""
            return negation + self.random.choice(("and", "or")), self.logic(table, 0)
        name, column = self.field(table)
        return name, self.condition(column, quoted=False)

    def logic(self, table: TableInfo, depth: int) -> str:
        members = []
        for _ in range(self.random.randint(1, 3)):
            if depth < 5 and self.chance(0.2):
                members.append(self.random.choice(("and", "or", "not.and", "not.or")) + self.logic(table, depth + 1))
            else:
                name, column = self.field(table)
                members.append(f"{name}.{self.condition(column, quoted=True)}")
        return f"({','.join(members)})"

    def condition(self, column: Column, *, quoted: bool) -> str:
        operator = self.random.choice(sorted(OPERATORS))
        negation = "not." if self.chance(0.2) else ""
        if operator == "is":
            return f"{negation}is.{self.random.choice([*IS_VALUES, 'maybe'])}"
        if operator == "in":
            values = (self.value(column, quoted=True) for _ in range(self.random.randint(0, 4)))
            return f"{negation}in.({','.join(values)})"
        if operator in SEARCHES and self.chance(0.4):
            operator += self.random.choice(("(english)", "(simple)", "(klingon)"))
        elif operator in QUANTIFIABLE and self.chance(0.15):
            return f"{negation}{operator}({self.random.choice(('any', 'all'))}).{{{self.random.choice(VALUES)}}}"
        return f"{negation}{operator}.{self.value(column, quoted=quoted)}"

    def value(self, column: Column, *, quoted: bool) -> str:
        value = self.random.choice(column.labels) if column.labels and self.chance(0.7) else self.random.choice(VALUES)
        return f'"{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"' if quoted else value

    def select(self, table: TableInfo, depth: int) -> str:
        items = []
        for number in range(self.random.randint(1, 3)):
            if depth < 3 and self.chance(0.3):
                hint = self.random.choice(("", "", "", "!inner", "!left", "!nope"))
                spread = "..." if self.chance(0.1) else f"e{number}:" if self.chance(0.5) else ""
                target = self.random.choice(self.names)
                inner = next(table for table in self.tables if table.name == target)
                items.append(f"{spread}{target}{hint}({self.select(inner, depth + 1)})")
            elif self.chance(0.1):
                items.append(self.random.choice(("*", "count()", "count", "id.sum()", "")))
            else:
                cast = f"::{self.random.choice(sorted(CASTS))}" if self.chance(0.2) else ""
                items.append(f"a{number}:{self.field(table)[0]}{cast}")
        return ",".join(items)

    def order(self, table: TableInfo) -> str:
        words = ("", ".asc", ".desc", ".desc.nullslast", ".nullsfirst", ".up")
        return ",".join(self.field(table)[0] + self.random.choice(words) for _ in range(self.random.randint(1, 3)))

    def body(self, table: TableInfo) -> object:
        """One row or several, of open columns and now and then of others."""
        names = sorted(table.policy.insertable | table.policy.updatable)
        if self.chance(0.1):
            names = sorted(table.columns)
        taken = self.random.sample(names, self.random.randint(0, min(4, len(names))))
        rows = [
            {name: self.json(table.columns[name], 0) for name in taken} for _ in range(self.random.choice((1, 1, 2)))
        ]
        return rows[0] if len(rows) == 1 else rows

    def json(self, column: Column, depth: int) -> object:
        if column.labels and self.chance(0.5):
            return self.random.choice(column.labels)
        kind = self.random.randrange(8 if depth < 3 else 6)
        if kind < 3:
            return self.random.choice(VALUES)
        if kind < 6:
            return self.random.choice((None, True, 0, -1, 7, 1.5, 2**53, -(2**63), 1e300, "a\0b"))
        if kind == 6:
            return [self.json(column, depth + 1) for _ in range(self.random.randint(0, 3))]
        return {self.random.choice(("a", "b", "", "é")): self.json(column, depth + 1)}


SIZES = pytest.mark.parametrize("size", [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(7200)])])


@SIZES
async def test_no_question_is_ever_an_error_of_ours(shop: Shop, size: int) -> None:
    generator = Generator(size, await shop.source.current())
    statuses: Counter[int] = Counter()
    for number in range(size):
        shop.viewer = (GUEST, MARA, STAFF, service())[number % 4]
        statuses[await _asked(shop, generator.question)] += 1
    # How many of each depends on the tables there are; none of one kind would mean that nothing is tried.
    assert statuses[200] > size / 50
    assert statuses[400] > size / 50


async def _asked(shop: Shop, draw: Callable[[], str]) -> int:
    path = draw()
    return await _settled(lambda: shop.get(path), path)


async def _settled(send: Callable[[], Awaitable[ClientResponse]], what: object) -> int:
    """The status of an answer that is none of ours to be sorry for; a machine too busy to answer in time is asked again."""

    async def answered() -> tuple[int, bytes] | None:
        response = await send()
        found = response.status, await response.read()
        return None if found[0] in (503, 504) else found

    status, body = await until(answered, 60, str(what))
    assert status < 500, (what, body)
    assert b"syntax error at or near" not in body, (what, body)
    return status


@SIZES
async def test_no_body_is_ever_an_error_of_ours(own_shop: Shop, size: int) -> None:
    shop = own_shop
    shop.viewer = STAFF
    shop.face._may_roll_back = True
    schema = await shop.source.current()
    generator = Generator(size, schema)
    tables = [table for table in schema.tables.values() if table.policy.verbs & {"insert", "update"}]
    statuses: Counter[int] = Counter()
    for number in range(size // 4):
        table = tables[number % len(tables)]
        body = generator.body(table)
        method = generator.random.choice(("POST", "POST", "PATCH", "PUT"))
        key, value = generator.filter(table)
        query = f"?{quote(key)}={quote(value)}" if method != "POST" else generator.random.choice(("", "?select=*"))
        prefer = "tx=rollback,return=" + generator.random.choice(("minimal", "representation", "headers-only"))
        prefer += generator.random.choice(("", ",missing=default", ",resolution=merge-duplicates"))
        path, data = f"/{table.name}{query}", orjson.dumps(body)
        send = partial(shop.send, method, path, data=data, Content_Type="application/json", Prefer=prefer)
        statuses[await _settled(send, (method, path, body))] += 1
    assert statuses[400] > 0
    assert statuses[201] + statuses[200] + statuses[204] > 0
