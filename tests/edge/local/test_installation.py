"""What an installation was told reaches its processes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from core.domain.media_settings import WorkerSettings, read_worker_settings
from core.variables import Variables
from edge.local.installation import Installation
from edge.local.supervisor import Supervisor, Watched, open_socket
from edge.settings import Settings, read_settings

RING = f"k1:{'a' * 40},k2:{'b' * 40}"
# Every setting, set to what is not its default.
TOLD = {
    "PENSTOCK_DATABASE_URL": "postgresql://penstock@db.example/penstock",
    "PENSTOCK_OWNER_DATABASE_URL": "postgresql://owner@db.example/penstock",
    "PENSTOCK_DIRECT_DATABASE_URL": "postgresql://penstock@straight.example/penstock",
    "PENSTOCK_REDIS_URL": "redis://redis.example:6379/1",
    "PENSTOCK_STORE_URL": "file:///films",
    "PENSTOCK_FFMPEG": "/bin/sh",
    "PENSTOCK_SECRET_KEYS": RING,
    "PENSTOCK_SEALING_KEYS": RING,
    "PENSTOCK_LISTEN": "[::1]:8443",
    "PENSTOCK_WORKERS": "63",
    "PENSTOCK_TRANSCODE_SLOTS": "3",
    "PENSTOCK_CHUNK_S": "7",
    "PENSTOCK_LADDER_TOP": "2160",
    "PENSTOCK_SCRATCH_GB": "11",
    "PENSTOCK_SCRATCH_SPARE_MB": "13",
    "PENSTOCK_WORKER_METRICS": "127.0.0.1:9101",
    "PENSTOCK_CODECS": "h264,av1",
    "PENSTOCK_QUALITY": "auto",
    "PENSTOCK_ENCRYPTION": "aes-128",
    "PENSTOCK_CACHE_MB": "17",
    "PENSTOCK_DISK_CACHE_MB": "18",
    "PENSTOCK_TRUSTED_PROXIES": "10.0.0.0/8,fd00::/8",
    "PENSTOCK_BIND_IP": "soft",
    "PENSTOCK_BIND_COUNTRY": "soft",
    "PENSTOCK_COUNTRY_HEADER": "CF-IPCountry",
    "PENSTOCK_API_ROLLBACK": "on",
    "PENSTOCK_ACCEL": "/films",
    "PENSTOCK_RATE_PER_USER": "1",
    "PENSTOCK_RATE_PER_KEY": "2",
    "PENSTOCK_RATE_PER_ADDRESS": "3",
    "PENSTOCK_PROGRESS_PARTITIONS": "5",
    "PENSTOCK_COMPLETE_PERCENT": "80",
    "PENSTOCK_COMPLETE_TAIL_S": "9",
    "PENSTOCK_SHORT_PLAY_S": "8",
    "PENSTOCK_VIEWS_KEEP_MONTHS": "13",
    "PENSTOCK_BACKUPS_KEEP": "3",
    "PENSTOCK_ERRORS_KEEP_DAYS": "5",
    "PENSTOCK_SESSIONS_KEEP_DAYS": "6",
    "PENSTOCK_SMTP_URL": "smtp://mail.example",
    "PENSTOCK_MAIL_FROM": "Films <films@example.org>",
    "PENSTOCK_SITE_URL": "https://films.example.org",
    "PENSTOCK_WEBHOOK_HTTP": "on",
    "PENSTOCK_WEBHOOK_NETWORKS": "192.168.7.0/24",
    "PENSTOCK_OIDC_PROVIDERS": "keycloak",
    "PENSTOCK_OIDC_KEYCLOAK_ISSUER": "https://keycloak.example/realms/film",
    "PENSTOCK_OIDC_KEYCLOAK_CLIENT_ID": "c",
    "PENSTOCK_OIDC_KEYCLOAK_CLIENT_SECRET": "hush",
    "PENSTOCK_STRIPE_KEY": "sk_test_1",
    "PENSTOCK_STRIPE_WEBHOOK_SECRET": "whsec_1",
    "PENSTOCK_STRIPE_URL": "http://stripe.example",
}


def differing(one: WorkerSettings, other: WorkerSettings) -> set[str]:
    """The settings in which two records differ."""
    names = {each.name for each in fields(one)} - {"said"}
    return {name for name in names if getattr(one, name) != getattr(other, name)}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What was told; this process's own variables say otherwise."""
    monkeypatch.setenv("PENSTOCK_CACHE_MB", "4242")
    return read_settings({**TOLD, "PENSTOCK_DATA": str(tmp_path)})


def test_a_process_is_told_all_that_its_installation_was_told(told: Settings, tmp_path: Path) -> None:
    assert differing(told, read_settings({"PENSTOCK_DATA": str(tmp_path / "d")})) == {
        each.name for each in fields(Settings)
    } - {"said"}, "TOLD lacks a setting"
    environment = Installation(told).environment()
    # Who may change the schema is above all policies: that login is not handed on. Figures are served by the installation.
    assert differing(told, read_settings(environment)) == {"owner_database_url", "worker_metrics"}
    assert differing(read_worker_settings(Variables(environment)), told) == {"worker_metrics"}
    assert environment["PATH"]


def test_processes_know_the_port_that_was_picked(tmp_path: Path) -> None:
    settings = read_settings(
        {"PENSTOCK_DATA": str(tmp_path), "PENSTOCK_SECRET_KEYS": RING, "PENSTOCK_LISTEN": "127.0.0.1:0"}
    )
    with open_socket(settings) as listening:
        supervisor = Supervisor(Installation(settings), listening)
        told = read_settings(supervisor._environment(Watched("edge-0", [], tmp_path / "edge.log")))
        assert told.listen_port == listening.getsockname()[1]
        assert told.site_url == supervisor.url


def test_secrets_stay_out_of_what_is_printed(told: Settings) -> None:
    for secret in ("hush", "sk_test_1", "whsec_1"):
        assert secret not in repr(told)
