"""The schema keeps its own promises."""

from __future__ import annotations

from core.database import Database, dedicated
from core.migrate import migrate
from tests.conftest import TestDatabase


async def test_every_table_forces_row_level_security(database_urls: TestDatabase) -> None:
    connection = await dedicated(database_urls.owner_url)
    try:
        open_tables = await connection.fetch(
            """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
               AND NOT (relrowsecurity AND relforcerowsecurity) AND relname !~ '^(pgqueuer|schema_migrations)'"""
        )
    finally:
        await connection.close()
    assert [row["relname"] for row in open_tables] == []


async def test_migrating_again_changes_nothing(database_urls: TestDatabase) -> None:
    assert await migrate(database_urls.owner_url) == []


async def test_the_app_role_cannot_bypass_row_level_security(database: Database) -> None:
    assert not await database.is_superuser()
