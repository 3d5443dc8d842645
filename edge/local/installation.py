"""One box: the embedded servers, what they need to know of one another, and the folder that holds it all.

Servers that the settings name are used instead of embedded ones and are checked before anything starts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import TextIO

from core import keys
from core.database import DatabaseDown
from core.domain.logins import check_login, told_refused
from core.variables import SettingsError
from edge.local.backups import Backups, archiving
from edge.local.fault import ServiceFault, disk_full
from edge.local.postgres import EmbeddedPostgres, new_password
from edge.local.restore import Found, restore
from edge.local.secrets import SecretFile, new_key
from edge.local.valkey import EmbeddedValkey
from edge.migrate import migrate
from edge.redis_client import RedisError, connect
from edge.settings import Settings, as_listen

NEEDED_BYTES = 1024**3
# A unix socket's path ends at 107 bytes; PostgreSQL adds `/.s.PGSQL.5432.lock`.
LONGEST_SOCKET_FOLDER = 107 - 20


@dataclass(slots=True)
class Installation:
    """The servers of one data folder. `start`, use `settings`, `stop`."""

    settings: Settings
    postgres: EmbeddedPostgres | None = None
    valkey: EmbeddedValkey | None = None
    _lock: TextIO | None = None
    secrets: SecretFile = field(init=False)
    ring_is_named: bool = field(init=False)
    """The key ring is PENSTOCK_SECRET_KEYS, not the one in secrets.json."""

    def __post_init__(self) -> None:
        self.secrets = open_secrets(self.settings.data)
        self.ring_is_named = self.settings.secret_keys is not None

    async def start(self) -> list[str]:
        """Starts what is embedded, checks what is not, migrates; the migrations done. Raises ServiceFault, SettingsError."""
        self._take_folder()
        settings = self.settings
        if settings.secret_keys is None:
            settings = replace(settings, secret_keys=keys.parse_ring(self.secrets.get("keys")))
        if settings.sealing_keys is None:
            settings = replace(settings, sealing_keys=keys.parse_ring(self.secrets.get("sealing")))
        settings = await self._open_postgres(settings)
        sockets = _socket_folder(settings.data)
        if settings.redis_url is None:
            self.valkey = EmbeddedValkey(
                settings.data / "valkey", sockets / "valkey.sock", settings.logs / "valkey.log"
            )
            self.valkey.start()
            settings = replace(settings, redis_url=self.valkey.url)
        await _check_redis(settings.redis_url or "")
        await _check_database(settings)
        done = await _migrated(settings)
        self.settings = settings
        return done

    async def open_database(self) -> str:
        """Takes the folder and starts the database alone, as it is; the owner's URL. Raises ServiceFault."""
        self._take_folder()
        self.settings = await self._open_postgres(self.settings)
        assert self.settings.migrate_database_url is not None
        return self.settings.migrate_database_url

    async def _open_postgres(self, settings: Settings) -> Settings:
        """With the embedded server started and named in them, where they name none."""
        if settings.database_url is not None:
            return settings
        self.postgres = EmbeddedPostgres(
            settings.data / "postgres",
            _socket_folder(settings.data) / "pg",
            settings.logs / "postgres.log",
            self.secrets,
        )
        if settings.backups_keep:
            self.postgres.options = archiving(settings.backups)
            self.postgres.writes_to = (settings.backups / "wal",)
        self.postgres.start()
        await self.postgres.prepare()
        return replace(
            settings,
            database_url=self.postgres.url(),
            owner_database_url=self.postgres.url("penstock_owner"),
            direct_database_url=None,
        )

    def _take_folder(self) -> None:
        """One supervisor to a data folder."""
        data = self.settings.data
        try:
            for folder in (data, self.settings.logs, data / "run"):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = (data / "lock").open("w")
        except OSError as error:
            raise ServiceFault(
                "Penstock", f"cannot write in {data}: {error.strerror}", "Set PENSTOCK_DATA to a folder of yours."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceFault(
                "Penstock",
                f"is already running on {data}",
                "Stop the other one, or give this one a folder of its own: --data DIR or PENSTOCK_DATA.",
            ) from None
        if shutil.disk_usage(data).free < NEEDED_BYTES:
            raise disk_full("Penstock", data)

    async def back_up(self, stopping: asyncio.Event) -> None:
        """Backs the embedded PostgreSQL up every day, until told to stop."""
        if self.postgres is not None and self.settings.backups_keep:
            await Backups(self.settings.backups, self.settings.backups_keep, self.postgres).run(stopping)

    async def restore(self, at: datetime | None) -> Found:
        """Puts the embedded PostgreSQL back to `at` (None: as late as can be). Raises ServiceFault, also while it is running."""
        settings = self.settings
        if settings.database_url is not None:
            raise ServiceFault("Backup", "is of the embedded PostgreSQL", "Restore your own server with its own tools.")
        try:
            self._take_folder()
            sockets = _socket_folder(settings.data) / "pg"
            return await restore(settings.data, settings.backups, sockets, self.secrets, at=at)
        finally:
            self.stop()

    def read_keys_again(self) -> None:
        """Takes up what `penstock keys` has changed since the start. Raises ServiceFault, and keeps the ring it has."""
        if self.ring_is_named:
            return
        try:
            ring = keys.parse_ring(open_secrets(self.settings.data).get("keys"))
        except (OSError, ValueError) as error:
            raise ServiceFault(
                "Penstock", f"cannot read the key ring: {error}", f"It is in {self.settings.data}/secrets.json."
            ) from error
        self.settings = replace(self.settings, secret_keys=ring)

    def environment(self) -> Mapping[str, str]:
        """The environment of a child process: what this one was told, with the servers, keys and address that came of it."""
        settings = self.settings
        assert settings.secret_keys is not None
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PENSTOCK_")}
        environment |= settings.said
        environment |= {
            "PENSTOCK_DATA": str(settings.data),
            "PENSTOCK_DATABASE_URL": settings.database_url or "",
            "PENSTOCK_DIRECT_DATABASE_URL": settings.direct_database_url or "",
            "PENSTOCK_REDIS_URL": settings.redis_url or "",
            "PENSTOCK_SECRET_KEYS": _ring_text(settings.secret_keys),
            "PENSTOCK_SEALING_KEYS": _ring_text(settings.sealing_keys) if settings.sealing_keys else "",
            "PENSTOCK_LISTEN": as_listen(settings.listen_host, settings.listen_port),
            "PYTHONUNBUFFERED": "1",
        }
        # The owner migrates; whoever serves or encodes could bypass row-level security with it.
        environment.pop("PENSTOCK_OWNER_DATABASE_URL", None)
        # Its workers' figures are in the installation's own /metrics, and two workers cannot have one port.
        environment.pop("PENSTOCK_WORKER_METRICS", None)
        return environment

    def stop(self) -> None:
        """Stops the embedded servers, the database last. Safe to call twice."""
        if self.valkey is not None:
            self.valkey.stop()
        if self.postgres is not None:
            self.postgres.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def running_postgres(settings: Settings) -> EmbeddedPostgres | None:
    """The embedded server of the installation that is running on this data folder; None when there is none."""
    if settings.database_url is not None or not is_running(settings.data):
        return None
    sockets = _socket_folder(settings.data) / "pg"
    return EmbeddedPostgres(
        settings.data / "postgres", sockets, settings.logs / "postgres.log", open_secrets(settings.data)
    )


def scratch_sockets(data: Path) -> Path:
    """Where a second server may listen, beside the installation's own."""
    return _socket_folder(data) / "vf"


def running_settings(settings: Settings) -> Settings | None:
    """How to reach the installation that is running on this data folder, or the servers the environment names; else None."""
    installation = Installation(settings)
    if settings.database_url is None and not _is_held(settings.data / "lock"):
        return None
    sockets = _socket_folder(settings.data)
    if settings.database_url is None:
        server = EmbeddedPostgres(
            settings.data / "postgres", sockets / "pg", settings.logs / "postgres.log", installation.secrets
        )
        settings = replace(
            settings,
            database_url=server.url(),
            owner_database_url=server.url("penstock_owner"),
            direct_database_url=None,
        )
    if settings.redis_url is None:
        settings = replace(
            settings, redis_url=EmbeddedValkey(settings.data, sockets / "valkey.sock", settings.logs).url
        )
    return settings


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def open_secrets(data: Path) -> SecretFile:
    """The secrets of the installation in `data`, made when first asked for."""
    return SecretFile(data / "secrets.json", _make_secret)


def is_running(data: Path) -> bool:
    """Whether a supervisor holds this data folder."""
    return _is_held(data / "lock")


def _make_secret(name: str) -> str:
    return new_key("k1") if name in ("keys", "sealing") else new_password()


def _ring_text(ring: keys.KeyRing) -> str:
    return ",".join(f"{key.id}:{key.secret.decode()}" for key in ring.keys)


def _socket_folder(data: Path) -> Path:
    folder = data / "run"
    if len(str(folder / "pg").encode()) <= LONGEST_SOCKET_FOLDER:
        return folder
    short = Path("/tmp") / f"penstock-{os.getuid()}-{blake2b(str(data).encode(), digest_size=6).hexdigest()}"  # noqa: S108 - owned and closed below
    short.mkdir(mode=0o711, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise ServiceFault("Penstock", f"{short} belongs to somebody else", "Set PENSTOCK_DATA to a shorter path.")
    return short


async def _check_redis(url: str) -> None:
    client = connect(url)
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        raise SettingsError(
            "PENSTOCK_REDIS_URL",
            f"the server does not answer ({error})",
            "Start it, or unset the variable for the embedded one.",
        ) from error
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()


async def _migrated(settings: Settings) -> list[str]:
    owner_url = settings.migrate_database_url
    assert owner_url is not None
    try:
        return await migrate(owner_url)
    except DatabaseDown as error:
        raise told_refused(error, settings.migrate_variable, owner_url) from error


async def _check_database(settings: Settings) -> None:
    url, direct_url = settings.database_url, settings.direct_database_url
    assert url is not None
    variable = settings.database_variable
    try:
        await check_login(url, direct_url, variable)
    except DatabaseDown as error:
        raise told_refused(error, variable, url) from error
