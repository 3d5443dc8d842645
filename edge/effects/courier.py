"""The courier: takes items in hand under leases, delivers them, writes down what became of them. Any number may run, on any machines.

It is woken by NOTIFY when a transaction with effects commits, and looks by itself every POLL_S for what is due again or was
missed. What is delivered and what is sent is the lines' business (edge/effects/line.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog

from core.database import Database, DatabaseDown
from core.errors import Refusal
from core.viewer import COURIER
from edge.effects.figures import DELIVERIES, GIVEN_UP, OLDEST, WAITING
from edge.effects.line import HANDLER_S, LEASE_S, Again, Dead, Done, Item, Line, Outcome, settle
from edge.effects.together import Together

log = structlog.get_logger(__name__)

CHANNEL = "penstock_effects"
POLL_S = 2.0
HOUSE_S = 30.0
SWEEP_ROWS = 5_000
MOST_SETTLED = 256

Settled = tuple[Item, Done | Dead | tuple[Again, float]]


class Courier:
    """Works on `lines` of one database until told to stop."""

    def __init__(self, database: Database, lines: Sequence[Line]) -> None:
        self._database = database
        self._lines = lines
        self._stopping = asyncio.Event()
        self._woken = [asyncio.Event() for _ in lines]
        self._ledgers = {line.name: Together(partial(self._settle, line), MOST_SETTLED) for line in lines}

    def stop(self) -> None:
        """Takes nothing more in hand; what is in hand is finished first."""
        self._stopping.set()
        self._wake()

    def _wake(self, *_: object) -> None:
        for event in self._woken:
            event.set()

    async def run(self) -> None:
        """Until `stop`; survives the absence of the database."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._database.listen(CHANNEL, self._wake, self._wake, self._stopping))
            group.create_task(self._keep_house())
            for line, woken in zip(self._lines, self._woken, strict=True):
                group.create_task(self._work(line, woken))

    async def _work(self, line: Line, woken: asyncio.Event) -> None:
        in_hand: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            woken.clear()
            places = line.at_once - len(in_hand)
            try:
                claimed = await self._claim(line, places) if places else []
            except (DatabaseDown, Refusal) as error:
                log.warning("deliverer_waits", line=line.name, error=str(error))
                claimed = []
            for item in claimed:
                task = asyncio.create_task(self._follow(line, item))
                in_hand.add(task)
                task.add_done_callback(in_hand.discard)
                task.add_done_callback(lambda _: woken.set())
            if not claimed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await woken.wait()
        await asyncio.gather(*in_hand)

    async def _claim(self, line: Line, places: int) -> list[Item]:
        async with self._database.transaction(COURIER) as tx:
            rows = await tx.many(line.sql["claim"], places, LEASE_S, *line.part, *line.claim_args)
        return [Item.of(row) for row in rows]

    async def _follow(self, line: Line, item: Item) -> None:
        """Delivers an item and what waited behind it, one after another."""
        following: Item | None = item
        try:
            while following is not None:
                item = following
                following = await self._deliver(line, item)
        except (DatabaseDown, Refusal) as error:
            # What is in hand is taken again when its lease has lapsed.
            log.warning("delivery_unsettled", line=line.name, seq=item.seq, error=str(error))
        except Exception as error:
            log.error("delivery_unsettled", line=line.name, seq=item.seq, error=type(error).__name__)

    async def _deliver(self, line: Line, item: Item) -> Item | None:
        """One attempt; what follows the item of its subject, if that is its turn and we go on."""
        outcome: Outcome
        try:
            async with asyncio.timeout(HANDLER_S):
                outcome = await line.deliver(item)
        except DatabaseDown:
            raise
        except TimeoutError:
            outcome = Again(f"took longer than {HANDLER_S} s")
        except Refusal as refusal:
            outcome = Again(str(refusal))
        except Exception as error:
            # Only its kind: its text may hold what is being delivered.
            log.error("delivery_failed", line=line.name, seq=item.seq, error=type(error).__name__)
            outcome = Again(f"a fault of ours ({type(error).__name__})")
        return await self._write_down(line, item, outcome)

    async def _write_down(self, line: Line, item: Item, outcome: Outcome) -> Item | None:
        """Says what became of it; again while the lease holds, since what is not written down is delivered twice."""
        settled = settle(outcome, item.attempts, line.schedule, random.random())  # noqa: S311 - jitter
        tries_left = int(LEASE_S - HANDLER_S)
        while True:
            tries_left -= 1
            try:
                following = await self._ledgers[line.name].ask((item, settled))
                break
            except (DatabaseDown, Refusal):
                if tries_left <= 0:
                    raise
            await asyncio.sleep(1)
        if isinstance(settled, Dead):
            log.error("delivery_given_up", line=line.name, seq=item.seq, attempts=item.attempts, why=settled.why)
        kind = "done" if isinstance(settled, Done) else "dead" if isinstance(settled, Dead) else "again"
        DELIVERIES.labels(line.name, kind).inc()
        return following

    async def _settle(self, line: Line, settled: Sequence[Settled]) -> Sequence[Item | None]:
        """Writes down what became of many, and takes in hand what follows each of them: one transaction."""
        # In one order, so that two who were both overtaken cannot wait for each other.
        in_order = sorted(settled, key=lambda one: one[0].seq)
        done = [(item.seq, item.attempts, said.outcome) for item, said in in_order if isinstance(said, Done)]
        dead = [(item.seq, item.attempts, said.why) for item, said in in_order if isinstance(said, Dead)]
        again = [(item.seq, item.attempts, said[0].why, said[1]) for item, said in in_order if isinstance(said, tuple)]
        following: dict[int, Item] = {}
        async with self._database.transaction(COURIER) as tx:
            for name, rows in (("done", done), ("give_up", dead), ("later", again)):
                if rows:
                    await tx.run(line.sql[name], *map(list, zip(*rows, strict=True)))
            if not self._stopping.is_set():
                ended = [item.seq for item, _ in in_order]
                for row in await tx.many(line.sql["claim_next"], ended, LEASE_S, *line.part):
                    following[row["after"]] = Item.of(row)
        # What follows may be of another part of the queue.
        for other, woken in zip(self._lines, self._woken, strict=True):
            if other is not line and other.sql is line.sql:
                woken.set()
        return [following.get(item.seq) for item, _ in settled]

    async def _keep_house(self) -> None:
        """Figures for a monitor, and the sweeping out of what is long over."""
        while not self._stopping.is_set():
            for line in self._lines:
                with suppress(DatabaseDown, Refusal):
                    async with self._database.transaction(COURIER) as tx:
                        figures = await tx.one(line.sql["figures"], *line.part)
                        await tx.run(line.sql["sweep"], SWEEP_ROWS)
                    assert figures is not None
                    WAITING.labels(line.name).set(figures["waiting"])
                    GIVEN_UP.labels(line.name).set(figures["given_up"])
                    OLDEST.labels(line.name).set(figures["oldest_s"])
            with suppress(TimeoutError):
                async with asyncio.timeout(HOUSE_S):
                    await self._stopping.wait()
