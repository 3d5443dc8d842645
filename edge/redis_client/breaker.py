"""Decides when a server counts as away, and answers for it at once while it does.

On a playback path, waiting for a dead server is an outage of our own making: a call has ANSWER_S and no retry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

ANSWER_S = 0.7
"""Waiting for a free connection included; a heartbeat's `appendfsync always` takes its disk's time."""
STALL_S = 0.2
"""A timeout that comes this late was our own event loop's: nobody was listening for the answer."""
BREAKER_OPEN_S = 1.0

# redis-py takes the word off an error it has a class for; a script's error wraps it, up to Redis 6.2.
_AWAY = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MasterDownError)
_AWAY_WORDS = ("MISCONF", "READONLY", "OOM", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")

T = TypeVar("T")


class RedisDown(Exception):  # noqa: N818 - states the fact
    """Redis could not be reached in time, or refuses to write."""


class Breaker:
    """Stops calling a server that does not answer: one probe a second until it does.

    `call` takes a function, not a coroutine, so nothing is created that is never awaited.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open_until = 0.0
        self._answered_at = float("-inf")
        self.trips = 0

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused."""
        return self._clock() < self._open_until

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Awaits `function()`. Raises RedisDown when the breaker is open or the server does not answer in time.

        `function` may run twice, when our own event loop stalled through its first answer: it must bear that.
        """
        now = self._clock()
        if now < self._open_until:
            raise RedisDown("breaker open")
        if self._open_until:
            # Half-open: this caller probes, the others keep being refused meanwhile.
            self._open_until = now + BREAKER_OPEN_S
        try:
            try:
                answer = await _in_time(function)
            except TimeoutError:
                if self._clock() - now < ANSWER_S + STALL_S:
                    raise
                answer = await _in_time(function)
        except (RedisConnectionError, RedisTimeoutError, RedisClusterException, OSError, TimeoutError) as error:
            # Somebody else was answered while this call waited: the server is slow or busy, not away.
            if not (isinstance(error, TimeoutError) and self._answered_at > now):
                self._open_until = self._clock() + BREAKER_OPEN_S
                self.trips += 1
            raise RedisDown(str(error) or type(error).__name__) from error
        except RedisError as error:
            if means_away(error):
                raise RedisDown(str(error)) from error
            self._note_answer()  # that something is wrong with what was asked is an answer, too
            raise
        self._note_answer()
        return answer

    def _note_answer(self) -> None:
        self._open_until = 0.0
        self._answered_at = self._clock()


async def _in_time(function: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(ANSWER_S):
        return await function()


def means_away(error: RedisError) -> bool:
    """Whether the server is there and cannot take what it is told: as good as away."""
    if isinstance(error, _AWAY):
        return True
    text = str(error)
    return text.startswith(_AWAY_WORDS) or any(f"-{word} " in text for word in _AWAY_WORDS)
