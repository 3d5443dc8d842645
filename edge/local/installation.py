"""One box: the embedded servers, what they need to know of one another, and the folder that holds it all.

Servers that the settings name are used instead of embedded ones and are checked before anything starts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TextIO

from core import keys
from core.database import Database, DatabaseDown
from core.migrate import migrate
from core.redis_client import RedisError, connect
from core.settings import Settings, SettingsError
from core.settings_providers import as_environment
from edge.local.fault import ServiceFault, disk_full
from edge.local.postgres import EmbeddedPostgres, new_password
from edge.local.secrets import SecretFile
from edge.local.valkey import EmbeddedValkey

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
        sockets = _socket_folder(settings.data)
        if settings.database_url is None:
            self.postgres = EmbeddedPostgres(
                settings.data / "postgres", sockets / "pg", settings.logs / "postgres.log", self.secrets
            )
            self.postgres.start()
            await self.postgres.prepare()
            settings = replace(
                settings, database_url=self.postgres.url(), owner_database_url=self.postgres.url("penstock_owner")
            )
        if settings.redis_url is None:
            self.valkey = EmbeddedValkey(
                settings.data / "valkey", sockets / "valkey.sock", settings.logs / "valkey.log"
            )
            self.valkey.start()
            settings = replace(settings, redis_url=self.valkey.url)
        assert settings.database_url is not None
        await _check_redis(settings.redis_url or "")
        done = await _migrated(settings.owner_database_url or settings.database_url)
        await _check_database(settings.database_url)
        self.settings = settings
        return done

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
        """The environment of a child process: everything resolved."""
        settings = self.settings
        assert settings.secret_keys is not None
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_DATA": str(settings.data),
            "PENSTOCK_DATABASE_URL": settings.database_url or "",
            "PENSTOCK_REDIS_URL": settings.redis_url or "",
            "PENSTOCK_STORE_URL": settings.store_url,
            "PENSTOCK_SECRET_KEYS": _ring_text(settings.secret_keys),
            "PENSTOCK_SEALING_KEYS": _ring_text(settings.sealing_keys) if settings.sealing_keys else "",
            "PENSTOCK_FFMPEG": str(settings.ffmpeg or ""),
            "PENSTOCK_LISTEN": f"{settings.listen_host}:{settings.listen_port}",
            "PENSTOCK_TRANSCODE_SLOTS": str(settings.worker_slots),
            "PENSTOCK_CACHE_MB": str(settings.cache_mb),
            "PENSTOCK_DISK_CACHE_MB": str(settings.disk_cache_mb),
            "PENSTOCK_TRUSTED_PROXIES": ",".join(map(str, settings.trusted_proxies)),
            "PENSTOCK_BIND_IP": "soft" if settings.bind_ip else "off",
            "PENSTOCK_BIND_COUNTRY": "soft" if settings.country_header else "off",
            "PENSTOCK_COUNTRY_HEADER": settings.country_header or "",
            "PENSTOCK_ACCEL": settings.accel or "",
            "PENSTOCK_RATE_PER_USER": str(settings.rate_per_user),
            "PENSTOCK_RATE_PER_KEY": str(settings.rate_per_key),
            "PENSTOCK_RATE_PER_ADDRESS": str(settings.rate_per_address),
            "PENSTOCK_PROGRESS_PARTITIONS": str(settings.progress_partitions),
            "PENSTOCK_COMPLETE_PERCENT": str(settings.complete_percent),
            "PENSTOCK_COMPLETE_TAIL_S": str(settings.complete_tail_s),
            "PENSTOCK_SHORT_PLAY_S": str(settings.short_play_s),
            "PENSTOCK_VIEWS_KEEP_MONTHS": str(settings.views_keep_months),
            "PENSTOCK_ERRORS_KEEP_DAYS": str(settings.errors_keep_days),
            "PENSTOCK_SMTP_URL": settings.smtp_url or "",
            "PENSTOCK_MAIL_FROM": settings.mail_from,
            "PENSTOCK_SITE_URL": settings.site_url if settings.site_is_named else "",
            "PENSTOCK_WEBHOOK_HTTP": "on" if settings.webhook_http else "off",
            "PENSTOCK_WEBHOOK_NETWORKS": ",".join(map(str, settings.webhook_networks)),
            **as_environment(settings.providers),
            "PYTHONUNBUFFERED": "1",
        }

    def stop(self) -> None:
        """Stops the embedded servers, the database last. Safe to call twice."""
        if self.valkey is not None:
            self.valkey.stop()
        if self.postgres is not None:
            self.postgres.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


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
        settings = replace(settings, database_url=server.url(), owner_database_url=server.url("penstock_owner"))
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
    return keys.new_key("k1") if name in ("keys", "sealing") else new_password()


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


async def _migrated(owner_url: str) -> list[str]:
    try:
        return await migrate(owner_url)
    except DatabaseDown as error:
        raise SettingsError(
            "PENSTOCK_DATABASE_URL",
            f"the server does not let us in ({error})",
            "Check host, database, user and password, or unset it for the embedded one.",
        ) from error


async def _check_database(url: str) -> None:
    database = await Database.connect(url, name="check", max_size=1)
    try:
        if await database.is_superuser():
            raise SettingsError(
                "PENSTOCK_DATABASE_URL",
                "logs in as a superuser, or with BYPASSRLS, which no row-level policy binds",
                "Name a plain role there (member of penstock_app), and the owner in PENSTOCK_OWNER_DATABASE_URL.",
            )
    except DatabaseDown as error:
        raise SettingsError(
            "PENSTOCK_DATABASE_URL", f"the server does not let us in ({error})", "Check user and password."
        ) from error
    finally:
        await database.close()
