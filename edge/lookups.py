"""What parts of the edge that know no database ask of PostgreSQL and Redis: each question a function, handed to them in app.py."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from core.database import Database, DatabaseDown
from core.domain import playback
from core.viewer import service
from edge.api.beats import FindDuration
from edge.api.health import Probe
from edge.redis_client import Breaker, Redis, RedisDown
from edge.tokens.checking import AliveInDatabase, Recorded
from edge.tokens.entitlements import Ask, Entitlement, Subject
from edge.tokens.grant import Claims
from edge.tokens.leases import PAUSE_S

MAX_PREFIXES = 50_000
PREFIX_S = 24 * 3600


def asker(database: Database) -> Ask:
    """May this person watch this title? Raises DatabaseDown."""

    async def ask(subject: Subject) -> Entitlement:
        viewer, now = service(subject.tenant_id), datetime.now(UTC)
        row = await playback.entitlement(database, viewer, subject.user_id, subject.content_id, now)
        until = row["until"].timestamp() if row["until"] else None
        return Entitlement(row["allowed"], row["reason"], until, row["max_height"], row["max_streams"])

    return ask


def vouch(database: Database) -> AliveInDatabase:
    """Does this session run? Raises DatabaseDown."""

    async def alive(claims: Claims) -> Recorded | None:
        async with database.transaction(service(claims.tenant_id)) as tx:
            recorded: Recorded | None = await tx.value(
                playback.SQL["session_alive"], claims.session_id, datetime.now(UTC), timedelta(seconds=PAUSE_S)
            )
        return recorded

    return alive


def durations(database: Database) -> FindDuration:
    """How long is this title? Raises DatabaseDown."""

    async def find(tenant_id: UUID, content_id: UUID) -> int | None:
        async with database.transaction(service(tenant_id)) as tx:
            duration_ms: int | None = await tx.value(playback.SQL["content_duration_get"], content_id)
            return duration_ms

    return find


def pinger(redis: Redis, breaker: Breaker) -> Probe:
    """Does Redis answer?"""

    async def ping() -> bool:
        try:
            return bool(await breaker.call(redis.ping))
        except RedisDown:
            return False

    return ping


class Prefixes:
    """Where generations lie. A published generation never moves, so what is found is kept.

    Redis keeps it too: a web process that starts while PostgreSQL is away serves what runs.
    """

    def __init__(self, database: Database, redis: Redis, breaker: Breaker) -> None:
        self._database = database
        self._redis = redis
        self._breaker = breaker
        self._known: OrderedDict[tuple[UUID, int], str] = OrderedDict()

    async def find(self, tenant_id: UUID, content_id: UUID, number: int) -> str:
        """The store prefix. Raises LookupError, DatabaseDown."""
        key = (content_id, number)
        if (known := self._known.get(key)) is not None:
            return known
        shared = f"gen:{tenant_id.hex}:{content_id.hex}:{number}"
        try:
            async with self._database.transaction(service(tenant_id)) as tx:
                prefix: str | None = await tx.value(playback.SQL["generation_prefix_get"], content_id, number)
        except DatabaseDown as error:
            try:
                stored: Any = await self._breaker.call(lambda: self._redis.get(shared))
            except RedisDown:
                raise error from None
            if stored is None:
                raise
            prefix = bytes(stored).decode()
        else:
            if prefix is not None:
                with suppress(RedisDown):
                    await self._breaker.call(lambda: self._redis.set(shared, prefix, ex=PREFIX_S))
        if prefix is None:
            raise LookupError(f"no generation {number} of {content_id}")
        self._known[key] = prefix
        if len(self._known) > MAX_PREFIXES:
            self._known.popitem(last=False)
        return prefix
