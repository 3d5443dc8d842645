"""What an operator set is what every process of the installation is set to."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from core import settings as module
from core.settings import read_settings
from edge.local.installation import Installation

# None of them is what it would be unset.
SAID = {
    "PENSTOCK_DATABASE_URL": "postgresql://app@db/p", "PENSTOCK_OWNER_DATABASE_URL": "postgresql://owner@db/p",
    "PENSTOCK_REDIS_URL": "redis://cache:6379/3", "PENSTOCK_STORE_URL": "file:///srv/films", "PENSTOCK_FFMPEG": "/bin/sh",
    "PENSTOCK_SECRET_KEYS": "a:" + "k" * 43, "PENSTOCK_SEALING_KEYS": "b:" + "s" * 43, "PENSTOCK_LISTEN": "127.0.0.1:9",
    "PENSTOCK_WORKERS": "3", "PENSTOCK_TRANSCODE_SLOTS": "5", "PENSTOCK_CHUNK_S": "7", "PENSTOCK_LADDER_TOP": "2160",
    "PENSTOCK_SCRATCH_GB": "11",
    "PENSTOCK_SCRATCH_SPARE_MB": "13", "PENSTOCK_WORKER_METRICS": "127.0.0.1:9101", "PENSTOCK_CODECS": "h264,av1",
    "PENSTOCK_QUALITY": "auto", "PENSTOCK_ENCRYPTION": "aes-128", "PENSTOCK_CACHE_MB": "17", "PENSTOCK_DISK_CACHE_MB": "19",
    "PENSTOCK_TRUSTED_PROXIES": "10.0.0.0/8", "PENSTOCK_BIND_IP": "soft", "PENSTOCK_API_ROLLBACK": "on",
    "PENSTOCK_BIND_COUNTRY": "soft", "PENSTOCK_COUNTRY_HEADER": "CF-IPCountry", "PENSTOCK_ACCEL": "/inside",
    "PENSTOCK_RATE_PER_USER": "23", "PENSTOCK_RATE_PER_KEY": "29", "PENSTOCK_RATE_PER_ADDRESS": "31",
    "PENSTOCK_PROGRESS_PARTITIONS": "6", "PENSTOCK_COMPLETE_PERCENT": "80", "PENSTOCK_COMPLETE_TAIL_S": "37",
    "PENSTOCK_SHORT_PLAY_S": "41", "PENSTOCK_VIEWS_KEEP_MONTHS": "43", "PENSTOCK_SMTP_URL": "smtp://mail:25",
    "PENSTOCK_MAIL_FROM": "post@example.org", "PENSTOCK_SITE_URL": "https://film.example.org", "PENSTOCK_WEBHOOK_HTTP": "on",
    "PENSTOCK_WEBHOOK_NETWORKS": "192.0.2.0/24", "PENSTOCK_STRIPE_KEY": "sk_test_1", "PENSTOCK_STRIPE_WEBHOOK_SECRET": "whsec_1",
    "PENSTOCK_STRIPE_URL": "http://127.0.0.1:9", "PENSTOCK_OIDC_PROVIDERS": "google",
    "PENSTOCK_OIDC_GOOGLE_ISSUER": "https://accounts.example.org", "PENSTOCK_OIDC_GOOGLE_CLIENT_ID": "id",
    "PENSTOCK_OIDC_GOOGLE_CLIENT_SECRET": "secret",
}  # fmt: skip
# The supervisor's own business: how many there are, whom migrations log in as, and the machine's one /metrics.
ITS_OWN = {"PENSTOCK_WORKERS", "PENSTOCK_OWNER_DATABASE_URL", "PENSTOCK_WORKER_METRICS"}


def test_every_setting_reaches_the_child_processes(tmp_path: Path) -> None:
    set_here = read_settings({**SAID, "PENSTOCK_DATA": str(tmp_path)})
    there = read_settings(Installation(set_here).environment())
    own = {"edge_processes", "owner_database_url", "worker_metrics"}
    assert replace(there, **{name: getattr(set_here, name) for name in own}) == set_here


def test_every_variable_is_among_those() -> None:
    """So that a new one cannot be forgotten."""
    named = set(re.findall(r'"(PENSTOCK_[A-Z_]+)"', Path(module.__file__).read_text("utf-8")))
    assert named - {"PENSTOCK_DATA"} <= set(SAID)


@pytest.mark.parametrize("name", sorted(set(SAID) - ITS_OWN - {"PENSTOCK_COUNTRY_HEADER", "PENSTOCK_BIND_COUNTRY"}))
def test_none_of_them_is_the_default(name: str, tmp_path: Path) -> None:
    """Else the first test could not tell what is passed on from what is left out."""
    said = {**SAID, "PENSTOCK_DATA": str(tmp_path)}
    without = {key: value for key, value in said.items() if not key.startswith(name)}
    for one, other in (
        ("PENSTOCK_STRIPE_KEY", "PENSTOCK_STRIPE_WEBHOOK_SECRET"),
        ("PENSTOCK_STRIPE_WEBHOOK_SECRET", "PENSTOCK_STRIPE_KEY"),
        ("PENSTOCK_TRUSTED_PROXIES", "PENSTOCK_BIND_COUNTRY"),
        ("PENSTOCK_OIDC_GOOGLE_ISSUER", "PENSTOCK_OIDC_PROVIDERS"),
        ("PENSTOCK_OIDC_GOOGLE_CLIENT_ID", "PENSTOCK_OIDC_PROVIDERS"),
        ("PENSTOCK_OIDC_GOOGLE_CLIENT_SECRET", "PENSTOCK_OIDC_PROVIDERS"),
    ):
        if name == one:
            without.pop(other)
    assert read_settings(without) != read_settings(said)
