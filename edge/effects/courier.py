"""The courier: takes items in hand under leases, delivers them, writes down what became of them. Any number may run, on any machines.

It is woken by NOTIFY when a transaction with effects commits, and looks by itself every POLL_S for what is due again or was
missed. What is delivered and what is sent is the lines' business (edge/effects/line.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import structlog

from core.database import Database, DatabaseDown
from core.errors import Refusal
from core.viewer import COURIER
from edge.effects.figures import DELIVERIES, GIVEN_UP, OLDEST, WAITING
from edge.effects.line import HANDLER_S, LEASE_S, Again, Dead, Done, Item, Line, Outcome, settle

log = structlog.get_logger(__name__)

CHANNEL = "penstock_effects"
POLL_S = 2.0
HOUSE_S = 30.0
SWEEP_ROWS = 5_000


class Courier:
    """Works on `lines` of one database until told to stop."""

    def __init__(self, database: Database, lines: Sequence[Line]) -> None:
        self._database = database
        self._lines = lines
        self._stopping = asyncio.Event()
        self._woken = [asyncio.Event() for _ in lines]

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
            rows = await tx.many(line.sql["claim"], places, LEASE_S, *line.claim_args)
        return [Item.of(row) for row in rows]

    async def _follow(self, line: Line, item: Item) -> None:
        """Delivers an item and what waited behind it, one after another."""
        try:
            while True:
                await self._deliver(line, item)
                if self._stopping.is_set():
                    return
                async with self._database.transaction(COURIER) as tx:
                    row = await tx.one(line.sql["claim_next"], item.seq, LEASE_S)
                if row is None:
                    return
                item = Item.of(row)
        except (DatabaseDown, Refusal) as error:
            # What is in hand is taken again when its lease has lapsed.
            log.warning("delivery_unsettled", line=line.name, seq=item.seq, error=str(error))
        except Exception as error:
            log.error("delivery_unsettled", line=line.name, seq=item.seq, error=type(error).__name__)

    async def _deliver(self, line: Line, item: Item) -> None:
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
        await self._write_down(line, item, outcome)

    async def _write_down(self, line: Line, item: Item, outcome: Outcome) -> None:
        """Says what became of it; again while the lease holds, since what is not written down is delivered twice."""
        for tries_left in reversed(range(int(LEASE_S - HANDLER_S))):
            try:
                await self._note(line, item, outcome)
                return
            except (DatabaseDown, Refusal):
                if not tries_left:
                    raise
            await asyncio.sleep(1)

    async def _note(self, line: Line, item: Item, outcome: Outcome) -> None:
        async with self._database.transaction(COURIER) as tx:
            match settle(outcome, item.attempts, line.schedule, random.random()):  # noqa: S311 - jitter
                case Done(said):
                    kind = "done"
                    await tx.run(line.sql["done"], item.seq, item.attempts, said)
                case Dead(why):
                    kind = "dead"
                    await tx.run(line.sql["give_up"], item.seq, item.attempts, why)
                    log.error("delivery_given_up", line=line.name, seq=item.seq, attempts=item.attempts, why=why)
                case (Again(why), delay_s):
                    kind = "again"
                    await tx.run(line.sql["later"], item.seq, item.attempts, why, delay_s)
        DELIVERIES.labels(line.name, kind).inc()

    async def _keep_house(self) -> None:
        """Figures for a monitor, and the sweeping out of what is long over."""
        while not self._stopping.is_set():
            for line in self._lines:
                with suppress(DatabaseDown, Refusal):
                    async with self._database.transaction(COURIER) as tx:
                        figures = await tx.one(line.sql["figures"])
                        await tx.run(line.sql["sweep"], SWEEP_ROWS)
                    assert figures is not None
                    WAITING.labels(line.name).set(figures["waiting"])
                    GIVEN_UP.labels(line.name).set(figures["given_up"])
                    OLDEST.labels(line.name).set(figures["oldest_s"])
            with suppress(TimeoutError):
                async with asyncio.timeout(HOUSE_S):
                    await self._stopping.wait()
