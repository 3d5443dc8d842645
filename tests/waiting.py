"""The one way tests wait: ask again until it is so, or fail saying what was last seen. Nothing sleeps for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05


async def until(condition: Callable[[], Awaitable[T] | T], timeout_s: float, what: str = "") -> T:
    """The first true value of `condition`. Raises AssertionError after `timeout_s` with the last value seen.

    An AssertionError inside the condition means "not yet"; anything else it raises goes through.
    """
    deadline = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            value = condition()
            last = await value if inspect.isawaitable(value) else value
            if last:
                return last  # type: ignore[return-value]
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}; last seen: {last!r}")
        await asyncio.sleep(POLL_S)


def until_now(condition: Callable[[], T], timeout_s: float, what: str = "") -> T:
    """`until` for fixtures and processes that no event loop runs."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what or condition}; last seen: {value!r}")
        time.sleep(POLL_S)
    return value
