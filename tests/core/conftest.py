"""Rows to try the schema's rules on: one database a test process, rolled back after each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from core.database import dedicated
from tests.conftest import Servers
from tests.core.rows import Rows


async def _run(url: str, sql: str) -> None:
    connection = await dedicated(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def shared_database(servers: Servers) -> Iterator[str]:
    """The administrator's URL of a migrated database that tests share: nothing in it may be committed."""
    name = f"s_{uuid4().hex[:16]}"
    asyncio.run(
        _run(servers.admin_url, f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy")
    )
    yield servers.database(servers.admin_url, name)
    asyncio.run(_run(servers.admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def rows(shared_database: str) -> AsyncIterator[Rows]:
    """Makes rows in a tenant of the test's own, within a transaction that is never committed."""
    connection = await dedicated(shared_database)
    transaction = connection.transaction()
    await transaction.start()
    try:
        tenant_id = await connection.fetchval("INSERT INTO tenants (slug) VALUES ('mine') RETURNING id")
        yield Rows(connection, tenant_id)
    finally:
        await transaction.rollback()
        await connection.close()
