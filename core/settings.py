"""Settings that a worker has and an edge shares: one frozen record from the environment, every mistake refused at start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.domain.media_encoding import QUALITIES, Encoding, check_codecs, read_codecs
from core.keys import KeyRing
from core.variables import SettingsError, Variables

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Where everything is. None means: the embedded one."""

    data: Path
    database_url: str | None
    direct_database_url: str | None
    """Past any pooler, for what cannot go through one: notifications. None: as `database_url`."""
    store_url: str
    ffmpeg: Path | None
    secret_keys: KeyRing | None
    worker_slots: int
    chunk_s: int
    """Films of twice that are encoded in chunks of about so many seconds; 0: never."""
    encoding: Encoding
    """For every job that does not say otherwise."""

    @property
    def listen_database_url(self) -> str | None:
        """Where notifications are heard: not through a pooler."""
        return self.direct_database_url or self.database_url

    @property
    def scratch(self) -> Path:
        """The folder in which workers encode."""
        return self.data / "scratch"


def read_shared_settings(variables: Variables) -> SharedSettings:
    """Settings from `variables`. Raises SettingsError on the first wrong one."""
    data = Path(variables.text("PENSTOCK_DATA") or ROOT / ".penstock").expanduser().absolute()
    store_url = variables.url("PENSTOCK_STORE_URL", ("file", "s3", "gs", "az"), "s3://bucket/prefix or file:///folder")
    is_encrypted = variables.choice("PENSTOCK_ENCRYPTION", ("off", "aes-128")) == "aes-128"
    return SharedSettings(
        data=data,
        database_url=postgres_url(variables, "PENSTOCK_DATABASE_URL") or postgres_url(variables, "DATABASE_URL"),
        direct_database_url=postgres_url(variables, "PENSTOCK_DIRECT_DATABASE_URL"),
        store_url=store_url or f"file://{data / 'store'}",
        ffmpeg=_ffmpeg(variables),
        secret_keys=variables.ring("PENSTOCK_SECRET_KEYS"),
        worker_slots=variables.count("PENSTOCK_TRANSCODE_SLOTS", default=1, most=64),
        chunk_s=variables.count("PENSTOCK_CHUNK_S", default=30, most=3600, least=0),
        encoding=Encoding(_codecs(variables), variables.choice("PENSTOCK_QUALITY", QUALITIES), is_encrypted),
    )


def postgres_url(variables: Variables, variable: str) -> str | None:
    """Where a database is; None when it is unset. Raises SettingsError."""
    return variables.url(variable, ("postgresql", "postgres"), "postgresql://user:password@host/database")


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
