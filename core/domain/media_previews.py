"""Previews: a generation that is played while its title's real one is still being encoded.

Decides when one is shown and when it is taken back. It never replaces a whole generation, and a whole one always replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.database import Row, Tx
from core.queries import load

SQL = load("core.domain", "media_previews.sql")

# A playback token lives a day at most, so nobody can be watching a retired preview after that.
KEPT_S = 25 * 3600


@dataclass(frozen=True, slots=True)
class Preview:
    """A growing generation whose first segments are in the store; `duration_ms` is what it will have grown to."""

    duration_ms: int
    width: int | None
    height: int | None
    has_audio: bool


async def allot(tx: Tx, row: Row, fence: int) -> tuple[str, bool]:
    """Where a locked task's preview goes, and whether players already hold its beginning, which is then to be continued."""
    await tx.one(SQL["preview_content_lock"], row["content_id"])
    if (earlier := row["output_key"]) is not None:
        if await tx.value(SQL["preview_is_held"], earlier):
            return earlier, True
        await tx.run(SQL["preview_settle"], earlier)
    prefix = str(await tx.value(SQL["preview_insert"], row["content_id"], fence))
    await tx.run(SQL["preview_task_output"], row["id"], prefix)
    return prefix, False


async def show(tx: Tx, prefix: str, preview: Preview, *, publish: bool) -> bool:
    """Gives players the preview, unless the title has something to play by now. False: nobody needs it."""
    shown = await tx.value(
        SQL["preview_publish"], prefix, preview.duration_ms, preview.width, preview.height, preview.has_audio
    )
    if shown is None:
        return False
    whole_s = -(-preview.duration_ms // 1000)
    return bool(await tx.value(SQL["preview_show"], shown, whole_s, publish))


async def settle(tx: Tx, prefix: str) -> None:
    """The preview's task has ended: what was never shown never will be."""
    await tx.run(SQL["preview_settle"], prefix)


async def withdraw(tx: Tx, row: Row | Mapping[str, Any]) -> None:
    """Takes a job's preview (`job_id`) from players: there will be no whole generation after it."""
    await tx.run(SQL["preview_withdraw"], row["job_id"])


async def expired(tx: Tx) -> list[tuple[UUID, str]]:
    """Previews that nobody can be watching any more: id and prefix."""
    return [(row["id"], row["store_prefix"]) for row in await tx.many(SQL["previews_expired"], KEPT_S)]


async def forget(tx: Tx, generation_id: UUID) -> None:
    """The preview's objects are gone, and so is its row."""
    await tx.run(SQL["preview_delete"], generation_id)
