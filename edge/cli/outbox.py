"""`penstock outbox`: effects and webhook deliveries that have not left yet, to be read, tried again or thrown away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson

from core.database import Database, Row
from core.queries import load
from core.viewer import COURIER
from edge.cli.pile import Entry, Kind, Pile, Verb, reach

SQL = load("edge.cli", "outbox.sql")
LISTED = 200
ACTS = {
    ("again", "effect"): SQL["effect_retry"],
    ("again", "delivery"): SQL["delivery_retry"],
    ("drop", "effect"): SQL["effect_drop"],
    ("drop", "delivery"): SQL["delivery_drop"],
}
ONE = {"effect": SQL["effect_one"], "delivery": SQL["delivery_one"]}
_NAME = re.compile(r"(effect|delivery)/(\d{1,18})", re.ASCII)


class _Undelivered:
    """Effects and deliveries as a pile."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self) -> AsyncIterator[Entry]:
        async with self._database.transaction(COURIER) as tx:
            rows = await tx.many(SQL["listed"], LISTED)
        for row in rows:
            name, state = f"{row['queue']}/{row['seq']}", _state(row)
            cells = (name, row["what"], str(row["subject"]), str(row["attempts"]), state, row["last_error"] or "")
            yield Entry({"name": name, "state": state, **_facts(row, "queue", "seq")}, cells)

    async def one(self, name: str) -> Mapping[str, object] | None:
        if (where := _where(name)) is None:
            return None
        async with self._database.transaction(COURIER) as tx:
            row = await tx.one(ONE[where[0]], where[1])
        if row is None:
            return None
        facts = {"name": name, "state": _state(row), **_facts(row, "seq")}
        return facts | {column: orjson.loads(row[column]) for column in ("payload", "data") if column in facts}

    async def names(self) -> list[str]:
        async with self._database.transaction(COURIER) as tx:
            return [f"{row['queue']}/{row['seq']}" for row in await tx.many(SQL["given_up"])]

    async def act(self, verb: Verb, name: str) -> bool:
        if (where := _where(name)) is None:
            return False
        async with self._database.transaction(COURIER) as tx:
            return bool(await tx.value(ACTS[verb, where[0]], where[1]))


@asynccontextmanager
async def _opened(data: Path | None) -> AsyncIterator[Pile]:
    _, url = reach(data, "PENSTOCK_DATABASE_URL", lambda settings: settings.database_url)
    database = await Database.connect(url, name="outbox", max_size=1)
    try:
        yield _Undelivered(database)
    finally:
        await database.close()


def _where(name: str) -> tuple[str, int] | None:
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def _state(row: Row) -> str:
    now = datetime.now(UTC)
    if row["given_up_at"] is not None:
        return "given up"
    if row.get("delivered_at") is not None:
        return "delivered"
    if row["lease_until"] is not None and row["lease_until"] > now:
        return "in hand"
    wait_s = round((row["next_attempt_at"] - now).total_seconds())
    return f"again in {wait_s} s" if wait_s > 0 else "waiting"


def _facts(row: Row, *without: str) -> dict[str, object]:
    return {name: _fact(value) for name, value in row.items() if name not in without}


def _fact(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int | bool | None) else str(value)


UNDELIVERED = Kind(
    command="outbox",
    open=_opened,
    headings=("name", "what", "subject", "tries", "state", "last error"),
    numbers=frozenset({"tries"}),
    nothing="Everything is delivered.",
    choice="needs names, or --all for those given up",
    done=lambda verb, count: f"{'Dropped' if verb == 'drop' else 'Trying again'}: {count}.",
    absent="Not there, delivered, or in hand: {}.".format,
)
