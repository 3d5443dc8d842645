"""A cast for playback tests: an installation with films, people and a library, in a real database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from core.database import Database, dedicated
from core.ids import DEFAULT_TENANT, uuid7
from tests.conftest import TestDatabase


@dataclass
class Cast:
    """Ids of the people and titles a test speaks of."""

    admin_url: str
    vera: UUID
    otto: UUID
    free_film: UUID
    paid_film: UUID
    unready_film: UUID
    order: UUID

    async def change(self, sql: str, *args: object) -> None:
        """A change from outside, as an operator's, past every policy."""
        connection = await dedicated(self.admin_url)
        try:
            await connection.execute(sql, *args)
        finally:
            await connection.close()


@pytest.fixture
async def cast(database_urls: TestDatabase, database: Database) -> Cast:
    """Vera owns the paid film, Otto owns nothing."""
    made = Cast(database_urls.admin_url, *(uuid7() for _ in range(6)))
    connection = await dedicated(database_urls.admin_url)
    try:
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
        for name, user in (("Vera", made.vera), ("Otto", made.otto)):
            await connection.execute(
                "INSERT INTO users (id, name, email) VALUES ($1, $2, $3)", user, name, f"{name.lower()}@example.com"
            )
        for title, content, free in (
            ("Free", made.free_film, True),
            ("Paid", made.paid_film, False),
            ("Unready", made.unready_film, True),
        ):
            await connection.execute(
                "INSERT INTO contents (id, title, content_type, is_free, is_published, published_at) VALUES ($1, $2, 'MOVIE', $3, true, now())",
                content,
                title,
                free,
            )
            if title != "Unready":
                generation = uuid4()
                await connection.execute(
                    """INSERT INTO generations (id, content_id, number, state, store_prefix, duration_ms, has_video, published_at)
                       VALUES ($1, $2, 1, 'published', $3, 60000, true, now())""",
                    generation,
                    content,
                    f"hls/{content}/1-1",
                )
                await connection.execute("UPDATE contents SET generation_id = $1 WHERE id = $2", generation, content)
        await connection.execute(
            "INSERT INTO orders (id, user_id, total_amount, currency, status) VALUES ($1, $2, 4.9, 'EUR', 'PAID')",
            made.order,
            made.vera,
        )
        await connection.execute(
            "INSERT INTO user_library (user_id, content_id, order_id, acquired_at) VALUES ($1, $2, $3, $4)",
            made.vera,
            made.paid_film,
            made.order,
            datetime.now(UTC),
        )
    finally:
        await connection.close()
    return made
