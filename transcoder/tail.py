"""Reads an MP4 box by box while an encoder is still writing it. Blocking (files only)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transcoder.boxes import Mp4Error

_MOST_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Tail:
    """A growing file, and how far it has been read."""

    path: Path
    at: int = 0

    def next(self) -> tuple[bytes, bytes] | None:
        """The next box that is whole, head and all, with its type; None when there is none yet. Raises Mp4Error, OSError."""
        size_bytes = self.path.stat().st_size if self.path.exists() else 0
        if self.at + 8 > size_bytes:
            return None
        with self.path.open("rb") as file:
            file.seek(self.at)
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            # ffmpeg writes a box's size last: zero means that it is not done.
            if length == 0 or self.at + length > size_bytes:
                return None
            if length < 8 or length > _MOST_BYTES:
                raise Mp4Error(f"box {kind!r} of {length} bytes")
            data = head + file.read(length - 8)
        self.at += length
        return kind, data

    def expect_end(self) -> None:
        """Raises Mp4Error when something is left that is no whole box, or nothing was ever there."""
        size_bytes = self.path.stat().st_size if self.path.exists() else 0
        if self.at != size_bytes or size_bytes == 0:
            raise Mp4Error(f"{self.path.name} ends within a box" if size_bytes else f"{self.path.name} is empty")
