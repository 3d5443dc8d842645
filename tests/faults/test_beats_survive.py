"""kill -9 under a load of heartbeats: whatever was answered 204 is in the database in the end, once."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from core.database import DatabaseDown
from tests.e2e.beats import beat
from tests.faults.conftest import CLIP_S, Box
from tests.inside import inside
from tests.waiting import until
from tests.web import Person

pytestmark = [pytest.mark.timeout(600)]

PEOPLE = 6
SETTLED_S = 90
"""A dead drain's entries are taken over after 30 s idle, looked for every 10 s."""

VICTIMS = {
    "edge": ("-m edge serve",),
    "drain": ("-m edge drain",),
    "valkey": ("valkey-server",),
    "postgres": ("/bin/postgres -D",),
}


@dataclass
class Journal:
    """What one client was told: every beat that was answered 204."""

    user_id: str
    session_id: str
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    tries: int = 0


async def keep_beating(person: Person, grant: dict[str, Any], journal: Journal, stop: asyncio.Event) -> None:
    """One beat after another, each sent again until it is taken: what the pages do."""
    headers = {"Authorization": f"Bearer {grant['token']}", "Content-Type": "application/json"}
    for seq in itertools.count():
        # Always forwards, in steps of a millisecond: the last one says how far it came.
        current = beat(grant, round(min(seq / 1000, CLIP_S), 3), seq, watched_s=0.001)
        while True:
            if stop.is_set():
                return
            journal.tries += 1
            try:
                async with person.http.post(
                    f"{person.url}/progress", data=json.dumps(current), headers=headers
                ) as answer:
                    if answer.status == 204:
                        journal.acknowledged.append(current)
                        break
                    assert answer.status == 503, (answer.status, await answer.text())
                    assert answer.headers["Retry-After"]
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                pass
            await asyncio.sleep(0.02)


async def storm(box: Box, victims: Sequence[str], *, kills: int) -> list[Journal]:
    """Beats from several people while processes are killed, one after another; what each was told."""
    await box.ready()
    stop = asyncio.Event()
    journals: list[Journal] = []
    async with AsyncExitStack() as stack:
        tasks = []
        for _ in range(PEOPLE):
            person = await stack.enter_async_context(box.newcomer())
            grant = await person.play(box.content_id)
            journals.append(Journal(str(person.user_id), grant["session_id"]))
            tasks.append(asyncio.create_task(keep_beating(person, grant, journals[-1], stop)))
        for number in range(kills):
            await taken(journals, more=60)
            name = victims[number % len(victims)]
            prey = await until(lambda name=name: box.penstock.named(*VICTIMS[name]), 30, f"a running {name}")
            prey[number % len(prey) if name == "edge" else 0].kill()
            await taken(journals, more=60)
        stop.set()
        await asyncio.gather(*tasks)
    return journals


async def taken(journals: list[Journal], *, more: int) -> None:
    """Waits until that many more beats were acknowledged: the load goes on through the fault."""
    goal = sum(len(journal.acknowledged) for journal in journals) + more
    await until(lambda: sum(len(journal.acknowledged) for journal in journals) >= goal, 60, f"{more} more beats")


async def assert_nothing_lost(box: Box, journals: list[Journal]) -> None:
    """Every acknowledged beat has had its effect; none has had it twice."""

    async def missing() -> int:
        sent = [UUID(one["event_id"]) for journal in journals for one in journal.acknowledged]
        async with inside(box.database_url) as tx:
            found = await tx.connection.fetchval(
                "SELECT count(*) FROM beat_ledger WHERE event_id = ANY ($1::uuid[])", sent
            )
        return len(sent) - int(found)

    async def settled() -> bool:
        try:
            return await missing() == 0
        except DatabaseDown:
            return False

    began = time.monotonic()
    try:
        await until(settled, SETTLED_S, "every acknowledged beat in the ledger")
    except AssertionError:
        raise AssertionError(
            f"{await missing()} acknowledged beats lost after {time.monotonic() - began:.0f} s"
        ) from None
    async with inside(box.database_url) as tx:
        for journal in journals:
            last = journal.acknowledged[-1]
            row = await tx.connection.fetchrow(
                "SELECT position_ms, seq FROM watch_progress WHERE user_id = $1::uuid AND content_id = $2::uuid",
                journal.user_id,
                box.content_id,
            )
            # One more than the last acknowledged may have been stored before its answer was lost.
            assert last["seq"] <= row["seq"] <= last["seq"] + 1, (last["seq"], row["seq"])
            assert row["position_ms"] >= round(last["position_s"] * 1000)
            watched_ms = await tx.connection.fetchval(
                "SELECT watched_ms FROM playback_sessions WHERE id = $1::uuid", journal.session_id
            )
            assert len(journal.acknowledged) <= watched_ms <= len(journal.acknowledged) + 1, "counted once each"


@pytest.mark.parametrize("victim", sorted(VICTIMS))
async def test_no_acknowledged_beat_is_lost(box: Box, victim: str) -> None:
    journals = await storm(box, [victim], kills=3 if victim == "edge" else 1)
    assert all(journal.acknowledged for journal in journals)
    await assert_nothing_lost(box, journals)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_no_acknowledged_beat_is_lost_in_a_storm(box: Box) -> None:
    journals = await storm(box, ["edge", "valkey", "drain", "edge", "postgres"], kills=40)
    await assert_nothing_lost(box, journals)
