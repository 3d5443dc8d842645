"""Settings of an edge and of a whole installation: one frozen record from the environment, every mistake refused at start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from core.domain.house import House
from core.domain.logins import COMMON, DIRECT, OURS
from core.domain.media_settings import WorkerSettings, read_worker_settings
from core.domain.sealing import Sealer
from core.domain.webhook_guard import Guard
from core.keys import KeyRing
from core.settings import postgres_url
from core.variables import Network, SettingsError, Variables
from edge.settings_providers import Provider, read_providers

REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    *(f"redis{s}+{kind}" for s in ("", "s") for kind in ("sentinel", "cluster")),
)
MOST_PER_MINUTE = 10_000_000


@dataclass(frozen=True, slots=True)
class Settings(WorkerSettings):
    """Where everything is, and how it behaves. None means: the embedded one."""

    owner_database_url: str | None
    redis_url: str | None
    sealing_keys: KeyRing | None
    """What secrets at rest are sealed with (core/domain/sealing.py)."""
    listen_host: str
    listen_port: int
    edge_processes: int
    cache_mb: int
    disk_cache_mb: int
    """0: none."""
    trusted_proxies: tuple[Network, ...]
    bind_ip: bool
    """A session that is used from two networks at once counts as two."""
    may_roll_back: bool
    """Whether a client may try a change and take it back (`Prefer: tx=rollback`)."""
    country_header: str | None
    """What a trusted proxy says the client's country in, when sessions are bound to countries; None: they are not."""
    accel: str | None
    """The internal address below which nginx serves the store's files; None: we send them."""
    rate_per_user: int
    """Requests in a minute; 0: any number. So are the next two."""
    rate_per_key: int
    rate_per_address: int
    progress_partitions: int
    complete_percent: int
    complete_tail_s: int
    short_play_s: int
    views_keep_months: int
    """0: for ever."""
    errors_keep_days: int
    """0: for ever."""
    sessions_keep_days: int
    """How long after its end a session stays where it was; 0: for ever."""
    backups_keep: int
    """Daily backups of the embedded PostgreSQL that are kept; 0: none are made."""
    smtp_url: str | None
    """None: mail is written to files."""
    mail_from: str
    site_url: str
    """Where people reach this installation: what links in mail begin with."""
    site_is_named: bool
    """The site's address was given, and not made from the address that is listened on."""
    webhook_http: bool
    """Whether a webhook may be plain http."""
    webhook_networks: tuple[Network, ...]
    """Networks of one's own that webhooks may reach, at any port."""
    providers: tuple[Provider, ...]
    """Whom people may sign in with, beside a password."""
    stripe_key: str | None = field(repr=False)
    stripe_webhook_secret: str | None = field(repr=False)
    stripe_url: str | None
    """None: Stripe itself."""
    said: Mapping[str, str] = field(repr=False, compare=False)
    """The variables that all this was read from."""

    @property
    def house(self) -> House:
        """What commands are told of this installation."""
        sealer = Sealer(self.sealing_keys) if self.sealing_keys else None
        return House(sealer, Guard(self.webhook_networks, self.webhook_http))

    @property
    def migrate_database_url(self) -> str | None:
        """The login that owns the schema, not through a pooler."""
        return self.owner_database_url or self.direct_database_url or self.database_url

    @property
    def database_variable(self) -> str:
        """The variable that names the database, for people who have to correct it."""
        return OURS if self.said.get(OURS, "").strip() else COMMON

    @property
    def migrate_variable(self) -> str:
        """The variable that names the login that migrates."""
        if self.owner_database_url:
            return "PENSTOCK_OWNER_DATABASE_URL"
        return DIRECT if self.direct_database_url else self.database_variable

    @property
    def backups(self) -> Path:
        """The folder of the embedded PostgreSQL's backups."""
        return self.data / "backups"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.data / "logs"

    @property
    def mail(self) -> Path:
        """The folder that mail goes to when no server is named."""
        return self.data / "outbox" / "mail"

    @property
    def uploads(self) -> Path:
        """The folder of uploads that are not whole yet."""
        return self.data / "uploads"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ` (default: the process's). Raises SettingsError on the first wrong one."""
    variables = Variables(environ)
    shared = read_worker_settings(variables)
    host, port = variables.address("PENSTOCK_LISTEN", "0.0.0.0:8080") or ("127.0.0.1", 8080)
    return Settings(
        **{each.name: getattr(shared, each.name) for each in fields(shared)},
        owner_database_url=postgres_url(variables, "PENSTOCK_OWNER_DATABASE_URL"),
        redis_url=variables.url("PENSTOCK_REDIS_URL", REDIS_SCHEMES, "redis://host:6379/0"),
        sealing_keys=variables.ring("PENSTOCK_SEALING_KEYS"),
        listen_host=host,
        listen_port=port,
        edge_processes=variables.count("PENSTOCK_WORKERS", default=max(1, min(os.cpu_count() or 1, 8)), most=64),
        cache_mb=variables.count("PENSTOCK_CACHE_MB", default=256, most=1_000_000),
        disk_cache_mb=variables.count("PENSTOCK_DISK_CACHE_MB", default=0, most=100_000_000),
        trusted_proxies=variables.networks("PENSTOCK_TRUSTED_PROXIES"),
        bind_ip=variables.choice("PENSTOCK_BIND_IP", ("off", "soft")) == "soft",
        may_roll_back=variables.is_on("PENSTOCK_API_ROLLBACK"),
        country_header=_country_header(variables),
        accel=_accel(variables.text("PENSTOCK_ACCEL"), shared.store_url),
        rate_per_user=variables.count("PENSTOCK_RATE_PER_USER", default=3_000, most=MOST_PER_MINUTE, least=0),
        rate_per_key=variables.count("PENSTOCK_RATE_PER_KEY", default=6_000, most=MOST_PER_MINUTE, least=0),
        rate_per_address=variables.count("PENSTOCK_RATE_PER_ADDRESS", default=6_000, most=MOST_PER_MINUTE, least=0),
        progress_partitions=variables.count("PENSTOCK_PROGRESS_PARTITIONS", default=4, most=256),
        complete_percent=variables.count("PENSTOCK_COMPLETE_PERCENT", default=95, most=100),
        complete_tail_s=variables.count("PENSTOCK_COMPLETE_TAIL_S", default=30, most=600, least=0),
        short_play_s=variables.count("PENSTOCK_SHORT_PLAY_S", default=10, most=600, least=0),
        views_keep_months=variables.count("PENSTOCK_VIEWS_KEEP_MONTHS", default=0, most=1200),
        errors_keep_days=variables.count("PENSTOCK_ERRORS_KEEP_DAYS", default=90, most=36_500, least=0),
        sessions_keep_days=variables.count("PENSTOCK_SESSIONS_KEEP_DAYS", default=90, most=36_500, least=0),
        backups_keep=variables.count("PENSTOCK_BACKUPS_KEEP", default=7, most=1000, least=0),
        smtp_url=_smtp(variables),
        mail_from=_mail_from(variables),
        site_url=_site(variables, host, port),
        site_is_named=bool(variables.text("PENSTOCK_SITE_URL")),
        webhook_http=variables.is_on("PENSTOCK_WEBHOOK_HTTP"),
        webhook_networks=variables.networks("PENSTOCK_WEBHOOK_NETWORKS"),
        providers=read_providers(variables),
        stripe_key=_stripe(variables, "PENSTOCK_STRIPE_KEY", r"(?:sk|rk)_\w+", "sk_... or rk_..."),
        stripe_webhook_secret=_stripe(variables, "PENSTOCK_STRIPE_WEBHOOK_SECRET", r"whsec_\S+", "whsec_..."),
        stripe_url=variables.url("PENSTOCK_STRIPE_URL", ("https", "http"), "https://host"),
        said=variables.own,
    )


def as_listen(host: str, port: int) -> str:
    """An address as PENSTOCK_LISTEN says it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stripe(variables: Variables, variable: str, shape: str, example: str) -> str | None:
    """One of the two secrets, which come together or not at all."""
    text = variables.text(variable)
    other = {"PENSTOCK_STRIPE_KEY", "PENSTOCK_STRIPE_WEBHOOK_SECRET"} - {variable}
    if not text:
        return None
    if not re.fullmatch(shape, text):
        raise SettingsError(variable, "is not what Stripe gives", f"It looks like {example}.")
    if not variables.text(missing := next(iter(other))):
        raise SettingsError(variable, f"needs {missing}", "Stripe's dashboard has both: API keys, and webhooks.")
    return text


def _country_header(variables: Variables) -> str | None:
    name = variables.text("PENSTOCK_COUNTRY_HEADER")
    if name and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        raise SettingsError(
            "PENSTOCK_COUNTRY_HEADER", f"{name!r} is not the name of a header", "Write it like CF-IPCountry."
        )
    if variables.choice("PENSTOCK_BIND_COUNTRY", ("off", "soft")) == "off":
        return None
    if not name or not variables.text("PENSTOCK_TRUSTED_PROXIES"):
        missing = "PENSTOCK_TRUSTED_PROXIES" if name else "PENSTOCK_COUNTRY_HEADER"
        raise SettingsError(
            "PENSTOCK_BIND_COUNTRY",
            f"needs {missing}",
            "A country is what a trusted proxy says in a header: name both, for example CF-IPCountry and 10.0.0.0/8.",
        )
    return name


def _accel(text: str, store_url: str) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"(?:/[A-Za-z0-9_-]{1,64}){1,4}/?", text):
        raise SettingsError(
            "PENSTOCK_ACCEL", f"{text!r} is not an address of nginx's", "Write it like /penstock-store."
        )
    if not store_url.startswith("file:"):
        raise SettingsError(
            "PENSTOCK_ACCEL", "needs the file store", "Unset it, or let PENSTOCK_STORE_URL name a folder: file:///..."
        )
    return text.rstrip("/")


def _smtp(variables: Variables) -> str | None:
    url = variables.url("PENSTOCK_SMTP_URL", ("smtp", "smtps"), "smtps://user:password@mail.example.org")
    if url is not None and urlsplit(url).hostname is None:
        raise SettingsError(
            "PENSTOCK_SMTP_URL", "names no server", "Write it like smtps://user:password@mail.example.org."
        )
    return url


def _site(variables: Variables, host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104 - shown, not bound
    url = variables.url("PENSTOCK_SITE_URL", ("https", "http"), "https://film.example.org") or f"http://{shown}:{port}"
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc or not url.isascii() or " " in url:
        raise SettingsError(
            "PENSTOCK_SITE_URL", "is not the address of a site", "Write it like https://film.example.org."
        )
    return url.rstrip("/")


def _mail_from(variables: Variables) -> str:
    text = variables.text("PENSTOCK_MAIL_FROM") or "Penstock <penstock@localhost>"
    name, address = parseaddr(text)
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address) or any(ord(letter) < 32 for letter in name):
        raise SettingsError(
            "PENSTOCK_MAIL_FROM",
            "is not an address",
            "Write it like Film shop <post@example.org>, or post@example.org.",
        )
    return text
