"""The Redis Streams between intake and drain: one entry holds one batch of beats, packed.

Nothing is trimmed by length: `XADD MAXLEN` would drop what nobody has read. An entry is deleted in the step that
acknowledges it, after the commit, so a stream's length is its backlog. Commands are those of Redis 6.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from edge.progress.beat import Beat
from edge.progress.fold import DEFAULT_RULES, Position, Rules
from edge.progress.newest import ORDER_CHARS, notes, order_text
from edge.progress.partitions import COUNT_KEY, dead_key, newest_prefix, split, stream_key, trials_key
from edge.progress.stored import StoredBeat, read_stored
from edge.redis_client import Breaker, Part, Pipelined, Redis, ResponseError, Script

GROUP = "drain"
FIELD = b"b"
SILENCE_S = 10
NEWEST_KEPT_S = 8 * 24 * 3600
"""As long as a beat can be old; nothing should ever come to its end."""

# Ids as text: 228 bytes a beat where bytes would take 128, for the same time here and 4 us less at the drain (stored.py).
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Beat])


# KEYS: stream, then a newest hash for each note. ARGV: packed, seconds, then content and value for each note.
_ADD = Script(f"""
local id = redis.call('XADD', KEYS[1], '*', 'b', ARGV[1])
for i = 2, #KEYS do
    local field, value = ARGV[2 * i - 1], ARGV[2 * i]
    local held = redis.call('HGET', KEYS[i], field)
    if not held or string.sub(held, 1, {ORDER_CHARS}) < string.sub(value, 1, {ORDER_CHARS}) then
        redis.call('HSET', KEYS[i], field, value)
        if not held then redis.call('EXPIRE', KEYS[i], ARGV[2]) end
    end
end
return id
""")

# KEYS: stream, trials, then a newest hash for each note. ARGV: group, count, ids, then content and order for each note.
_DONE = Script(f"""
local count = tonumber(ARGV[2])
for i = 3, 2 + count do
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('XDEL', KEYS[1], ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i])
end
for i = 3, #KEYS do
    local field, order = ARGV[count + 2 * i - 3], ARGV[count + 2 * i - 2]
    local held = redis.call('HGET', KEYS[i], field)
    if held and string.sub(held, 1, {ORDER_CHARS}) <= order then redis.call('HDEL', KEYS[i], field) end
