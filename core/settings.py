"""Settings that every process has: one frozen record from the environment, every mistake refused at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.keys import KeyRing
from core.variables import Variables

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Where everything is. None means: the embedded one."""

    data: Path
    database_url: str | None
    direct_database_url: str | None
    """Past any pooler, for what cannot go through one: notifications. None: as `database_url`."""
    store_url: str
    secret_keys: KeyRing | None

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
    return SharedSettings(
        data=data,
        database_url=postgres_url(variables, "PENSTOCK_DATABASE_URL") or postgres_url(variables, "DATABASE_URL"),
        direct_database_url=postgres_url(variables, "PENSTOCK_DIRECT_DATABASE_URL"),
        store_url=store_url or f"file://{data / 'store'}",
        secret_keys=variables.ring("PENSTOCK_SECRET_KEYS"),
    )


def postgres_url(variables: Variables, variable: str) -> str | None:
    """Where a database is; None when it is unset. Raises SettingsError."""
    return variables.url(variable, ("postgresql", "postgres"), "postgresql://user:password@host/database")
