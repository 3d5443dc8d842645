"""Rows to try the schema's rules on, rolled back after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.database import dedicated
from tests.conftest import TestDatabase
from tests.core.rows import Rows


@pytest.fixture
async def rows(shared_database: TestDatabase) -> AsyncIterator[Rows]:
    """Makes rows in a tenant of the test's own, within a transaction that is never committed."""
    connection = await dedicated(shared_database.admin_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        tenant_id = await connection.fetchval("INSERT INTO tenants (slug) VALUES ('mine') RETURNING id")
        yield Rows(connection, tenant_id)
    finally:
        await transaction.rollback()
        await connection.close()
