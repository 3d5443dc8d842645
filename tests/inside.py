"""A look into the database of a running installation, as the product's own processes see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.database import Database, Tx
from core.viewer import service
from tests.demo import Demo
from tests.patience import be_patient


@asynccontextmanager
async def inside(demo: Demo | str) -> AsyncIterator[Tx]:
    """A transaction of the service on the demo's database, or on a URL."""
    database = await Database.connect(demo if isinstance(demo, str) else demo.database_url, name="test", max_size=1)
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        try:
            async with database.transaction(service()) as tx:
                yield tx
        finally:
            await database.close()
