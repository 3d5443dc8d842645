"""The batcher answers when it is durable, gathers while it waits, refuses when full, and drops nothing it accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import INTAKE_FULL, RULE_BROKEN, Refusal
from edge.progress import batcher as batcher_module
from edge.progress.batcher import Batcher
from edge.progress.beat import Beat
from tests.edge.progress.test_fold import beat


class Store:
    """Durable when the test opens the gate."""

    def __init__(self) -> None:
        self.batches: list[list[Beat]] = []
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.broken = False

    async def __call__(self, beats: Sequence[Beat]) -> None:
        self.batches.append(list(beats))
        self.entered.set()
        await self.open.wait()
        if self.broken:
            raise OSError("gone")


async def test_beats_gather_while_one_batch_is_being_stored() -> None:
    store = Store()
    batcher = Batcher(store)
    batcher.start()
    first = asyncio.create_task(batcher.add([beat()]))
    await store.entered.wait()
    others = [asyncio.create_task(batcher.add([beat()])) for _ in range(50)]
    await asyncio.sleep(0)
    assert not first.done()
    store.open.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in store.batches] == [1, 50]
    await batcher.stop()


async def test_a_large_batch_leaves_before_the_last_one_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """So there is always one to write answers for; but never more than so many, and a small one waits for company."""
    monkeypatch.setattr(batcher_module, "LARGE_BATCH", 10)
    store = Store()
    batcher = Batcher(store)
    batcher.start()
    waiting = [asyncio.create_task(batcher.add([beat()]))]
    await store.entered.wait()
    for number in range(batcher_module.MOST_UNDER_WAY + 2):
        waiting += [asyncio.create_task(batcher.add([beat()])) for _ in range(9)]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(batcher.add([beat()])))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(store.batches) == min(number + 2, batcher_module.MOST_UNDER_WAY)
    store.open.set()
    await asyncio.gather(*waiting)
    sizes = [len(batch) for batch in store.batches]
    assert sizes == [1, *[10] * (batcher_module.MOST_UNDER_WAY - 1), 30]
    await batcher.stop()


async def test_full_is_refused_with_a_time_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher_module, "MAX_PENDING", 3)
    store = Store()
    batcher = Batcher(store)
    batcher.start()
    waiting = [asyncio.create_task(batcher.add([beat()]))]
    await store.entered.wait()
    waiting += [asyncio.create_task(batcher.add([beat()])) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await batcher.add([beat()])
    assert (refused.value.code, refused.value.retry_after_s) == (INTAKE_FULL, 2)
    store.open.set()
    await asyncio.gather(*waiting)
    assert sum(map(len, store.batches)) == 4
    await batcher.stop()


async def test_a_store_that_fails_is_heard_of_and_the_next_batch_tried() -> None:
    store = Store()
    store.open.set()
    store.broken = True
    batcher = Batcher(store)
    batcher.start()
    with pytest.raises(Refusal) as refused:
        await batcher.add([beat()])
    assert refused.value.code is INTAKE_FULL
    store.broken = False
    await batcher.add([beat()])
    await batcher.stop()


async def test_stopping_stores_what_was_accepted_and_takes_no_more() -> None:
    store = Store()
    batcher = Batcher(store)
    batcher.start()
    waiting = asyncio.create_task(batcher.add([beat()]))
    await store.entered.wait()
    later = asyncio.create_task(batcher.add([beat()]))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(batcher.stop())
    store.open.set()
    await asyncio.gather(waiting, later, stopping)
    assert sum(map(len, store.batches)) == 2
    with pytest.raises(Refusal):
        await batcher.add([beat()])


async def test_a_group_that_is_refused_for_what_is_in_it_takes_no_other_with_it() -> None:
    entered, gate = asyncio.Event(), asyncio.Event()
    stored: list[int] = []

    async def store(beats: Sequence[Beat]) -> None:
        entered.set()
        await gate.wait()
        if any(one.seq == 13 for one in beats):
            raise Refusal(RULE_BROKEN)
        stored.extend(one.seq for one in beats)

    batcher = Batcher(store)
    batcher.start()
    first = asyncio.create_task(batcher.add([beat(seq=1)]))
    await entered.wait()
    groups = [asyncio.create_task(batcher.add([beat(seq=seq)])) for seq in (12, 13, 14)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(first, *groups, return_exceptions=True)
    assert [isinstance(answer, Refusal) and answer.code is INTAKE_FULL for answer in answers] == [
        False,
        False,
        True,
        False,
    ]
    assert stored == [1, 12, 14]
    await batcher.stop()
