"""What an attempt at a task hands back: a job's pieces to come, or a whole generation with its renditions and poster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from core.domain.media_keys import SealedKey


class Planned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rendition that is going to be made; `bps` is what it may take at most. As JSON it is an entry of `transcode_jobs.ladder`."""

    kind: Literal["video", "audio", "subtitles"]
    name: str
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    bps: int | None = None
    channels: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """What the first task of a long film ends with: how many chunks, whether there is sound or text, and what the probe found.

    `previewed`: the title is to be played while the pieces are made, if it has nothing else to play. `ladder`: what they will be.
    """

    chunks: int
    has_sound: bool
    source: str
    previewed: bool = False
    ladder: tuple[Planned, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the title does without, in sentences."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One playlist of a generation; `path` is relative to it."""

    kind: Literal["video", "audio", "subtitles", "iframes"]
    name: str
    path: str
    codecs: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    bandwidth_bps: int | None = None
    average_bandwidth_bps: int | None = None
    channels: int | None = None
    language: str | None = None
    segment_count: int = 0
    size_bytes: int = 0
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Poster:
    """The still picture of a generation, already in the store."""

    size_bytes: int
    checksum: str
    storage_provider: str
    bucket: str | None
    storage_key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole, verified, uploaded generation; `checksum` is over its manifest of names, sizes and hashes."""

    duration_ms: int
    width: int | None
    height: int | None
    has_video: bool
    has_audio: bool
    size_bytes: int
    checksum: str
    renditions: tuple[Rendition, ...]
    poster: Poster | None
    key: SealedKey | None = None
    """Of an encrypted generation."""
    warnings: tuple[str, ...] = ()
    """What the title does without, in sentences."""
