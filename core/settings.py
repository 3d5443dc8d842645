"""Settings: one frozen record from the environment, every mistake refused at start with its variable and its mend."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from core.domain.media_encoding import QUALITIES, Encoding, check_codecs, read_codecs
from core.keys import KeyRing, parse_ring
from core.settings_providers import Provider, ProviderSettingError, read_providers

Network = IPv4Network | IPv6Network

REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    *(f"redis{s}+{kind}" for s in ("", "s") for kind in ("sentinel", "cluster")),
)

ROOT = Path(__file__).resolve().parent.parent


class SettingsError(Exception):
    """A variable is wrong: its name, what is wrong with it, and how to mend it."""

    def __init__(self, variable: str, problem: str, mend: str) -> None:
        super().__init__(f"{variable}: {problem}. {mend}")
        self.variable = variable
        self.problem = problem
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. None means: the embedded one."""

    data: Path
    database_url: str | None
    owner_database_url: str | None
    redis_url: str | None
    store_url: str
    ffmpeg: Path | None
    secret_keys: KeyRing | None
    sealing_keys: KeyRing | None
    """What secrets at rest are sealed with (core/sealing.py)."""
    listen_host: str
    listen_port: int
    edge_processes: int
    worker_slots: int
    chunk_s: int
    """Films of twice that are encoded in chunks of about so many seconds; 0: never."""
    encoding: Encoding
    """For every job that does not say otherwise."""
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
    errors_keep_days: int
    """0: for ever."""
    """0: for ever."""
    smtp_url: str | None
    """None: mail is written to files."""
    mail_from: str
    site_url: str
    site_is_named: bool
    """The site's address was given, and not made from the address that is listened on."""
    """Where people reach this installation: what links in mail begin with."""
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

    @property
    def scratch(self) -> Path:
        """The folder in which workers encode."""
        return self.data / "scratch"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ` (default: the process's). Raises SettingsError on the first wrong one."""
    env = os.environ if environ is None else environ
    data = Path(env.get("PENSTOCK_DATA") or ROOT / ".penstock").expanduser().absolute()
    host, port = _listen(env.get("PENSTOCK_LISTEN") or "127.0.0.1:8080")
    store_url = (
        _url(env, "PENSTOCK_STORE_URL", ("file", "s3", "gs", "az"), "s3://bucket/prefix or file:///folder")
        or f"file://{data / 'store'}"
    )
    return Settings(
        data=data,
        database_url=_url(
            env, "PENSTOCK_DATABASE_URL", ("postgresql", "postgres"), "postgresql://user:password@host/database"
        ),
        owner_database_url=_url(
            env, "PENSTOCK_OWNER_DATABASE_URL", ("postgresql", "postgres"), "postgresql://owner:password@host/database"
        ),
        redis_url=_url(env, "PENSTOCK_REDIS_URL", REDIS_SCHEMES, "redis://host:6379/0"),
        store_url=store_url,
        ffmpeg=_ffmpeg(env.get("PENSTOCK_FFMPEG")),
        secret_keys=_ring(env, "PENSTOCK_SECRET_KEYS"),
        sealing_keys=_ring(env, "PENSTOCK_SEALING_KEYS"),
        listen_host=host,
        listen_port=port,
        edge_processes=_count(env, "PENSTOCK_WORKERS", default=max(1, min(os.cpu_count() or 1, 8)), most=64),
        worker_slots=_count(env, "PENSTOCK_TRANSCODE_SLOTS", default=1, most=64),
        chunk_s=_count(env, "PENSTOCK_CHUNK_S", default=30, most=3600, least=0),
        encoding=Encoding(
            _codecs(env.get("PENSTOCK_CODECS")),
            _choice(env, "PENSTOCK_QUALITY", QUALITIES),
            _choice(env, "PENSTOCK_ENCRYPTION", ("off", "aes-128")) == "aes-128",
        ),
        cache_mb=_count(env, "PENSTOCK_CACHE_MB", default=256, most=1_000_000),
        disk_cache_mb=_count(env, "PENSTOCK_DISK_CACHE_MB", default=0, most=100_000_000),
        trusted_proxies=_networks(env, "PENSTOCK_TRUSTED_PROXIES"),
        bind_ip=_choice(env, "PENSTOCK_BIND_IP", ("off", "soft")) == "soft",
        may_roll_back=_choice(env, "PENSTOCK_API_ROLLBACK", ("off", "on")) == "on",
        country_header=_country_header(env),
        accel=_accel(env.get("PENSTOCK_ACCEL"), store_url),
        rate_per_user=_count(env, "PENSTOCK_RATE_PER_USER", default=3_000, most=10_000_000, least=0),
        rate_per_key=_count(env, "PENSTOCK_RATE_PER_KEY", default=6_000, most=10_000_000, least=0),
        rate_per_address=_count(env, "PENSTOCK_RATE_PER_ADDRESS", default=6_000, most=10_000_000, least=0),
        progress_partitions=_count(env, "PENSTOCK_PROGRESS_PARTITIONS", default=4, most=256),
        complete_percent=_count(env, "PENSTOCK_COMPLETE_PERCENT", default=95, most=100),
        complete_tail_s=_count(env, "PENSTOCK_COMPLETE_TAIL_S", default=30, most=600, least=0),
        short_play_s=_count(env, "PENSTOCK_SHORT_PLAY_S", default=10, most=600, least=0),
        views_keep_months=_count(env, "PENSTOCK_VIEWS_KEEP_MONTHS", default=0, most=1200),
        errors_keep_days=_count(env, "PENSTOCK_ERRORS_KEEP_DAYS", default=90, most=36_500, least=0),
        smtp_url=_smtp(env),
        mail_from=_mail_from(env),
        site_url=_site(env, host, port),
        site_is_named=bool(env.get("PENSTOCK_SITE_URL", "").strip()),
        webhook_http=_choice(env, "PENSTOCK_WEBHOOK_HTTP", ("off", "on")) == "on",
        webhook_networks=_networks(env, "PENSTOCK_WEBHOOK_NETWORKS"),
        providers=_providers(env),
        stripe_key=_stripe(env, "PENSTOCK_STRIPE_KEY", r"(?:sk|rk)_\w+", "sk_... or rk_..."),
        stripe_webhook_secret=_stripe(env, "PENSTOCK_STRIPE_WEBHOOK_SECRET", r"whsec_\S+", "whsec_..."),
        stripe_url=_url(env, "PENSTOCK_STRIPE_URL", ("https", "http"), "https://host"),
    )


def _providers(env: Mapping[str, str]) -> tuple[Provider, ...]:
    try:
        return read_providers(env)
    except ProviderSettingError as mistake:
        raise SettingsError(mistake.variable, mistake.problem, mistake.mend) from None


def _stripe(env: Mapping[str, str], variable: str, shape: str, example: str) -> str | None:
    """One of the two secrets, which come together or not at all."""
    text = env.get(variable, "").strip()
    other = {"PENSTOCK_STRIPE_KEY", "PENSTOCK_STRIPE_WEBHOOK_SECRET"} - {variable}
    if not text:
        return None
    if not re.fullmatch(shape, text):
        raise SettingsError(variable, "is not what Stripe gives", f"It looks like {example}.")
    if not env.get(missing := next(iter(other)), "").strip():
        raise SettingsError(variable, f"needs {missing}", "Stripe's dashboard has both: API keys, and webhooks.")
    return text


def _url(env: Mapping[str, str], variable: str, schemes: tuple[str, ...], example: str) -> str | None:
    text = env.get(variable, "").strip()
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in schemes or not (parts.netloc or parts.path.strip("/") or parts.query):
        # The text itself may hold a password: it is not repeated.
        raise SettingsError(
            variable,
            f"is not a {' or '.join(schemes)} URL",
            f"Write it like {example}, or unset it for the embedded one.",
        )
    return text


def _listen(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([^:\[\]]+)):(\d{1,5})", text)
    if match is None or int(match.group(3)) > 65535:
        raise SettingsError(
            "PENSTOCK_LISTEN", f"{text!r} is not host:port", "Write it like 0.0.0.0:8080; port 0 picks a free one."
        )
    return match.group(1) or match.group(2), int(match.group(3))


def _count(env: Mapping[str, str], variable: str, *, default: int, most: int, least: int | None = None) -> int:
    text = env.get(variable, "").strip()
    if not text:
        return default
    least = min(1, default) if least is None else least
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise SettingsError(
            variable, f"{text!r} is not a number from {least} to {most}", f"Unset it for the default, {default}."
        )
    return int(text)


def _networks(env: Mapping[str, str], variable: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in env.get(variable, "").split(",") if part.strip())
    except ValueError as error:
        raise SettingsError(
            variable, f"has what is no network: {error}", "Write it like 10.0.0.0/8,192.0.2.7,fd00::/8."
        ) from error


def _choice(env: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    text = env.get(variable, "").strip() or choices[0]
    if text not in choices:
        raise SettingsError(variable, f"{text!r} is not one of {', '.join(choices)}", f"The default is {choices[0]}.")
    return text


def _codecs(text: str | None) -> tuple[str, ...]:
    codecs = read_codecs(text or "h264")
    if wrong := check_codecs(codecs):
        raise SettingsError("PENSTOCK_CODECS", wrong, "Write it like h264,hevc,av1; the default is h264.")
    return codecs


def _country_header(env: Mapping[str, str]) -> str | None:
    name = env.get("PENSTOCK_COUNTRY_HEADER", "").strip()
    if name and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        raise SettingsError(
            "PENSTOCK_COUNTRY_HEADER", f"{name!r} is not the name of a header", "Write it like CF-IPCountry."
        )
    if _choice(env, "PENSTOCK_BIND_COUNTRY", ("off", "soft")) == "off":
        return None
    if not name or not env.get("PENSTOCK_TRUSTED_PROXIES", "").strip():
        missing = "PENSTOCK_TRUSTED_PROXIES" if name else "PENSTOCK_COUNTRY_HEADER"
        raise SettingsError(
            "PENSTOCK_BIND_COUNTRY",
            f"needs {missing}",
            "A country is what a trusted proxy says in a header: name both, for example CF-IPCountry and 10.0.0.0/8.",
        )
    return name


def _accel(text: str | None, store_url: str) -> str | None:
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


def _ffmpeg(text: str | None) -> Path | None:
    if not text:
        return None
    path = Path(text).expanduser()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise SettingsError(
            "PENSTOCK_FFMPEG",
            f"{text} is not a program",
            "Give the full path of ffmpeg, or unset it for the bundled one.",
        )
    return path


def _smtp(env: Mapping[str, str]) -> str | None:
    url = _url(env, "PENSTOCK_SMTP_URL", ("smtp", "smtps"), "smtps://user:password@mail.example.org")
    if url is not None and urlsplit(url).hostname is None:
        raise SettingsError(
            "PENSTOCK_SMTP_URL", "names no server", "Write it like smtps://user:password@mail.example.org."
        )
    return url


def _site(env: Mapping[str, str], host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104 - shown, not bound
    url = _url(env, "PENSTOCK_SITE_URL", ("https", "http"), "https://film.example.org") or f"http://{shown}:{port}"
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc or not url.isascii() or " " in url:
        raise SettingsError(
            "PENSTOCK_SITE_URL", "is not the address of a site", "Write it like https://film.example.org."
        )
    return url.rstrip("/")


def _mail_from(env: Mapping[str, str]) -> str:
    text = env.get("PENSTOCK_MAIL_FROM", "").strip() or "Penstock <penstock@localhost>"
    name, address = parseaddr(text)
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address) or any(ord(letter) < 32 for letter in name):
        raise SettingsError(
            "PENSTOCK_MAIL_FROM",
            "is not an address",
            "Write it like Film shop <post@example.org>, or post@example.org.",
        )
    return text


def _ring(env: Mapping[str, str], variable: str) -> KeyRing | None:
    text = env.get(variable)
    if not text:
        return None
    try:
        return parse_ring(text)
    except ValueError as error:
        raise SettingsError(
            variable, str(error), "Write id:secret,id:secret, oldest first; the last one signs."
        ) from None
