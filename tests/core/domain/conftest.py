"""The town (town.py): one database a test process, put back as it was after each test, which costs a twentieth of a clone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from core.database import dedicated
from tests.conftest import Servers, TestDatabase
from tests.core.domain.town import BACK_SQL, TOWN_SQL, Town
from tests.edge.rest_shop import SHOP_SQL, opened
from tests.patience import be_patient


async def _run(url: str, *texts: str) -> None:
    connection = await dedicated(url)
    try:
        for text in texts:
            await connection.execute(text)
    finally:
        await connection.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks away from a server that is slow."""
    be_patient(monkeypatch)


@pytest.fixture(scope="session")
def town_database(servers: Servers) -> Iterator[TestDatabase]:
    """Where everybody lives."""
    name = f"town_{uuid4().hex[:12]}"
    urls = TestDatabase(
        servers.database(servers.app_url, name),
        servers.database(servers.owner_url, name),
        servers.database(servers.admin_url, name),
    )
    making = f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy"
    asyncio.run(_run(servers.admin_url, making))
    asyncio.run(_run(urls.admin_url, SHOP_SQL))
    yield urls
    asyncio.run(_run(servers.admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def town(patient: None, town_database: TestDatabase) -> AsyncIterator[Town]:
    """Everybody has moved in, and nothing has happened yet."""
    await _run(town_database.admin_url, BACK_SQL, TOWN_SQL)
    async with opened(town_database) as shop:
        yield Town(shop)
