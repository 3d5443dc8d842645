"""A look into the database of a running installation, as the product's own processes see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.database import Database, Tx
from core.viewer import service
from tests.demo import Demo


@asynccontextmanager
async def inside(demo: Demo | str) -> AsyncIterator[Tx]:
    """A transaction of the service on the demo's database, or on a URL."""
    database = await Database.connect(demo if isinstance(demo, str) else demo.database_url, name="test", max_size=1)
    try:
        async with database.transaction(service()) as tx:
            yield tx
    finally:
        await database.close()
