"""Encodes a film in one go: pictures and sounds side by side, each decoded while it is written. Knows no store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from transcoder import encode
from transcoder.encode_picture import video_file
from transcoder.ladder import Plan
from transcoder.pieces import encode_heard
from transcoder.progress import Progress
from transcoder.source import Source
from transcoder.witness import encode_witnessed


async def encode_whole(
    exe: Path, path: Path, source: Source, wanted: Plan, raw: Path, moved: Callable[[Progress], None]
) -> None:
    """Every rung, sound and subtitle of the plan into `raw`. Raises Refusal, Transient.

    A run of its own for the sounds, since their loudness must be measured before the first is encoded: the pictures do not wait for it.
    """
    slowest = Slowest(moved)
    try:
        async with asyncio.TaskGroup() as group:
            if wanted.grid is not None:
                argv = encode.pictures_argv(exe, path, source, wanted, raw)
                files = [video_file(raw, rung) for rung in wanted.rungs]
                pictures = encode_witnessed(
                    exe,
                    argv,
                    float(wanted.duration),
                    slowest.one(),
                    reads=[path],
                    writes=raw,
                    files=files,
                    is_video=True,
                )
                group.create_task(pictures)
            if wanted.sounds or source.text:
                heard = slowest.one() if wanted.sounds else _quiet
                group.create_task(encode_heard(exe, path, source, wanted, raw, heard))
    except BaseExceptionGroup as failures:
        # The other was cancelled for its sake.
        raise failures.exceptions[0] from None


def _quiet(progress: Progress) -> None:
    """Subtitles are read in moments."""


class Slowest:
    """Of encoders side by side the one that is behind says how far the work is."""

    def __init__(self, moved: Callable[[Progress], None]) -> None:
        self._moved = moved
        self._last: list[Progress | None] = []

    def one(self) -> Callable[[Progress], None]:
        """For one of them, to be told how far it is."""
        number = len(self._last)
        self._last.append(None)

        def moved(progress: Progress) -> None:
            self._last[number] = progress
            known = [one for one in self._last if one is not None]
            if len(known) == len(self._last):
                self._moved(min(known, key=lambda one: one.share))

        return moved
