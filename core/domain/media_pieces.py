"""A long film as many tasks: cut into pieces, counted as they are done, joined by one more, and swept.

The last piece queues the joining in the step that counts it, so neither is ever there without the other.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.media_results import Split
from core.domain.media_tasks import FIRST_BONUS, STITCH_BONUS, Attempt, lock_to_end, queue_tasks
from core.domain.media_tasks import SQL as TASKS
from core.queries import load

SQL = load("core.domain", "media_pieces.sql")


async def split(tx: Tx, attempt: Attempt, done: Split) -> bool:
    """Ends the first task by queueing the job's pieces, in one step; False when the fence is no longer ours. May be repeated."""
    row = await lock_to_end(tx, attempt)
    if isinstance(row, bool):
        return row
    kinds: list[tuple[str, int | None]] = [("encode", number) for number in range(done.chunks)]
    kinds += [("audio", None)] if done.has_sound else []
    count = len(kinds)
    kinds += [("preview", None)] if done.previewed and row["has_nothing_to_play"] else []
    made = await tx.many(
        SQL["pieces_insert"], row["job_id"], attempt.task_id, [kind for kind, _ in kinds], [no for _, no in kinds]
    )
    ladder = msgspec.json.encode(done.ladder).decode()
    await tx.run(SQL["job_split"], row["job_id"], count, done.source, ladder)
    await tx.run(TASKS["job_warn"], row["job_id"], list(done.warnings))
    await tx.run(TASKS["task_end"], attempt.task_id, "done", None, None, None, None)
    ordered = sorted(made, key=lambda piece: -1 if piece["chunk_no"] is None else piece["chunk_no"])
    # The first minute first: it is what somebody waits for.
    bonuses = {"preview": STITCH_BONUS, "audio": FIRST_BONUS, "encode": 0}
    tasks = [(p["id"], FIRST_BONUS if p["chunk_no"] == 0 else bonuses[p["kind"]]) for p in ordered]
    await queue_tasks(tx, row["tenant_id"], row["priority"], tasks)
    return True


async def finish_piece(tx: Tx, attempt: Attempt) -> bool:
    """Counts a stored piece; the last one queues the stitch in the same step. False: lost, or nobody wants it any more."""
    row = await lock_to_end(tx, attempt)
    if isinstance(row, bool):
        return row
    await tx.run(TASKS["task_end"], attempt.task_id, "done", attempt.store_prefix, None, None, None)
    if await tx.value(SQL["piece_done"], row["job_id"]) == 0:
        stitch = await tx.value(SQL["stitch_insert"], row["job_id"])
        await queue_tasks(tx, row["tenant_id"], row["priority"], [(stitch, STITCH_BONUS)])
    return True


async def leftovers(tx: Tx) -> list[UUID]:
    """Jobs that have ended and whose pieces may still lie in the store."""
    return [row["id"] for row in await tx.many(SQL["jobs_with_leftovers"])]


async def forget_leftovers(tx: Tx, job_id: UUID) -> None:
    """The job's pieces are gone."""
    await tx.run(SQL["job_is_clean"], job_id)
