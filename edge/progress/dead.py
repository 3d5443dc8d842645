"""Dead letters: batches of beats that could not be written, with the reason, until somebody reads, replays or drops them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from edge.progress.beat import Beat
from edge.progress.partitions import dead_key, stream_key
from edge.progress.stream import FIELD, unpack_beats
from edge.redis_client import Redis, Script

PAGE = 100
_NAME = re.compile(r"(\d{1,4})/(\d{1,20}-\d{1,20})", re.ASCII)

# KEYS: dead, stream. ARGV: id. The letter leaves one and enters the other in one step, so two people replay it once.
_REPLAY = Script("""
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if not found[1] then return 0 end
local fields = found[1][2]
for i = 1, #fields, 2 do
    if fields[i] == 'b' then redis.call('XADD', KEYS[2], '*', 'b', fields[i + 1]) end
end
return redis.call('XDEL', KEYS[1], ARGV[1])
""")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One batch: `name` is what the commands take, `tries` how often it was tried by itself."""

    partition: int
    id: str
    at: datetime
    reason: str
    tries: int
    entry: str
    packed: bytes

    @property
    def name(self) -> str:
        """Part and id."""
        return f"{self.partition}/{self.id}"

    def beats(self) -> list[Beat]:
        """What is in it. Raises msgspec.DecodeError or ValidationError when that cannot be read."""
        return unpack_beats(self.packed)


class DeadLetters:
    """All parts' dead letters."""

    def __init__(self, redis: Redis, partitions: int) -> None:
        self._redis = redis
        self._partitions = partitions

    async def count(self) -> int:
        """How many there are."""
        return sum([int(await self._redis.xlen(dead_key(number))) for number in range(self._partitions)])

    async def all(self) -> AsyncIterator[DeadLetter]:
        """Each of them, part by part, the oldest first."""
        page: list[tuple[bytes, dict[bytes, bytes]]]
        for partition in range(self._partitions):
            start = "-"
            while page := cast("Any", await self._redis.xrange(dead_key(partition), min=start, count=PAGE)):
                for id_, fields in page:
                    yield _letter(partition, id_, fields)
                start = f"({page[-1][0].decode()}"

    async def get(self, name: str) -> DeadLetter | None:
        """The one of that name."""
        where = self._where(name)
        if where is None:
            return None
        partition, id_ = where
        found: Any = await self._redis.xrange(dead_key(partition), min=id_, max=id_, count=1)
        return _letter(partition, *found[0]) if found else None

    async def replay(self, name: str) -> bool:
        """Puts it back into the stream; False when there is none of that name. The ledger lets no beat of it count twice."""
        where = self._where(name)
        if where is None:
            return False
        partition, id_ = where
        return bool(await _REPLAY.run(self._redis, [dead_key(partition), stream_key(partition)], [id_]))

    async def drop(self, name: str) -> bool:
        """Deletes it; False when there is none of that name."""
        where = self._where(name)
        return where is not None and bool(await self._redis.xdel(dead_key(where[0]), where[1]))

    def _where(self, name: str) -> tuple[int, str] | None:
        match = _NAME.fullmatch(name)
        return (int(match[1]), match[2]) if match and int(match[1]) < self._partitions else None


def _letter(partition: int, id_: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    at_ms = int(fields.get(b"at_ms") or bytes(id_).partition(b"-")[0])
    return DeadLetter(
        partition,
        bytes(id_).decode(),
        datetime.fromtimestamp(at_ms / 1000, UTC),
        bytes(fields.get(b"reason", b"")).decode("utf-8", "replace"),
        int(fields.get(b"tries", 0)),
        bytes(fields.get(b"entry", b"")).decode("ascii", "replace"),
        bytes(fields.get(FIELD, b"")),
    )
