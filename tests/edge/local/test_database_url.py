"""Which PostgreSQL an installation uses, and how it is told: DATABASE_URL, a pooler in between, a way past it."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from core import keys
from edge.api.access import AccessKeys
from edge.local.secrets import SecretFile
from edge.settings import read_settings
from tests.conftest import TestDatabase
from tests.pooler import running_pooler
from tests.running import Penstock, run_penstock
from tests.web import Person, enter

READY_S = 240

pytestmark = pytest.mark.rule("edupeak-311")


def test_database_url_is_taken_where_ours_is_not_set() -> None:
    common, ours = "postgresql://u:p@common/d", "postgresql://u:p@ours/d"
    assert read_settings({"DATABASE_URL": common}).database_url == common
    assert read_settings({"DATABASE_URL": common, "PENSTOCK_DATABASE_URL": ours}).database_url == ours


def test_notifications_and_migrations_go_past_the_pooler() -> None:
    pooled, straight, owner = (f"postgresql://u:p@{host}/d" for host in ("pooler", "server", "server2"))
    settings = read_settings({"DATABASE_URL": pooled, "PENSTOCK_DIRECT_DATABASE_URL": straight})
    assert (settings.listen_database_url, settings.migrate_database_url) == (straight, straight)
    settings = read_settings({"DATABASE_URL": pooled, "PENSTOCK_OWNER_DATABASE_URL": owner})
    assert (settings.listen_database_url, settings.migrate_database_url) == (pooled, owner)


@pytest.mark.needs("pgbouncer")
@pytest.mark.timeout(900)
async def test_everything_serves_through_a_pooler(database_urls: TestDatabase, data: Path) -> None:
    with running_pooler(database_urls.app_url) as pooler:
        variables = {
            "DATABASE_URL": pooler.url(database_urls.app_url),
            "PENSTOCK_DIRECT_DATABASE_URL": database_urls.app_url,
            "PENSTOCK_OWNER_DATABASE_URL": database_urls.owner_url,
        }
        up = Penstock(["up", "--port", "0", "--edges", "1", "--workers", "1", "--data", data], variables)
        up.start()
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", up.wait_said("serves at", READY_S))
            assert found is not None
            ring = keys.parse_ring(SecretFile(data / "secrets.json", lambda name: name).get("keys"))
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
                person = Person(http, found.group(0), AccessKeys(ring).anon_key())
                address = f"{uuid4().hex[:12]}@example.com"
                await enter(person, address, "a long enough password", new=True)
                status, rows = await person.call("GET", "/rest/v1/users?select=email")
                assert (status, rows) == (200, [{"email": address}])
                status, person_said = await person.call("GET", "/auth/v1/user")
                assert (status, person_said["email"]) == (200, address)
        finally:
            up.stop()


@pytest.mark.needs("pgbouncer")
@pytest.mark.timeout(900)
async def test_a_pooler_alone_is_refused_with_what_to_name(database_urls: TestDatabase, data: Path) -> None:
    with running_pooler(database_urls.app_url) as pooler:
        done = run_penstock(
            "up",
            "--port",
            "0",
            "--data",
            data,
            timeout_s=READY_S,
            env={
                "DATABASE_URL": pooler.url(database_urls.app_url),
                "PENSTOCK_OWNER_DATABASE_URL": database_urls.owner_url,
            },
        )
    assert done.returncode == 2, done.stderr
    assert "PENSTOCK_DIRECT_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
