"""What the figures of progress stand on: an installation of its own, viewers with running sessions, and beats of theirs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bench.stage import SQL, Stage
from core.database import Connection, Database, Row, dedicated
from core.ids import DEFAULT_TENANT, uuid7
from core.viewer import service
from edge.local.installation import Installation
from edge.progress.beat import Beat
from edge.redis_client import Redis, connect
from edge.settings import read_settings

DURATION_MS = 600_000

_VIEWERS = """
WITH people AS (
    INSERT INTO users (id, name, email) SELECT uuid7(), 'Viewer', gen_random_uuid() || '@example.com'
    FROM generate_series(1, $1::integer) RETURNING id)
INSERT INTO playback_sessions (id, user_id, content_id, device_id, created_at, expires_at)
SELECT uuid7(), id, $2, 'bench', now(), now() + interval '20 hours' FROM people RETURNING id, user_id
"""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person and their running session."""

    user_id: UUID
    session_id: UUID


@dataclass(slots=True)
class ProgressStage:
    """The installation, ways into its servers past the edge, and a film."""

    stage: Stage
    admin: Connection[Row]
    redis: Redis
    appendfsync: str

    @property
    def film(self) -> UUID:
        """The film that is sold."""
        return self.stage.sold

    def stop_redis(self) -> None:
        """Valkey goes away, with what it holds on disk."""
        assert self.stage.installation.valkey is not None
        self.stage.installation.valkey.stop()

    async def start_redis(self) -> None:
        """It comes back."""
        assert self.stage.installation.valkey is not None
        self.stage.installation.valkey.start()
        await self.redis.config_set("appendfsync", self.appendfsync)

    async def viewers(self, count: int) -> list[Viewer]:
        """New people with a session each."""
        rows = await self.admin.fetch(_VIEWERS, count, self.film)
        return [Viewer(row["user_id"], row["id"]) for row in rows]


@asynccontextmanager
async def progress_staged(appendfsync: str) -> AsyncIterator[ProgressStage]:
    """The stage, gone afterwards. No drain runs on it."""
    folder = Path(tempfile.mkdtemp(prefix="psb-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL runs under another account when we are root
    installation = Installation(read_settings({"PENSTOCK_DATA": str(folder)}))
    try:
        await installation.start()
        settings = installation.settings
        assert settings.database_url is not None
        assert settings.redis_url is not None
        assert installation.postgres is not None
        database = await Database.connect(settings.database_url, name="bench", max_size=4)
        admin = await dedicated(installation.postgres.url("postgres"))
        await admin.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
        redis = connect(settings.redis_url)
        await redis.config_set("appendfsync", appendfsync)
        try:
            free, sold = [await _film(database, is_free=is_free) for is_free in (True, False)]
            yield ProgressStage(Stage(folder, installation, database, free, sold), admin, redis, appendfsync)
        finally:
            await redis.aclose()
            await admin.close()
            await database.close()
    finally:
        installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _film(database: Database, *, is_free: bool) -> UUID:
    async with database.transaction(service()) as tx:
        content: UUID = await tx.value(SQL["content_insert"], "Free" if is_free else "Sold", is_free)
        await tx.run(SQL["generation_insert"], content, f"hls/{content}/1")
        await tx.run(SQL["generation_use"], content)
    return content


def beat_of(viewer: Viewer, film: UUID, seq: int) -> Beat:
    """A beat as the stream holds it."""
    start_ms = viewer.session_id.int >> 80
    return Beat(
        uuid7(), viewer.session_id, DEFAULT_TENANT, viewer.user_id, film, None, min(seq * 5000, DURATION_MS), DURATION_MS, 5000,
        "beat", seq, start_ms + seq * 5000, "web", start_ms, False,
    )  # fmt: skip
