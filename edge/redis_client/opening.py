"""Opens a client on one server, on a master that sentinels name, or on a cluster.

redis-py 8 retries ten times by default and waits 5 s: a GET against a dead server took 3.35 s. Here a call is not tried again (see breaker.py).
A blocking reader needs a client of its own (`blocking=True`): with a socket timeout, an idle XREADGROUP dies.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote, urlsplit

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

SOCKET_S = 2.0
CONNECT_S = 1.0


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
