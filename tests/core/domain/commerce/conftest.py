"""A till on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.database import Database, dedicated
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer
from tests.conftest import TestDatabase
from tests.core.domain.commerce.shopping import Till
from tests.core.rows import Rows


@pytest.fixture
async def till(database: Database, database_urls: TestDatabase) -> AsyncIterator[Till]:
    """Staff, a buyer, and nothing to buy yet."""
    connection = await dedicated(database_urls.admin_url)
    rows = Rows(connection, DEFAULT_TENANT)
    staff, buyer = [(await rows.make("users"))["id"] for _ in range(2)]
    yield Till(
        database,
        Commands(database, CONTEXTS),
        rows,
        Viewer(DEFAULT_TENANT, staff, "staff"),
        Viewer(DEFAULT_TENANT, buyer, "authenticated"),
    )
    await connection.close()
