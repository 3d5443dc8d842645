"""Which beats have had their effect: each is noted in the transaction that gives it its effect, and one noted before has none.

A row holds what a session sent within 32 counts of its `seq`. A repeat has the session and the count of what it repeats, so
it is looked for in one row; and PostgreSQL writes one row where there would be one for each beat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from core.database import Tx
from core.queries import load
from edge.progress.fold import B, Batch, BlockKey, Id

SQL = load("edge.progress", "ledger.sql")

FULL = 64
"""Ids that a row takes (ledger_add_many knows it, too): twice what a client has that counts, so that two windows with one count fit.

What is more, of a client that does not count at all, is noted id by id.
"""
PIECE = 8_000
"""Ids in one statement, at least those of one block: what packing them takes, nobody else's answer is looked at."""

Noted = tuple[str, str]
"""A session and an id."""


class Ledger:
    """How one process notes beats."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        """One writes at a time: two who go through the index in the same order wait for each other at every page."""

    async def take(self, tx: Tx, batch: Batch[B]) -> Batch[B]:
        """What of `batch` nobody has taken before, now taken: nearly always all of it. One that is there twice: the first counts."""
        wanted = sorted(batch.blocks.items())
        old: set[Noted] = set()
        for piece in pieces(wanted):
            old |= await _note(tx, piece)
        if not old and sum(len(ids) for _, ids in wanted) == len(batch.beats):
            return batch
        first = {(str(beat.session_id), str(beat.event_id)): beat for beat in reversed(batch.beats)}
        return Batch.of((beat for noted, beat in first.items() if noted not in old), batch.rules)


Block = tuple[BlockKey, Sequence[Id]]


def pieces(blocks: Iterable[tuple[BlockKey, Iterable[Id]]]) -> Iterator[list[Block]]:
    """Blocks for one statement at a time."""
    piece: list[Block] = []
    size = 0
    for key, some in blocks:
        ids = list(some)
        if piece and size + len(ids) > PIECE:
            yield piece
            piece, size = [], 0
        piece.append((key, ids))
        size += len(ids)
    if piece:
        yield piece


async def _note(tx: Tx, piece: Sequence[Block]) -> set[Noted]:
    """Notes all of these and says which of them were there before."""
    first = [(key, ids[:FULL]) for key, ids in piece]
    is_all_new = await tx.run(SQL["ledger_add_many"], *_columns(first)) == len(piece)
    held = {} if is_all_new else await _refused(tx, piece)
    old: set[Noted] = set()
    fill: list[Block] = []
    crowd: list[tuple[Id, Id]] = []
    for key, ids in piece:
        there, new, room = held.get((str(key[0]), key[1])), ids, FULL
        if there is not None:
            old.update((str(key[0]), str(one)) for one in ids if str(one) in there)
            new, room = [one for one in ids if str(one) not in there], FULL - len(there)
            fill += [(key, new[:room])] if new[:room] else []
        crowd += ((key[0], one) for one in new[room:])
    if fill:
        await tx.run(SQL["ledger_fill_many"], *_columns(fill))
    return old | await _crowd(tx, crowd) if crowd else old


async def _refused(tx: Tx, piece: Sequence[Block]) -> Mapping[tuple[str, int], set[str]]:
    """What the blocks hold that took nothing."""
    keys = [key for key, _ in piece]
    rows = await tx.many(SQL["ledger_refused_many"], [session for session, _ in keys], [block for _, block in keys])
    return {(str(row["session_id"]), row["block"]): {str(one) for one in row["event_ids"]} for row in rows}


async def _crowd(tx: Tx, ids: Sequence[tuple[Id, Id]]) -> set[Noted]:
    """Notes each of these by itself; which of them were there before."""
    columns = [session for session, _ in ids], [one for _, one in ids]
    if await tx.run(SQL["ledger_crowd_many"], *columns) == len(ids):
        return set()
    rows = await tx.many(SQL["ledger_crowd_old_many"], *columns)
    return {(str(row["session_id"]), str(row["event_id"])) for row in rows}


def _columns(blocks: Sequence[Block]) -> tuple[object, ...]:
    ends = list(accumulate(len(ids) for _, ids in blocks))
    return (
        [key[0] for key, _ in blocks],
        [key[1] for key, _ in blocks],
        [end - len(ids) + 1 for end, (_, ids) in zip(ends, blocks, strict=True)],
        ends,
        "{" + ",".join([str(one) for _, ids in blocks for one in ids]) + "}",
    )
