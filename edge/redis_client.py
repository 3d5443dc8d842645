"""Redis or Valkey: the only module that talks to redis-py.

redis-py 8 retries ten times and waits 5 s by default: a GET against a dead server took 3.35 s. On a playback path that is
an outage of our own making, so here a call has ANSWER_S and no retry, and a breaker answers at once while the server is away.
A blocking reader needs a client of its own (`blocking=True`): with a socket timeout, an idle XREADGROUP dies.

What many requests ask for at once goes through `Pipelined`: redis-py spends 80 us of processor time on a script call by
itself, and four that share one write take 120 us together.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = [
    "Breaker",
    "NoScriptError",
    "Part",
    "Pipelined",
    "Redis",
    "RedisDown",
    "RedisError",
    "ResponseError",
    "Script",
    "connect",
]

ANSWER_S = 0.7
"""Waiting for a free connection included; a heartbeat's `appendfsync always` takes its disk's time."""
STALL_S = 0.2
"""A timeout that comes this late was our own event loop's: nobody was listening for the answer."""
BREAKER_OPEN_S = 1.0
SOCKET_S = 2.0
CONNECT_S = 1.0
MOST_UNDER_WAY = 4
"""Pipelines waiting for their answers. More would make them smaller and the connections more, and nothing faster."""
MOST_IN_ONE = 512
"""A pipeline of scripts keeps the server from everybody else: 512 of them for about 10 ms."""

# redis-py takes the word off an error it has a class for; a script's error wraps it, up to Redis 6.2.
_AWAY = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MasterDownError)
_AWAY_WORDS = ("MISCONF", "READONLY", "OOM", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")

T = TypeVar("T")
Part = bytes | str | int | float
"""What a command is made of."""


class RedisDown(Exception):  # noqa: N818 - states the fact
    """Redis could not be reached in time, or refuses to write."""


class _Packs:
    """Commands packed by hiredis: redis-py's asynchronous connections do it in Python, 1.3 us for each argument against 0.25."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *rest = args
        # Some of redis-py's names are two words.
        words = name.split() if isinstance(name, (str, bytes)) else [name]
        return [pack_command((*words, *rest))]


class _Tcp(_Packs, Connection):
    """redis://"""


class _Tls(_Packs, SSLConnection):
    """rediss://"""


class _Unix(_Packs, UnixDomainSocketConnection):
    """unix://"""


_PACKING: dict[type[Any], type[Any]] = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def connect(url: str, *, blocking: bool = False, max_connections: int = 32) -> Redis:
    """A client on `url`; `blocking` for a consumer that waits in XREADGROUP.

    redis://, rediss://, unix://                     one server
    redis+sentinel://host:26379,host/service/0       the master that these sentinels name
    redis+cluster://host:7000,host:7001              a cluster, found through any of these nodes; rediss+... with TLS
    """
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    if kind:
        hosts, options = _several(url, default_port=26379 if kind == "sentinel" else 6379)
        options |= {
            "socket_timeout": None if blocking else SOCKET_S,
            "socket_connect_timeout": CONNECT_S,
            "max_connections": max_connections,
            "health_check_interval": 0,
        }
        if scheme == "rediss":
            options["ssl"] = True
        if kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in hosts]
            # The same commands; what a cluster lacks (several slots in one step) no caller uses.
            return cast("Redis", RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 2), **options))
        return _through_sentinels(hosts, urlsplit(url).path, options)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=None if blocking else SOCKET_S,
        socket_timeout=None if blocking else SOCKET_S,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        health_check_interval=0,
    )
    pool.connection_class = _PACKING[pool.connection_class]
    # from_pool: closing the client closes its connections too
    return Redis.from_pool(pool)


def _several(url: str, *, default_port: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """Hosts with ports, and the credentials, of a URL that names several servers."""
    credentials, _, names = urlsplit(url).netloc.rpartition("@")
    hosts = []
    for name in names.split(","):
        one = urlsplit(f"//{name}")
        hosts.append((one.hostname or "localhost", one.port or default_port))
    options: dict[str, Any] = {}
    if credentials:
        user, _, password = credentials.partition(":")
        options = {"username": unquote(user) or None, "password": unquote(password) or None}
    return hosts, options


def _through_sentinels(hosts: list[tuple[str, int]], path: str, options: dict[str, Any]) -> Redis:
    service, _, number = path.strip("/").partition("/")
    made: Any = Sentinel  # its constructor has no annotations
    sentinels = made(hosts, sentinel_kwargs={"socket_timeout": 1.0, "socket_connect_timeout": 1.0})
    return cast(
        "Redis",
        sentinels.master_for(service or "mymaster", db=int(number or 0), retry=Retry(NoBackoff(), 0), **options),
    )


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
            if _means_away(error):
                raise RedisDown(str(error)) from error
            raise
        self._open_until = 0.0
        self._answered_at = self._clock()
        return answer


async def _in_time(function: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(ANSWER_S):
        return await function()


def _means_away(error: RedisError) -> bool:
    """Whether the server is there and cannot take what it is told: as good as away."""
    if isinstance(error, _AWAY):
        return True
    text = str(error)
    return text.startswith(_AWAY_WORDS) or any(f"-{word} " in text for word in _AWAY_WORDS)


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
            if isinstance(answer, RedisError) and _means_away(answer):
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