end
return count
""")

# KEYS: stream, dead, trials. ARGV: group, id, packed, reason, tries, when (Unix ms). Only who still holds it buries it.
_BURY = Script("""
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'b', ARGV[3], 'reason', ARGV[4], 'tries', ARGV[5], 'at_ms', ARGV[6], 'entry', ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
return 1
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry as read: its id and its packed beats."""

    id: bytes
    packed: bytes

    def beats(self) -> list[StoredBeat]:
        """The beats in it. Raises msgspec.DecodeError or ValidationError when it is not ours."""
        return read_stored(self.packed)


def unpack_beats(packed: bytes) -> list[Beat]:
    """A batch as packed into the stream. Raises msgspec.DecodeError or ValidationError."""
    return _decoder.decode(packed)


class IntakeStream:
    """The writing side."""

    def __init__(self, redis: Redis, breaker: Breaker, partitions: int = 1, rules: Rules = DEFAULT_RULES) -> None:
        self._redis = redis
        self._breaker = breaker
        self._partitions = partitions
        self._rules = rules
        self._pipelined = Pipelined(redis, breaker)
        self._announced = False

    async def add(self, beats: Sequence[Beat]) -> None:
        """Returns when Redis has the batch in its append-only file (`appendfsync always`). Raises RedisDown, RedisError.

        When it raises, some parts of the batch may be in: whoever stores it elsewhere relies on the ledger.
        """
        if not self._announced:
            await self._breaker.call(lambda: partitions_in_use(self._redis, self._partitions))
            self._announced = True
        parts = split(beats, self._partitions)
        # All at once: the server answers them after one fsync.
        added = await asyncio.gather(*(self._add(*part) for part in parts.items()), return_exceptions=True)
        for failure in added:
            if isinstance(failure, BaseException):
                raise failure

    def _add(self, partition: int, beats: Sequence[Beat]) -> asyncio.Future[Any]:
        keys = [stream_key(partition)]
        args: list[Part] = [_encoder.encode(beats), NEWEST_KEPT_S]
        for key, field, value in notes(partition, beats, self._rules):
            keys.append(key)
            args += (field, value)
        return self._pipelined.run(_ADD, keys, args)

    async def ping(self) -> None:
        """Returns when Redis answers. Raises RedisDown."""
        await self._breaker.call(self._redis.ping)


async def partitions_in_use(redis: Redis, partitions: int) -> int:
    """The number of parts to drain: `partitions`, or more when there were more once. Remembers the larger."""
    known = int(await redis.get(COUNT_KEY) or 0)
    if known < partitions:
        await redis.set(COUNT_KEY, partitions)
    return max(known, partitions)


class DrainStream:
    """The reading side of one part: one named consumer of the group. `redis` must be a blocking client."""

    def __init__(self, redis: Redis, partition: int, consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer
        self._partition = partition
        self.key = stream_key(partition)

    async def open(self) -> None:
        """Makes the group, from the stream's very beginning."""
        try:
            await self._redis.xgroup_create(self.key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """New entries, waiting up to `block_ms` for the first. Raises TimeoutError when the server has fallen silent."""
        async with asyncio.timeout(block_ms / 1000 + SILENCE_S):
            answer = await self._redis.xreadgroup(GROUP, self._consumer, {self.key: ">"}, count=count, block=block_ms)
        if not answer:
            return []
        streams = answer.items() if isinstance(answer, dict) else answer
        return [_entry(item) for _, items in streams for item in _flatten(items)]

    async def claim(self, count: int, idle_ms: int) -> list[Entry]:
        """Entries whose consumer has not acknowledged them for `idle_ms`: it died, or they failed in its hands."""
        answer = await self._redis.xautoclaim(self.key, GROUP, self._consumer, idle_ms, "0-0", count=count)
        # Redis 6.2 names entries that are gone as nothing; from 7 on they come in a list of their own.
        return [_entry(item) for item in answer[1] if item and item[1]]

    async def deliveries(self, entries: Sequence[Entry]) -> dict[bytes, int]:
        """How often each of these, which are this consumer's and in order, has been handed out."""
        rows: Any = await self._redis.xpending_range(
            self.key, GROUP, min=entries[0].id, max=entries[-1].id, count=10_000, consumername=self._consumer
        )
        return {bytes(row["message_id"]): int(row["times_delivered"]) for row in rows}

    async def failed(self, entry: Entry) -> int:
        """Counts one more failure of this entry by itself; how many there are now."""
        return int(await cast("Any", self._redis.hincrby(trials_key(self._partition), cast("str", entry.id), 1)))

    async def done(self, entries: Sequence[Entry], positions: Iterable[Position[StoredBeat]]) -> None:
        """Acknowledges and deletes, and forgets the positions that are now in PostgreSQL; only after the commit.

        `positions` are those of all beats in `entries`, whichever of them was new: each had been noted.
        """
        keys = [self.key, trials_key(self._partition)]
        args: list[Part] = [GROUP, len(entries), *(entry.id for entry in entries)]
        prefix = newest_prefix(self._partition)
        for position in positions:
            newest = position.newest
            assert newest.user_id is not None
            keys.append(prefix + newest.user_id.replace("-", ""))
            args += (bytes.fromhex(newest.content_id.replace("-", "")), order_text(newest))
        await _DONE.run(self._redis, keys, args)

    async def bury(self, entry: Entry, reason: str, tries: int, now_ms: int) -> bool:
        """Moves a poisonous entry to the dead letters in one step; False when another drain has settled it."""
        args: list[Part] = [GROUP, entry.id, entry.packed, reason.encode()[:500], tries, now_ms]
        keys = [self.key, dead_key(self._partition), trials_key(self._partition)]
        return bool(await _BURY.run(self._redis, keys, args))

    async def leave(self) -> None:
        """Takes this consumer's name out of the group, if it left nothing unacknowledged."""
        pending = await self._redis.xpending_range(
            self.key, GROUP, min="-", max="+", count=1, consumername=self._consumer
        )
        if not pending:
            await self._redis.xgroup_delconsumer(self.key, GROUP, self._consumer)


def _flatten(items: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    # RESP3 nests the entries of a stream in one list more than RESP2 does.
    assert isinstance(items, list)
    if len(items) == 1 and isinstance(items[0], list) and (not items[0] or isinstance(items[0][0], (list, tuple))):
        return list(items[0])
    return items


def _entry(item: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    return Entry(bytes(item[0]), bytes(item[1].get(FIELD, b"")))
