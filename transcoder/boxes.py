"""Walks the boxes of ISO BMFF (ISO/IEC 14496-12, 4.2). Pure; never reads outside the bytes given."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass


class Mp4Error(Exception):
    """The bytes are not a readable MP4."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its type, and its payload's place in the bytes it was read from."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes side by side between `start` and `end`."""
    stop = len(data) if end is None else end
    while start < stop:
        if start + 8 > stop:
            raise Mp4Error(f"{stop - start} stray bytes")
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            if start + 16 > stop:
                raise Mp4Error("a large size is cut off")
            size = struct.unpack_from(">Q", data, start + 8)[0]
            body = start + 16
        if size < body - start or start + size > stop:
            raise Mp4Error(f"box {kind!r} does not fit")
        yield Box(kind, start, body, start + size)
        start += size


def find(data: bytes, *path: bytes, within: Box | None = None) -> list[Box]:
    """Every box at a path such as (b"moov", b"trak")."""
    level = list(boxes(data) if within is None else boxes(data, within.body, within.end))
    hits = [box for box in level if box.kind == path[0]]
    if len(path) == 1:
        return hits
    return [deeper for box in hits for deeper in find(data, *path[1:], within=box)]


def one(data: bytes, *path: bytes, within: Box | None = None) -> Box:
    """The only box at a path. Raises Mp4Error when there is none, or more."""
    hits = find(data, *path, within=within)
    if len(hits) != 1:
        raise Mp4Error(f"{len(hits)} boxes at {b'/'.join(path).decode('latin1')}")
    return hits[0]


def read_u32(data: bytes, at: int) -> int:
    """Four bytes, the most significant first. Raises struct.error."""
    return int(struct.unpack_from(">I", data, at)[0])
