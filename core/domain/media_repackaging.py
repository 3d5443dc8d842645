"""Subtitles of a title that is already playing: its pictures and sounds are packaged again with those it has now, never encoded.

Decides when that is due. However a track changed, the database noted its title (db/schema/media.sql); what a generation was
packaged with is written in it, so a note too many costs a look, and none is lost while something else is being made.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core import errors
from core.database import Tx
from core.domain.media_tasks import STITCH_BONUS, queue_tasks
from core.domain.media_texts import given_texts, texts_digest
from core.errors import Refusal
from core.ids import uuid7
from core.queries import load

SQL = load("core.domain", "media_repackaging.sql")

KEPT_S = 25 * 3600
"""A playback token lives a day at most, so nobody can be watching a replaced generation after that."""
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Replaced:
    """A generation that another packaging took the place of; `kept` are those of its objects that something else names."""

    generation_id: UUID
    store_prefix: str
    kept: frozenset[str]


async def queue_due(tx: Tx) -> int:
    """Queues what is due in the viewer's tenant: a job for each title whose tracks are not those that players have; how many.

    A title that something is being made of is looked at again when that has ended.
    """
    queued = 0
    for row in await tx.many(SQL["changes_lock"], _AT_ONCE):
        content_id = row["content_id"]
        if await tx.value(SQL["job_is_open"], content_id):
            continue
        await tx.run(SQL["change_forget"], content_id)
        if not row["is_packaged"] or row["file_id"] is None:
            # Whatever is made of it first takes the tracks that it has by then.
            continue
        if texts_digest(await given_texts(tx, content_id)) != row["texts_digest"]:
            await _queue(tx, content_id, row["file_id"], None)
            queued += 1
    return queued


async def repackage_again(tx: Tx, content_id: UUID, created_by: UUID | None) -> UUID:
    """Queues a repackaging because somebody asks for one; its job. Raises Refusal: nothing to package, or a job is open."""
    row = await tx.one(SQL["content_lock_packaged"], content_id)
    if row is None:
        raise Refusal(errors.CONTENT_NOT_READY, "There is nothing that subtitles could be added to.")
    if await tx.value(SQL["job_is_open"], content_id):
        raise Refusal(errors.CONFLICT, "This title is already being encoded.")
    return await _queue(tx, content_id, row["file_id"], created_by)


async def _queue(tx: Tx, content_id: UUID, file_id: UUID, created_by: UUID | None) -> UUID:
    job_id, task_id = uuid7(), uuid7()
    tenant_id = await tx.value(SQL["job_insert"], job_id, content_id, file_id, created_by)
    await tx.run(SQL["task_insert"], task_id, job_id)
    # Seconds of work that somebody waits for.
    await queue_tasks(tx, tenant_id, 0, [(task_id, STITCH_BONUS)])
    return job_id


async def replaced(tx: Tx) -> list[Replaced]:
    """Generations that nobody can be watching any more."""
    rows = await tx.many(SQL["replaced_expired"], KEPT_S)
    return [Replaced(row["id"], row["store_prefix"], frozenset(row["kept"])) for row in rows]


async def forget_replaced(tx: Tx, generation_id: UUID) -> None:
    """Its objects are gone, and so is its row."""
    await tx.run(SQL["replaced_delete"], generation_id)
