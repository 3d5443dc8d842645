"""Which beats have had their effect: each is noted in the transaction that gives it its effect, and one noted before has none."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from core.database import Tx
from core.errors import CONFLICT, Refusal
from core.queries import load
from edge.progress.fold import B, Batch, Id

SQL = load("edge.progress", "ledger.sql")

PIECE = 8_000
"""Ids in one statement: the driver takes 5 ms to pack them, in which nobody else's answer is looked at."""
BOLD_FROM = 500
"""For fewer, a savepoint's two round trips are no gain."""
CAREFUL_BATCHES = 32
"""Beats that come again seldom come alone, and a batch that was undone leaves its rows to VACUUM."""


class Ledger:
    """How one process notes beats.

    To look first whether a beat is there takes PostgreSQL 1.6 us of 4. A large batch is noted without, as long as nothing was
    there: if something is, that is undone, and what follows is noted with care for a while.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        """One writes at a time: two who go through the index in the same order wait for each other at every page."""
        self._careful = 0

    async def take(self, tx: Tx, batch: Batch[B]) -> Batch[B]:
        """What of `batch` nobody has taken before, now taken: nearly always all of it. One that is there twice: the first counts."""
        old = () if await self._boldly(tx, batch.ids) else await self._carefully(tx, batch.ids)
        if len(batch.ids) == len(batch.beats) and not old:
            return batch
        first = {beat.event_id: beat for beat in reversed(batch.beats)}
        return Batch.of((beat for event_id, beat in first.items() if str(event_id) not in old), batch.rules)

    async def _boldly(self, tx: Tx, ids: Sequence[Id]) -> bool:
        """Notes these, each once and in order, unless one of them is there already or that is likely."""
        if self._careful:
            self._careful -= 1
            return False
        if len(ids) < BOLD_FROM:
            return False
        try:
            async with tx.attempt():
                for at in range(0, len(ids), PIECE):
                    await tx.run(SQL["ledger_add_new_many"], ids[at : at + PIECE])
        except Refusal as refusal:
            if refusal.code is not CONFLICT:
                raise
            self._careful = CAREFUL_BATCHES
            return False
        return True

    async def _carefully(self, tx: Tx, ids: Sequence[Id]) -> Collection[str]:
        """Notes these and says which of them were there before."""
        old: set[str] = set()
        for at in range(0, len(ids), PIECE):
            piece = ids[at : at + PIECE]
            if await tx.run(SQL["ledger_add_many"], piece) < len(piece):
                old.update(str(row["event_id"]) for row in await tx.many(SQL["ledger_old_many"], piece))
        return old
