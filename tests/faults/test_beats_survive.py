"""kill -9 under a load of heartbeats: whatever was answered 204 is in the database in the end, once."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from core.database import DatabaseDown
from edge.progress.partitions import stream_key
from edge.progress.stream import partitions_in_use
from edge.redis_client import RedisError, connect
from tests.e2e.beats import beat
from tests.edge.progress.taken import TAKEN
from tests.faults.conftest import CLIP_S, Box
from tests.inside import inside
from tests.waiting import until
from tests.web import Person

pytestmark = [pytest.mark.timeout(1200)]

PEOPLE = 6
SPREAD_S = 60
SETTLED_S = 300
"""A dead drain's entries are taken over after 8 s; the rest is what a busy machine needs for the backlog."""

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


async def keep_beating(
    person: Person, grant: dict[str, Any], journal: Journal, stop: asyncio.Event, size: int = 1
) -> None:
    """One post of `size` beats after another, each sent again until it is taken: what the pages do."""
    headers = {"Authorization": f"Bearer {grant['token']}", "Content-Type": "application/json"}
    for first in itertools.count(0, size):
        # Always forwards, in steps of a millisecond: the last one says how far it came.
        current = [
            beat(grant, round(min(seq / 1000, CLIP_S), 3), seq, watched_s=0.001) for seq in range(first, first + size)
        ]
        while True:
            if stop.is_set():
                return
            journal.tries += 1
            try:
                async with person.http.post(
                    f"{person.url}/progress", data=json.dumps(current), headers=headers
                ) as answer:
                    if answer.status == 204:
                        journal.acknowledged += current
                        break
                    assert answer.status == 503, (answer.status, await answer.text())
                    assert answer.headers["Retry-After"]
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                pass
            await asyncio.sleep(0.02)


async def storm(box: Box, victims: Sequence[str], *, kills: int, size: int = 1, between: int = 60) -> list[Journal]:
    """Beats from several people while processes are killed, one after another; what each was told."""
    await box.ready()
    stop = asyncio.Event()
    journals: list[Journal] = []
    async with AsyncExitStack() as stack:
        tasks = []
        for _ in range(PEOPLE):
            # After the last storm one of the web processes may be without PostgreSQL for a moment more.
            person = await until(lambda: stack.enter_async_context(box.newcomer()), 180, "somebody who signs up")
            grant = await until(partial(person.play, box.content_id), 180, "a grant")
            journals.append(Journal(str(person.user_id), grant["session_id"]))
            tasks.append(asyncio.create_task(keep_beating(person, grant, journals[-1], stop, size)))
        for number in range(kills):
            # At any moment of whatever is going on: nobody waits for a quiet one.
            await taken(journals, more=random.randint(1, 2 * between))
            name = victims[number % len(victims)]
            prey = await until(lambda name=name: box.penstock.named(*VICTIMS[name]), 180, f"a running {name}")
            prey[number % len(prey) if name == "edge" else 0].kill()
            await taken(journals, more=between)
        stop.set()
        await asyncio.gather(*tasks)
    return journals


async def taken(journals: list[Journal], *, more: int) -> None:
    """Waits until that many more beats were acknowledged: the load goes on through the fault."""
    goal = sum(len(journal.acknowledged) for journal in journals) + more
    await until(lambda: sum(len(journal.acknowledged) for journal in journals) >= goal, 120, f"{more} more beats")


async def missing(box: Box, journals: list[Journal]) -> int:
    """How many acknowledged beats have had no effect."""
    async with inside(box.database_url) as tx:
        await tx.connection.execute("SET LOCAL statement_timeout = 0")
        found = {str(row["event_id"]) for row in await tx.connection.fetch(TAKEN)}
    return sum(one["event_id"] not in found for journal in journals for one in journal.acknowledged)


async def drained(box: Box) -> bool:
    """Whether nothing is left in any part of the stream."""
    redis = connect(box.redis_url)
    try:
        return not any([await redis.xlen(stream_key(part)) for part in range(await partitions_in_use(redis, 1))])
    except (RedisError, OSError):
        return False
    finally:
        await redis.aclose()


