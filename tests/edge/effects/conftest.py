"""A courier over the test's own database, with lines of the test's choosing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from core.database import Database, Row
from core.domain.commands import emit
from core.domain.sealing import Sealer
from core.keys import Key, KeyRing
from core.viewer import COURIER, Viewer, service
from edge.effects.courier import Courier
from edge.effects.line import Line
from tests.waiting import until

SEALER = Sealer(KeyRing((Key("s1", b"s" * 48),)))
PATIENCE_S = 60


def clock() -> datetime:
    return datetime.now(UTC)


async def effect(database: Database, topic: str, subject: str, payload: object, viewer: Viewer | None = None) -> None:
    """Emits one effect in a transaction of its own."""
    async with database.transaction(viewer or service()) as tx:
        await emit(tx, topic, subject, payload)


async def ask(database: Database, sql: str, *args: Any, viewer: Viewer = COURIER) -> list[Row]:
    """Rows, as the courier sees them."""
    async with database.transaction(viewer) as tx:
        return list(await tx.connection.fetch(sql, *args))


async def settled(database: Database, count: int, table: str = "outbox") -> list[Row]:
    """All rows of the queue, once so many have ended."""

    async def ended() -> list[Row] | None:
        rows = await ask(database, f"SELECT * FROM {table} ORDER BY seq")
        return rows if sum(1 for row in rows if row["delivered_at"] or row["given_up_at"]) >= count else None

    found = await until(ended, PATIENCE_S, f"{count} rows of {table} ended")
    assert found is not None
    return found


@asynccontextmanager
async def couriers(database: Database, lines: Sequence[Line], count: int = 1) -> AsyncIterator[list[Courier]]:
    """So many couriers at work on the lines, told to stop at the end of the block."""
    working = [Courier(database, lines) for _ in range(count)]
    tasks = [asyncio.create_task(courier.run()) for courier in working]
    try:
        yield working
    finally:
        for courier in working:
            courier.stop()
        await asyncio.gather(*tasks)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for what is due ten times a second, and lets nothing time out: a machine that stands still must not fail a delivery."""
    monkeypatch.setattr("edge.effects.courier.POLL_S", 0.1)
    monkeypatch.setattr("edge.effects.courier.LEASE_S", 3600)
    monkeypatch.setattr("edge.effects.courier.HANDLER_S", 1800)
    monkeypatch.setattr("edge.effects.webhook_line.TIMEOUT_S", 900)
    monkeypatch.setattr("edge.effects.webhook_line.CONNECT_S", 900)
    monkeypatch.setattr("edge.effects.post.TIMEOUT_S", 900)
