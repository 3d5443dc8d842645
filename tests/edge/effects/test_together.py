"""Many callers, one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.errors import BAD_QUERY, Refusal
from edge.effects.together import Together


class Work:
    """Doubles numbers; what is negative is refused, and with it the whole call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(numbers))
        await self.may_go.wait()
        if min(numbers) < 0:
            raise Refusal(BAD_QUERY)
        if 13 in numbers:
            raise ConnectionError("gone")
        return [number * 2 for number in numbers]


async def test_who_asks_while_a_call_is_under_way_goes_into_the_next_and_each_gets_its_own_answer() -> None:
    work = Work()
    work.may_go.clear()
    together = Together(work, most=4)
    first = asyncio.create_task(together.ask(1))
    while not work.calls:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(together.ask(number)) for number in range(2, 8)]
    await asyncio.sleep(0)
    work.may_go.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8, 10, 12, 14]
    assert work.calls == [[1], [2, 3, 4, 5], [6, 7]]


async def test_what_is_refused_takes_nobody_else_with_it() -> None:
    work = Work()
    together = Together(work, most=10)
    answers = await asyncio.gather(*(together.ask(number) for number in (1, -2, 3)), return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], Refusal)
    assert work.calls == [[1, -2, 3], [1], [-2], [3]]


async def test_a_failure_is_heard_by_all_who_wait_and_the_next_are_served() -> None:
    together = Together(Work(), most=10)
    answers = await asyncio.gather(together.ask(13), together.ask(1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError]
    assert await together.ask(5) == 10


async def test_who_gave_up_waiting_is_in_nobodys_way() -> None:
    work = Work()
    work.may_go.clear()
    together = Together(work, most=10)
    leaves, stays = asyncio.create_task(together.ask(1)), asyncio.create_task(together.ask(2))
    while not work.calls:
        await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    work.may_go.set()
    assert await stays == 4
    assert await together.ask(3) == 6