async def assert_nothing_lost(box: Box, journals: list[Journal], size: int = 1) -> None:
    """Every acknowledged beat has had its effect; none has had it twice."""

    async def settled() -> bool:
        try:
            return await drained(box) and await missing(box, journals) == 0
        except DatabaseDown:
            return False

    began = time.monotonic()
    try:
        await until(settled, SETTLED_S, "every acknowledged beat in the ledger")
    except AssertionError:
        lost, is_empty = await missing(box, journals), await drained(box)
        raise AssertionError(
            f"{lost} acknowledged beats are missing after {time.monotonic() - began:.0f} s;"
            f" the stream is {'empty: they are lost' if is_empty else 'not drained yet'}"
        ) from None
    sent = sum(len(journal.acknowledged) for journal in journals)
    print(f"{sent:,} acknowledged, all there {time.monotonic() - began:.1f} s after the last death")  # noqa: T201 - a campaign's figure
    async with inside(box.database_url) as tx:
        for journal in journals:
            last = journal.acknowledged[-1]
            row = await tx.connection.fetchrow(
                "SELECT position_ms, seq FROM watch_progress WHERE user_id = $1::uuid AND content_id = $2::uuid",
                journal.user_id,
                box.content_id,
            )
            # One more post than the last acknowledged may have been stored before its answer was lost.
            assert last["seq"] <= row["seq"] <= last["seq"] + size, (last["seq"], row["seq"])
            assert row["position_ms"] >= round(last["position_s"] * 1000)
            watched_ms = await tx.connection.fetchval(
                "SELECT watched_ms FROM playback_sessions WHERE id = $1::uuid", journal.session_id
            )
            assert len(journal.acknowledged) <= watched_ms <= len(journal.acknowledged) + size, "counted once each"


@pytest.mark.parametrize("victim", sorted(VICTIMS))
async def test_no_acknowledged_beat_is_lost(box: Box, victim: str) -> None:
    journals = await storm(box, [victim], kills=3 if victim == "edge" else 1)
    assert all(journal.acknowledged for journal in journals)
    await assert_nothing_lost(box, journals)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("campaign", range(5))
async def test_no_acknowledged_beat_is_lost_in_a_storm(box: Box, campaign: int) -> None:
    """Five times 40 deaths, ten of each victim, under posts of 100: 200 kills and a million beats in all."""
    journals = await storm(box, ["edge", "valkey", "drain", "postgres"], kills=40, size=100, between=3_300)
    await assert_nothing_lost(box, journals, size=100)


@pytest.mark.long
async def test_a_loss_is_noticed(box: Box) -> None:
    """The negative control: a Valkey that writes nothing down loses by its death what nobody has drained."""
    await box.ready()
    async with box.newcomer() as person:
        grant = await person.play(box.content_id)
        journal, stop = Journal(str(person.user_id), grant["session_id"]), asyncio.Event()
        (drain,) = await until(lambda: box.penstock.named(*VICTIMS["drain"]), 180, "a running drain")
        drain.suspend()
        redis = connect(box.redis_url)
        try:
            await redis.config_set("appendonly", "no")
            beating = asyncio.create_task(keep_beating(person, grant, journal, stop, 10))
            await taken([journal], more=500)
            box.penstock.named(*VICTIMS["valkey"])[0].kill()
            stop.set()
            await beating
            await box.ready()
        finally:
            drain.resume()
            await redis.aclose()
        await until(lambda: drained(box), SETTLED_S, "an empty stream")
        assert await missing(box, [journal]) > 0


@pytest.mark.long
@pytest.mark.parametrize("is_same", [True, False], ids=["the same", "negative control"])
async def test_beats_sent_five_times_over_a_minute_in_any_order_count_once(box: Box, is_same: bool) -> None:
    """3,000 beats, each five times, shuffled over 60 s; the control gives every copy an id of its own."""
    await box.ready()
    async with box.newcomer() as person:
        grant = await person.play(box.content_id)
        once = [beat(grant, round(seq / 1000, 3), seq, watched_s=0.001) for seq in range(3_000)]
        copies = [{**one} for one in once for _ in range(5)]
        if not is_same:
            for copy in copies:
                copy["event_id"] = str(uuid4())
        random.shuffle(copies)
        headers = {"Authorization": f"Bearer {grant['token']}", "Content-Type": "application/json"}
        began = time.monotonic()
        for at in range(0, len(copies), 50):
            # The pace is part of what is tried: copies meet the drain in other batches than their first.
            await asyncio.sleep(began + SPREAD_S * at / len(copies) - time.monotonic())
            async with person.http.post(
                f"{person.url}/progress", data=json.dumps(copies[at : at + 50]), headers=headers
            ) as answer:
                assert answer.status == 204, await answer.text()
        await until(lambda: drained(box), SETTLED_S, "an empty stream")
        async with inside(box.database_url) as tx:
            watched_ms = await tx.connection.fetchval(
                "SELECT watched_ms FROM playback_sessions WHERE id = $1::uuid", grant["session_id"]
            )
            rows = await tx.connection.fetchrow(
                "SELECT watched_ms, position_ms FROM watch_progress WHERE user_id = $1::uuid", str(person.user_id)
            )
        assert watched_ms == rows["watched_ms"] == (3_000 if is_same else 15_000)
        assert rows["position_ms"] == 2_999
