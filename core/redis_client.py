"""Redis or Valkey: the only module that talks to redis-py.

redis-py 8 retries ten times and waits 5 s by default: a GET against a dead server took 3.35 s. On a playback path that is
an outage of our own making, so here a call has ANSWER_S and no retry, and a breaker answers at once while the server is away.
A blocking reader needs a client of its own (`blocking=True`): with a socket timeout, an idle XREADGROUP dies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["Breaker", "NoScriptError", "Redis", "RedisDown", "RedisError", "ResponseError", "connect"]

ANSWER_S = 0.7
"""Waiting for a free connection included; a heartbeat's `appendfsync always` takes its disk's time."""
STALL_S = 0.2
"""A timeout that comes this late was our own event loop's: nobody was listening for the answer."""
BREAKER_OPEN_S = 1.0
SOCKET_S = 2.0
CONNECT_S = 1.0

T = TypeVar("T")


class RedisDown(Exception):  # noqa: N818 - states the fact
    """Redis could not be reached in time, or refuses to write."""


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
            if str(error).startswith(
                ("MISCONF", "READONLY", "LOADING", "OOM", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS")
            ):
                raise RedisDown(str(error)) from error
            raise
        self._open_until = 0.0
        self._answered_at = self._clock()
        return answer


async def _in_time(function: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(ANSWER_S):
        return await function()
