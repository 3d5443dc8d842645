"""Moves beats from the stream into PostgreSQL: read, fold, commit, then acknowledge. Runs in as many processes as wanted.

One lane for each part of the stream. An entry is acknowledged only after the commit, so a death in between means it is read
again, and the ledger makes that harmless. What fails for reasons of its own is tried again by itself and goes to the dead
letters after `MAX_TRIALS`; what fails because a server is away waits for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from core.database import Database, DatabaseDown
from core.errors import TIMEOUT, UNAVAILABLE, Refusal
from edge.progress.fold import DEFAULT_RULES, Batch, Rules
from edge.progress.keeper import Keeper
from edge.progress.ledger import Ledger
from edge.progress.stored import StoredBeat, check_ids
from edge.progress.stream import DrainStream, Entry, partitions_in_use
from edge.progress.write import write_batch
from edge.redis_client import Redis, RedisError, ResponseError

log = structlog.get_logger(__name__)

# A transaction of so many beats takes 0.4 s when the machine is free, and each of its statements has 5 s. A backlog of minutes is then
# one batch of a lane: with 64,000 it was two, each person's rows were written twice, and PostgreSQL took 3.4 us a beat instead of 1.8.
MOST_BEATS = 100_000
MOST_ENTRIES = 2_000
FEWEST_ENTRIES = 16
BLOCK_MS = 1000
# One folds, one is at the ledger, one at the rest; each holds some 100 MB while there is such a backlog.
BATCHES_IN_HAND = 3
# A reader that is only slow may be overtaken: the ledger lets one of the two transactions count. A dead one's beats
# should not wait longer than that.
CLAIM_IDLE_MS = 8_000
CLAIM_EVERY_S = 2
MAX_TRIALS = 5
# Handed out more often than this without an end: it may be what ends its readers.
SUSPECT_DELIVERIES = 5
BACK_OFF_S = 0.5
LOOK_FOR_PARTS_S = 10


@dataclass(frozen=True, slots=True)
class Held:
    """An entry and what is in it."""

    entry: Entry
    beats: Sequence[StoredBeat]


class Appetite:
    """How much of a backlog one transaction takes: more beats fold better, and a statement has only so much time."""

    def __init__(self) -> None:
        self.beats = MOST_BEATS
        self._per_entry = 1.0

    @property
    def entries(self) -> int:
        """How many entries to read for one transaction, going by those seen last."""
        return min(MOST_ENTRIES, max(FEWEST_ENTRIES, int(self.beats / self._per_entry)))

    def saw(self, held: Sequence[Held]) -> None:
        """Takes note of how much was in what was read."""
        if held:
            self._per_entry = max(1.0, sum(len(one.beats) for one in held) / len(held))

    def timed_out(self) -> None:
        """Takes a quarter from now on. Else the same batch would be too large for ever."""
        self.beats = max(1, self.beats // 4)

    def went_well(self) -> None:
        """Takes twice as much, up to the most."""
        self.beats = min(MOST_BEATS, self.beats * 2)

    def bite(self, held: Sequence[Held]) -> int:
        """How many of `held` make one transaction: at least one, for an entry cannot be split."""
        beats = 0
        for count, one in enumerate(held):
            beats += len(one.beats)
            if count and beats > self.beats:
                return count
        return len(held)


class Turns:
    """Lanes read as they like; what they read is worked on in turns."""

    def __init__(self) -> None:
        self.in_hand = asyncio.Semaphore(BATCHES_IN_HAND)
        self.fold = asyncio.Lock()
        """One folds at a time: the first is with PostgreSQL sooner than if all were half done."""
        self.ledger = Ledger()


class Lane:
    """One consumer of one part of the stream."""

    def __init__(
        self, database: Database, stream: DrainStream, rules: Rules, stopping: asyncio.Event, turns: Turns
    ) -> None:
        self._database = database
        self._stream = stream
        self._rules = rules
        self._stopping = stopping
        self._turns = turns
        self._unfinished: list[Held] = []
        self._appetite = Appetite()
        self._opened = False
        self._claimed_at = -float("inf")
        self.beats = 0
        self.buried = 0

    async def run(self) -> None:
        """Until told to stop; survives the absence of either server."""
        while not self._stopping.is_set():
            try:
                await self._step()
            except ResponseError as error:
                # NOGROUP: the stream was emptied under us, by a restore or a flush.
                self._opened = False
                log.warning("drain_stream", stream=self._stream.key, error=str(error))
                await pause(self._stopping)
            except (DatabaseDown, RedisError, OSError, TimeoutError) as error:
                log.warning("drain_waits", error=f"{type(error).__name__}: {error}")
                await pause(self._stopping)
        with suppress(RedisError, OSError):
            await self._stream.leave()

    async def _step(self) -> None:
        if not self._opened:
            await self._stream.open()
            self._opened = True
        entries: Sequence[Entry] = ()
        if not self._unfinished:
            count = self._appetite.entries
            entries = await self._claim(count) or await self._stream.read(count, BLOCK_MS)
        if not entries and not self._unfinished:
            return
        async with self._turns.in_hand:
            await self._open(entries)
            while self._unfinished:
                count = self._appetite.bite(self._unfinished)
                await self._settle(self._unfinished[:count])
                del self._unfinished[:count]

    async def _claim(self, count: int) -> list[Entry]:
        """What others have left undone. Not while PostgreSQL is away: entries would only wander between drains."""
        now = time.monotonic()
        if now - self._claimed_at < CLAIM_EVERY_S or self._database.is_away:
            return []
        claimed = await self._stream.claim(count, CLAIM_IDLE_MS)
        if len(claimed) < count:
            self._claimed_at = now
        if not claimed:
            return []
        deliveries = await self._stream.deliveries(claimed)
        return [entry for entry in claimed if not await self._is_given_up(entry, deliveries.get(entry.id, 0))]

    async def _is_given_up(self, entry: Entry, deliveries: int) -> bool:
        """Whether this entry has been handed out so often that it is set aside: counted before it can end us, too."""
        if deliveries <= SUSPECT_DELIVERIES or not await self._database.alive():
            return False
        trials = await self._stream.failed(entry)
        if trials <= MAX_TRIALS:
            return False
        await self._bury(entry, f"handed out {deliveries} times, and nobody came to its end", trials)
        return True

    async def _open(self, entries: Sequence[Entry]) -> None:
        """Reads what is in the entries; what cannot be read is set aside."""
        unreadable: list[tuple[Entry, str]] = []
        async with self._turns.fold:
            for entry in entries:
                try:
                    self._unfinished.append(Held(entry, entry.beats()))
                except (msgspec.DecodeError, msgspec.ValidationError) as error:
                    unreadable.append((entry, _unreadable(error)))
                # Others' answers are looked at: PostgreSQL idled for half the time while whole batches were read and folded.
                await asyncio.sleep(0)
        self._appetite.saw(self._unfinished)
        for entry, reason in unreadable:
            await self._bury(entry, reason, 1)

    async def _settle(self, held: Sequence[Held]) -> None:
        """Commits and acknowledges `held`; a poisonous entry among them is found by halving."""
        try:
            await self._write(held)
        except (DatabaseDown, RedisError, OSError, TimeoutError):
            raise
        except Exception as error:
            if len(held) > 1:
                log.warning("drain_batch_refused", entries=len(held), error=_said(error))
                middle = len(held) // 2
                await self._settle(held[:middle])
                await self._settle(held[middle:])
            elif isinstance(error, msgspec.ValidationError):
                await self._bury(held[0].entry, _unreadable(error), 1)
            else:
                await self._refused(held[0].entry, error)

    async def _refused(self, entry: Entry, error: Exception) -> None:
        """An entry that failed by itself, for reasons of its own, is left for a later claim, until that has been often enough."""
        trials = await self._stream.failed(entry)
        log.warning("drain_entry_refused", entry=entry.id.decode(), trials=trials, error=_said(error))
        if trials >= MAX_TRIALS:
            await self._bury(entry, _said(error), trials)

    async def _write(self, held: Sequence[Held]) -> None:
        batch = await self._fold(held)
        try:
            self.beats += await write_batch(self._database, self._turns.ledger, batch)
        except Refusal as refusal:
            if refusal.code is TIMEOUT:
                self._appetite.timed_out()
                raise DatabaseDown("a batch timed out") from refusal
            if refusal.code is UNAVAILABLE:
                raise DatabaseDown("somebody else was changing the same") from refusal
            raise
        self._appetite.went_well()
        await self._stream.done([one.entry for one in held], batch.positions.values())

    async def _fold(self, held: Sequence[Held]) -> Batch[StoredBeat]:
        batch: Batch[StoredBeat] = Batch(self._rules)
        async with self._turns.fold:
            for one in held:
                batch.add(one.beats)
                await asyncio.sleep(0)
            for _ in batch.fold():
                await asyncio.sleep(0)
            check_ids(batch.named())
        return batch

    async def _bury(self, entry: Entry, reason: str, trials: int) -> None:
        if await self._stream.bury(entry, reason, trials, int(time.time() * 1000)):
            self.buried += 1
            log.error("beat_entry_dead", stream=self._stream.key, entry=entry.id.decode(), reason=reason, trials=trials)


class Drain:
    """A process's lanes, and the keeping of the tables they write."""

    def __init__(
        self,
        database: Database,
        redis: Redis,
        *,
        partitions: int = 1,
        rules: Rules = DEFAULT_RULES,
        keep_months: int = 0,
        errors_keep_days: int = 0,
        sessions_keep_days: int = 0,
    ) -> None:
        self._database = database
        self._redis = redis
        self._partitions = partitions
        self._rules = rules
        self._keeper = Keeper(database, keep_months, errors_keep_days, sessions_keep_days)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._stopping = asyncio.Event()
        self._turns = Turns()
        self.lanes: list[Lane] = []

    @property
    def beats(self) -> int:
        """How many beats were new and have been written."""
        return sum(lane.beats for lane in self.lanes)

    @property
    def buried(self) -> int:
        """How many entries have gone to the dead letters."""
        return sum(lane.buried for lane in self.lanes)

    def stop(self) -> None:
        """Ends after the batches in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keeper.run(self._stopping))
            while not self._stopping.is_set():
                wanted = max(self._partitions, len(self.lanes))
                with suppress(RedisError, OSError, TimeoutError):
                    wanted = max(wanted, await partitions_in_use(self._redis, self._partitions))
                while len(self.lanes) < wanted:
                    stream = DrainStream(self._redis, len(self.lanes), self._name)
                    self.lanes.append(Lane(self._database, stream, self._rules, self._stopping, self._turns))
                    group.create_task(self.lanes[-1].run())
                await pause(self._stopping, LOOK_FOR_PARTS_S)


async def pause(stopping: asyncio.Event, seconds: float | None = None) -> None:
    """Returns after so many seconds, or when it is time to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BACK_OFF_S if seconds is None else seconds):
            await stopping.wait()


def _unreadable(error: Exception) -> str:
    return f"unreadable: {error}"


def _said(error: Exception) -> str:
    # Of an error that is not an answer only its kind: its text may hold a row.
    return f"{error} {error.details or ''}".strip() if isinstance(error, Refusal) else type(error).__name__
