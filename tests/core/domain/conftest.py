"""The town (town.py): one database a test process, put back as it was after each test, which costs a twentieth of a clone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import SHOP_SQL, Servers, TestDatabase, kept, run_sql
from tests.core.domain.town import BACK_SQL, TOWN_SQL, Town
from tests.edge.rest_shop import opened
from tests.patience import be_patient


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks away from a server that is slow."""
    be_patient(monkeypatch)


@pytest.fixture(scope="session")
def town_database(servers: Servers) -> Iterator[TestDatabase]:
    """Where everybody lives."""
    with kept(servers, "town", SHOP_SQL.read_text()) as (_, made):
        yield made


@pytest.fixture
async def town(patient: None, town_database: TestDatabase) -> AsyncIterator[Town]:
    """Everybody has moved in, and nothing has happened yet."""
    await run_sql(town_database.admin_url, BACK_SQL, TOWN_SQL)
    async with opened(town_database) as shop:
        yield Town(shop)
