"""The keys of encrypted generations for who may watch them: sealed in PostgreSQL, opened here, held in memory alone.

Redis keeps the sealed text too, so that a web process that starts while PostgreSQL is away gives keys for what runs.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog

from core.database import Database, DatabaseDown
from core.domain.media_keys import SealedKey, find_key, open_key
from core.domain.sealing import Unsealable
from core.errors import KEY_LOST, Refusal
from core.keys import KeyRing
from core.viewer import service
from edge.redis_client import Breaker, Redis, RedisDown

log = structlog.get_logger(__name__)

MAX_KEYS = 10_000
SHARED_S = 24 * 3600


class _Shared(msgspec.Struct, frozen=True):
    """A sealed key as Redis holds it."""

    sealed: bytes
    ring_key_id: str
    store_prefix: str


class ContentKeys:
    """Keys by generation. A generation's key never changes, so what was opened once is kept."""

    def __init__(self, database: Database, redis: Redis, breaker: Breaker, ring: KeyRing) -> None:
        self._database = database
        self._redis = redis
        self._breaker = breaker
        self._ring = ring
        self._opened: OrderedDict[tuple[UUID, int], bytes] = OrderedDict()

    async def find(self, tenant_id: UUID, content_id: UUID, number: int) -> bytes:
        """The key itself. Raises LookupError when the generation has none, Refusal PS637, DatabaseDown."""
        at = (content_id, number)
        if (opened := self._opened.get(at)) is not None:
            return opened
        stored = await self._find_stored(tenant_id, content_id, number)
        try:
            key = open_key(self._ring, SealedKey(stored.sealed, stored.ring_key_id), stored.store_prefix)
        except Unsealable as error:
            log.exception("content_key_lost", content=str(content_id), generation=number)
            raise Refusal(KEY_LOST) from error
        self._opened[at] = key
        if len(self._opened) > MAX_KEYS:
            self._opened.popitem(last=False)
        return key

    async def _find_stored(self, tenant_id: UUID, content_id: UUID, number: int) -> _Shared:
        name = f"genkey:{tenant_id.hex}:{content_id.hex}:{number}"
        try:
            async with self._database.transaction(service(tenant_id)) as tx:
                found = await find_key(tx, content_id, number)
        except DatabaseDown as error:
            try:
                text: Any = await self._breaker.call(lambda: self._redis.get(name))
            except RedisDown:
                raise error from None
            if text is None:
                raise
            return msgspec.msgpack.decode(text, type=_Shared)
        if found is None:
            raise LookupError(f"generation {number} of {content_id} is not encrypted")
        shared = _Shared(found[0].sealed, found[0].ring_key_id, found[1])
        with suppress(RedisDown):
            await self._breaker.call(lambda: self._redis.set(name, msgspec.msgpack.encode(shared), ex=SHARED_S))
        return shared
