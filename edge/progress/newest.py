"""The newest position of each person and title that PostgreSQL does not have yet, kept in Redis beside the stream.

Written in the same step as the stream entry and taken away in the same step as its acknowledgement, so it holds the backlog
and nothing else. Whoever reads asks here first and PostgreSQL second: what is gone from here has been committed by then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from core.domain.playback_resume import FreshPoint
from edge.progress.beat import Beat
from edge.progress.fold import DEFAULT_RULES, Rules, is_complete, order_of
from edge.progress.partitions import newest_key, newest_prefix, partition_of
from edge.progress.stored import StoredBeat
from edge.redis_client import Breaker, Redis, RedisDown, RedisError

_FACTS = struct.Struct(">16sIIB16s")
_NONE = bytes(16)


def order_text(beat: Beat | StoredBeat) -> bytes:
    """`order_of` as digits of fixed width: Lua compares text by the server's locale, which agrees on digits alone."""
    return b"%013d%016d%013d" % (beat.session_at_ms, beat.seq, beat.at_ms)


ORDER_CHARS = 42


def pack(beat: Beat, *, is_completed: bool) -> bytes:
    """One value: its order, then the rest."""
    playlist = beat.playlist_id.bytes if beat.playlist_id else _NONE
    facts = _FACTS.pack(beat.session_id.int.to_bytes(16), beat.position_ms, beat.duration_ms, is_completed, playlist)
    return order_text(beat) + facts


def unpack(value: bytes) -> FreshPoint:
    """What `pack` packed. Raises ValueError, struct.error."""
    order = value[:ORDER_CHARS]
    session, position_ms, duration_ms, completed, playlist = _FACTS.unpack(value[ORDER_CHARS:])
    return FreshPoint(
        session_id=UUID(bytes=session),
        session_at_ms=int(order[:13]),
        seq=int(order[13:29]),
        at_ms=int(order[29:]),
        position_ms=position_ms,
        duration_ms=duration_ms,
        is_completed=bool(completed),
        playlist_id=None if playlist == _NONE else UUID(bytes=playlist),
    )


def notes(partition: int, beats: Iterable[Beat], rules: Rules = DEFAULT_RULES) -> list[tuple[str, bytes, bytes]]:
    """What to note of `beats`, all of one partition: key, field and value, one for each person and title.

    What `Batch.fold` makes of them, but for the time watched; by whole numbers, since a UUID's hash takes 0.3 us.
    """
    newest: dict[tuple[int, int], Beat] = {}
    completed: set[tuple[int, int]] = set()
    for beat in beats:
        if beat.user_id is None:
            continue
        person_and_title = beat.user_id.int, beat.content_id.int
        # Most batches have one beat of each person: what is said of several is only looked at where there are several.
        held = newest.setdefault(person_and_title, beat)
        if held is not beat and order_of(beat) > order_of(held):
            newest[person_and_title] = beat
        if is_complete(beat.position_ms, beat.duration_ms, beat.event, rules):
            completed.add(person_and_title)
    prefix = newest_prefix(partition)
    return [
        (prefix + user.to_bytes(16).hex(), content.to_bytes(16), pack(beat, is_completed=(user, content) in completed))
        for (user, content), beat in newest.items()
    ]


class NewestPositions:
    """The reading side. Never fails: without Redis nothing is known to be newer than PostgreSQL's rows."""

    def __init__(self, redis: Redis, breaker: Breaker, partitions: int) -> None:
        self._redis = redis
        self._breaker = breaker
        self._partitions = partitions

    async def of(self, user_id: UUID) -> Mapping[UUID, FreshPoint]:
        """By title, what is on its way to PostgreSQL."""
        key = newest_key(partition_of(user_id, self._partitions), user_id)
        try:
            found = await self._breaker.call(lambda: cast("Any", self._redis.hgetall(key)))
        except (RedisDown, RedisError):
            return {}
        return {UUID(bytes=bytes(field)): unpack(bytes(value)) for field, value in found.items()}

    async def of_title(self, user_id: UUID, content_id: UUID) -> FreshPoint | None:
        """The same of one title."""
        key = newest_key(partition_of(user_id, self._partitions), user_id)
        try:
            found = await self._breaker.call(lambda: cast("Any", self._redis.hget(key, content_id.bytes)))
        except (RedisDown, RedisError):
            return None
        return unpack(bytes(found)) if found else None
