"""What many requests ask for in one turn of the event loop, sent together.

redis-py spends 80 us of processor time on a script call by itself, and four that share one write take 120 us together.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError, ResponseError

from edge.redis_client.breaker import Breaker, means_away

MOST_UNDER_WAY = 4
"""Pipelines waiting for their answers. More would make them smaller and the connections more, and nothing faster."""
MOST_IN_ONE = 512
"""A pipeline of scripts keeps the server from everybody else: 512 of them for about 10 ms."""

Part = bytes | str | int | float
"""What a command is made of."""


@dataclass(frozen=True, slots=True)
class Script:
    """Lua that the server runs in one piece. It is sent by its digest, and in full to a server that has not seen it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    async def run(self, redis: Redis, keys: Sequence[str], args: Sequence[Part]) -> Any:
        """Its answer, asked for alone: redis-py's own script wants a pipeline to load it, which a cluster does not have."""
        try:
            return await cast("Any", redis.evalsha(self.sha, len(keys), *keys, *cast("Any", args)))
        except NoScriptError:
            return await cast("Any", redis.eval(self.text, len(keys), *keys, *cast("Any", args)))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """One command and whoever waits for its answer."""

    command: tuple[Part, ...]
    script: Script | None
    answer: asyncio.Future[Any]


def _in_full(asked: _Asked) -> tuple[Part, ...]:
    """A script's command with its text in place of its digest."""
    assert asked.script is not None
    return ("EVAL", asked.script.text, *asked.command[2:])


class Pipelined:
    """Commands that are asked for in one turn of the event loop, sent together: one write, one round trip, one task.

    Nothing waits for company: what is asked for alone is sent alone, at the end of the turn. A command may be run twice, see
    `Breaker.call`.
    """

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker
        self._waiting: list[_Asked] = []
        self._is_due = False
        self._under_way: set[asyncio.Task[None]] = set()
        self.sent = 0
        """Pipelines so far."""

    def send(self, *command: Part) -> asyncio.Future[Any]:
        """The answer to `command`. Raises RedisDown, or ResponseError when the server finds it wrong."""
        return self._ask(command, None)

    def run(self, script: Script, keys: Sequence[Part], args: Sequence[Part]) -> asyncio.Future[Any]:
        """The answer of `script`. Raises as `send`."""
        return self._ask(("EVALSHA", script.sha, len(keys), *keys, *args), script)

    def _ask(self, command: tuple[Part, ...], script: Script | None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Asked(command, script, answer))
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._flush)
        return answer

    def _flush(self) -> None:
        self._is_due = False
        while self._waiting and len(self._under_way) < MOST_UNDER_WAY:
            asked, self._waiting = self._waiting[:MOST_IN_ONE], self._waiting[MOST_IN_ONE:]
            task = asyncio.get_running_loop().create_task(self._exchange(asked))
            self._under_way.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not self._is_due:
            self._flush()

    async def _exchange(self, asked: list[_Asked]) -> None:
        answers: list[Any]
        try:
            answers = await self._breaker.call(lambda: self._once(asked))
        except Exception as error:
            # One for each: a traceback grows with everybody who raises the same exception.
            answers = [type(error)(*error.args) for _ in asked]
        except asyncio.CancelledError:
            for one in asked:
                one.answer.cancel()
            raise
        for one, answer in zip(asked, answers, strict=True):
            if one.answer.done():
                continue  # whoever asked has gone
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    async def _once(self, asked: list[_Asked]) -> list[Any]:
        self.sent += 1
        answers = await self._pipeline([one.command for one in asked])
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # In full, which a server also remembers: SCRIPT LOAD names no key, so a cluster's pipeline has nowhere to send it.
            again = await self._pipeline([_in_full(asked[at]) for at in unknown])
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        return answers

    async def _pipeline(self, commands: Sequence[tuple[Part, ...]]) -> list[Any]:
        redis: Any = self._redis
        if isinstance(redis, RedisCluster):
            async with redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                answers = await pipe.execute(raise_on_error=False)
        else:
            answers = await self._in_one_write(commands)
        for answer in answers:
            if isinstance(answer, RedisError) and means_away(answer):
                raise answer
        return list(answers)

    async def _in_one_write(self, commands: Sequence[tuple[Part, ...]]) -> list[Any]:
        """redis-py's own pipeline of four scripts takes 200 us of processor time, this 120.

        Nothing on the wire is left behind for whoever has the connection next: redis-py closes one on which sending or reading fails.
        """
        pool: Any = self._redis.connection_pool
        connection = await pool.get_connection()
        answers: list[Any] = []
        try:
            await connection.send_packed_command(
                [part for command in commands for part in connection.pack_command(*command)]
            )
            for command in commands:
                try:
                    answers.append(await self._redis.parse_response(connection, cast("str", command[0])))
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
        return answers
