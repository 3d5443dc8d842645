"""Settings of who encodes. An edge has them too, so that a wrong one is refused when an installation starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from core.domain.media_encoding import QUALITIES, Encoding, check_codecs, read_codecs
from core.settings import SharedSettings, read_shared_settings
from core.variables import SettingsError, Variables


@dataclass(frozen=True, slots=True)
class WorkerSettings(SharedSettings):
    """How a worker encodes, and what it may take."""

    ffmpeg: Path | None
    """None: the bundled one."""
    worker_slots: int
    chunk_s: int
    """Films of twice that are encoded in chunks of about so many seconds; 0: never."""
    ladder_top: int
    """The most lines of any rendition: 1080, 1440 or 2160."""
    scratch_bytes: int
    """What one attempt at encoding may take of the scratch disk."""
    spare_bytes: int
    """With less than that free on its scratch disk, a worker takes no task."""
    worker_metrics: tuple[str, int] | None
    """Where a worker that no supervisor started serves its figures; None: nowhere."""
    encoding: Encoding
    """For every job that does not say otherwise."""


def read_worker_settings(variables: Variables) -> WorkerSettings:
    """Settings from `variables`. Raises SettingsError on the first wrong one."""
    shared = read_shared_settings(variables)
    is_encrypted = variables.choice("PENSTOCK_ENCRYPTION", ("off", "aes-128")) == "aes-128"
    return WorkerSettings(
        **{each.name: getattr(shared, each.name) for each in fields(shared)},
        ffmpeg=_ffmpeg(variables),
        worker_slots=variables.count("PENSTOCK_TRANSCODE_SLOTS", default=1, most=64),
        chunk_s=variables.count("PENSTOCK_CHUNK_S", default=30, most=3600, least=0),
        ladder_top=int(variables.choice("PENSTOCK_LADDER_TOP", ("1080", "1440", "2160"))),
        scratch_bytes=variables.count("PENSTOCK_SCRATCH_GB", default=256, most=1_000_000) << 30,
        spare_bytes=variables.count("PENSTOCK_SCRATCH_SPARE_MB", default=1024, most=1_000_000, least=0) << 20,
        worker_metrics=variables.address("PENSTOCK_WORKER_METRICS", "127.0.0.1:9101"),
        encoding=Encoding(_codecs(variables), variables.choice("PENSTOCK_QUALITY", QUALITIES), is_encrypted),
    )


def _codecs(variables: Variables) -> tuple[str, ...]:
    codecs = read_codecs(variables.text("PENSTOCK_CODECS") or "h264")
    if wrong := check_codecs(codecs):
        raise SettingsError("PENSTOCK_CODECS", wrong, "Write it like h264,hevc,av1; the default is h264.")
    return codecs


def _ffmpeg(variables: Variables) -> Path | None:
    text = variables.text("PENSTOCK_FFMPEG")
    if not text:
        return None
    path = Path(text).expanduser()
    if not (path.is_file() and os.access(path, os.X_OK)):
        mend = "Give the full path of ffmpeg, or unset it for the bundled one."
        raise SettingsError("PENSTOCK_FFMPEG", f"{text} is not a program", mend)
    return path
