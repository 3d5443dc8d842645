"""Many callers, one call: whoever asks while the last call is under way goes into the next.

No timer: what gathers in the time of one round trip shares the next, so a quiet process answers at once and a busy one pays one
transaction for hundreds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from core.errors import Refusal

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """Calls `work` with what was asked for, at most `most` at once; it answers each, in order."""

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, one: T) -> R:
        """The answer to `one`. Raises what `work` raises."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            taken = self._waiting[: self._most]
            del self._waiting[: self._most]
            await self._answer(taken)
        self._task = None

    async def _answer(self, taken: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._work([one for one, _ in taken])
        except Refusal as refusal:
            if len(taken) == 1:
                _fail(taken, refusal)
                return
            # The database refuses the statement for what is in one of them: each bears its own.
            for asked in taken:
                await self._answer([asked])
        except Exception as error:  # whatever it was, those who wait must hear of it
            _fail(taken, error)
        else:
            for (_, waits), answer in zip(taken, answers, strict=True):
                if not waits.done():  # it may have given up waiting
                    waits.set_result(answer)


def _fail(taken: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
    for _, waits in taken:
        if not waits.done():
            waits.set_exception(error)
