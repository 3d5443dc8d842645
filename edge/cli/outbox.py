"""`penstock outbox`: effects and webhook deliveries that have not left yet, to be read, tried again or thrown away."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.database import Database, Row
from core.queries import load
from core.viewer import COURIER
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings

SQL = load("edge.cli", "outbox.sql")
LISTED = 200
ACTS = {
    ("retry", "effect"): SQL["effect_retry"],
    ("retry", "delivery"): SQL["delivery_retry"],
    ("drop", "effect"): SQL["effect_drop"],
    ("drop", "delivery"): SQL["delivery_drop"],
}
ONE = {"effect": SQL["effect_one"], "delivery": SQL["delivery_one"]}
_NAME = re.compile(r"(effect|delivery)/(\d{1,18})", re.ASCII)

Verb = Literal["retry", "drop"]


def run_list(*, data: Path | None, as_json: bool) -> int:
    """Prints what is not delivered: name, subject, tries, state, the last error."""
    return asyncio.run(_list(data, as_json))


def run_show(name: str, *, data: Path | None) -> int:
    """Prints one as JSON; 1 when there is none."""
    return asyncio.run(_show(name, data))


def run_each(verb: Verb, names: list[str], *, every: bool, data: Path | None) -> int:
    """Tries again, or drops, the named ones, or with `every` all that were given up; 1 when one of them cannot be."""
    return asyncio.run(_each(verb, names, every, data))


@asynccontextmanager
async def _opened(data: Path | None) -> AsyncIterator[Database]:
    settings = settings_for(port=None, data=data)
    running = running_settings(settings)
    if running is None or running.database_url is None:
        raise ServiceFault(
            "Penstock",
            f"is not running on {settings.data}",
            "Start it with `./penstock up`, name its folder with --data, or set PENSTOCK_DATABASE_URL.",
        )
    database = await Database.connect(running.database_url, name="outbox", max_size=1)
    try:
        yield database
    finally:
        await database.close()


async def _list(data: Path | None, as_json: bool) -> int:
    async with _opened(data) as database, database.transaction(COURIER) as tx:
        rows = await tx.many(SQL["listed"], LISTED)
    if as_json:
        for row in rows:
            print(
                json.dumps(
                    {"name": f"{row['queue']}/{row['seq']}", "state": _state(row), **_facts(row, "queue", "seq")}
                )
            )
        return 0
    if not rows:
        Console().print("Everything is delivered.")
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "what", "subject", "tries", "state", "last error"):
        table.add_column(heading, justify="right" if heading == "tries" else "left", overflow="fold")
    for row in rows:
        cells = (
            f"{row['queue']}/{row['seq']}",
            row["what"],
            row["subject"],
            row["attempts"],
            _state(row),
            row["last_error"] or "",
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    Console().print(table)
    return 0


async def _show(name: str, data: Path | None) -> int:
    where = _where(name)
    row: Row | None = None
    if where is not None:
        async with _opened(data) as database, database.transaction(COURIER) as tx:
            row = await tx.one(ONE[where[0]], where[1])
    if row is None:
        return _missing([name])
    facts = {"name": name, "state": _state(row), **_facts(row, "seq")}
    for column in ("payload", "data"):
        if column in facts:
            facts[column] = orjson.loads(row[column])
    print(json.dumps(facts, indent=2))
    return 0


async def _each(verb: Verb, names: list[str], every: bool, data: Path | None) -> int:
    if bool(names) == every:
        raise ServiceFault("outbox", "needs names, or --all for those given up", "`penstock outbox` lists them.")
    missing = []
    async with _opened(data) as database:
        if every:
            async with database.transaction(COURIER) as tx:
                names = [f"{row['queue']}/{row['seq']}" for row in await tx.many(SQL["given_up"])]
        for name in names:
            where = _where(name)
            done = False
            if where is not None:
                async with database.transaction(COURIER) as tx:
                    done = bool(await tx.value(ACTS[verb, where[0]], where[1]))
            if not done:
                missing.append(name)
    acted = len(names) - len(missing)
    Console().print(f"{'Dropped' if verb == 'drop' else 'Trying again'}: {acted}.")
    return _missing(missing) if missing and not every else 0


def _where(name: str) -> tuple[str, int] | None:
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def _missing(names: list[str]) -> int:
    console = Console(stderr=True)
    console.print(f"Not there, delivered, or in hand: {', '.join(names)}.", markup=False, highlight=False)
    return 1


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
    return {
        name: value
        if isinstance(value, int | bool | None)
        else value.isoformat()
        if isinstance(value, datetime)
        else str(value)
        for name, value in row.items()
        if name not in without
    }
