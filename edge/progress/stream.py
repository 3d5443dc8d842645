"""The Redis Stream between intake and drain: one entry holds one batch of beats, packed.

Nothing is trimmed by length: `XADD MAXLEN` would drop what nobody has read. An entry is deleted once the drain has
committed and acknowledged it, so the stream's length is the backlog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from core.redis_client import Breaker, Redis, ResponseError
from edge.progress.beat import Beat

STREAM = "progress:beats"
DEAD = "progress:dead"
GROUP = "drain"
FIELD = b"b"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Beat])


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as read: its id and its packed beats."""

    id: bytes
    packed: bytes

    def beats(self) -> list[Beat]:
        """The beats in it. Raises msgspec.DecodeError or ValidationError when it is not ours."""
        return _decoder.decode(self.packed)


class IntakeStream:
    """The writing side."""

    def __init__(self, redis: Redis, breaker: Breaker) -> None:
        self._redis = redis
        self._breaker = breaker

    async def add(self, beats: Sequence[Beat]) -> None:
        """Returns when Redis has the batch in its append-only file (`appendfsync always`). Raises RedisDown."""
        packed = _encoder.encode(beats)
        await self._breaker.call(lambda: self._redis.xadd(STREAM, {FIELD: packed}))

    async def ping(self) -> None:
        """Returns when Redis answers. Raises RedisDown."""
        await self._breaker.call(self._redis.ping)


class DrainStream:
    """The reading side: one named consumer of the group. `redis` must be a blocking client."""

    def __init__(self, redis: Redis, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer

    async def open(self) -> None:
        """Makes the group, from the stream's very beginning."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """New entries, waiting up to `block_ms` for the first."""
        answer = await self._redis.xreadgroup(GROUP, self._consumer, {STREAM: ">"}, count=count, block=block_ms)
        if not answer:
            return []
        streams = answer.items() if isinstance(answer, dict) else answer
        return [_entry(item) for _, items in streams for item in _flatten(items)]

    async def claim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries whose consumer has not acknowledged them for `idle_ms`: it died, or it is stuck."""
        answer = await self._redis.xautoclaim(STREAM, GROUP, self._consumer, idle_ms, "0-0", count=count)
        return [_entry(item) for item in answer[1] if item[1]]

    async def deliveries(self, entry: Entry) -> int:
        """How often this entry has been handed out."""
        rows = await self._redis.xpending_range(STREAM, GROUP, min=entry.id, max=entry.id, count=1)
        return int(rows[0]["times_delivered"]) if rows else 0

    async def done(self, entries: Sequence[Entry]) -> None:
        """Acknowledges and deletes; only after the commit."""
        ids = [entry.id for entry in entries]
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(STREAM, GROUP, *ids)
            pipe.xdel(STREAM, *ids)
            await pipe.execute()

    async def bury(self, entry: Entry, reason: str) -> None:
        """Moves a poisonous entry to the dead letters, with the reason, in one step."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(DEAD, {FIELD: entry.packed, b"reason": reason.encode()[:500], b"id": entry.id})
            pipe.xack(STREAM, GROUP, entry.id)
            pipe.xdel(STREAM, entry.id)
            await pipe.execute()

    async def leave(self) -> None:
        """Takes this consumer's name out of the group, if it left nothing unacknowledged."""
        pending = await self._redis.xpending_range(
            STREAM, GROUP, min="-", max="+", count=1, consumername=self._consumer
        )
        if not pending:
            await self._redis.xgroup_delconsumer(STREAM, GROUP, self._consumer)


def _flatten(items: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    # RESP3 nests the entries of a stream in one list more than RESP2 does.
    assert isinstance(items, list)
    if len(items) == 1 and isinstance(items[0], list) and (not items[0] or isinstance(items[0][0], (list, tuple))):
        return list(items[0])
    return items


def _entry(item: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    return Entry(bytes(item[0]), bytes(item[1].get(FIELD, b"")))
