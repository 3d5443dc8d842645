"""The fenced life of a transcoding task: taken, renewed, and published, failed or given back.

Decides who may work on a task (a lease, and a fence that rises with every attempt) and what becomes visible when it
ends. PgQueuer's messages are hints; the task's row is the truth, so every function may be called twice, late, or by
a worker that lost its lease. Knows nothing of ffmpeg, of folders or of object stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from core import dispatch, errors
from core.database import Row, Tx
from core.errors import Code, Refusal
from core.ids import uuid7
from core.queries import load

SQL = load("core.domain", "media_tasks.sql")

# Outlives a few missed renewals; ends before PgQueuer hands a dead worker's message on (dispatch.HEARTBEAT_TIMEOUT).
LEASE_S = 8.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker's turn at a task: only the holder of the newest `fence` may publish, and only under `store_prefix`."""

    task_id: UUID
    fence: int
    attempts: int
    max_attempts: int
    content_id: UUID
    language: str | None
    file_name: str
    size_bytes: int
    storage_key: str
    generation_number: int
    store_prefix: str

    @property
    def is_last(self) -> bool:
        """Whether no attempt is left after this one."""
        return self.attempts >= self.max_attempts

    @property
    def earlier_prefixes(self) -> tuple[str, ...]:
        """Where earlier attempts at the same generation may have left objects."""
        stem = self.store_prefix.rpartition("-")[0]
        return tuple(f"{stem}-{fence}" for fence in range(1, self.fence))


@dataclass(frozen=True, slots=True)
class Rendition:
    """One playlist of a generation; `path` is relative to it."""

    kind: Literal["video", "audio", "subtitles", "iframes"]
    name: str
    path: str
    codecs: str | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    bandwidth_bps: int | None = None
    average_bandwidth_bps: int | None = None
    channels: int | None = None
    language: str | None = None
    segment_count: int = 0
    size_bytes: int = 0
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Poster:
    """The still picture of a generation, already in the store."""

    size_bytes: int
    checksum: str
    storage_provider: str
    bucket: str | None
    storage_key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole, verified, uploaded generation; `checksum` is over its manifest of names, sizes and hashes."""

    duration_ms: int
    width: int | None
    height: int | None
    has_video: bool
    has_audio: bool
    size_bytes: int
    checksum: str
    renditions: tuple[Rendition, ...]
    poster: Poster | None


Turn = Literal["take", "leave", "spent", "cancel"]


def decide_turn(state: str, *, is_held: bool, attempts: int, max_attempts: int, cancel_requested: bool) -> Turn:
    """What a worker that was told of a task does: work on it, leave it alone, or end it."""
    if state not in ("queued", "running") or is_held:
        return "leave"
    if cancel_requested:
        return "cancel"
    return "take" if attempts < max_attempts else "spent"


async def has_task(tx: Tx, task_id: UUID) -> bool:
    """Whether the task is visible in this tenant."""
    return bool(await tx.value(SQL["task_exists"], task_id))


async def tenants(tx: Tx) -> list[UUID]:
    """Every tenant's id."""
    return [row["id"] for row in await tx.many(SQL["tenant_ids"])]


async def take_task(tx: Tx, task_id: UUID, owner: str) -> Attempt | None:
    """Begins an attempt, or None when there is nothing to do: done, cancelled, held by a live lease, or spent."""
    row = await tx.one(SQL["task_lock"], task_id)
    if row is None:
        return None
    turn = decide_turn(
        row["state"], is_held=row["is_held"], attempts=row["attempts"], max_attempts=row["max_attempts"],
        cancel_requested=row["cancel_requested"],
    )  # fmt: skip
    if turn == "leave":
        return None
    if turn != "take":
        code = errors.CANCELLED if turn == "cancel" else errors.ATTEMPTS_SPENT
        last = f" The last one: {row['error_message']}" if turn == "spent" and row["error_message"] else ""
        await end_badly(tx, row, "cancelled" if turn == "cancel" else "failed", code.code, code.message + last)
        return None
    fence = await tx.value(SQL["task_take"], task_id, owner, LEASE_S)
    content = await tx.one(SQL["content_lock"], row["content_id"])
    source = await tx.one(SQL["source_get"], row["file_id"])
    assert content is not None  # by foreign key
    assert source is not None
    generation = await tx.one(SQL["generation_reuse"], row["generation_id"], fence) if row["generation_id"] else None
    generation = generation or await tx.one(SQL["generation_insert"], row["content_id"], fence)
    assert generation is not None
    await tx.run(SQL["job_start"], row["job_id"], generation["id"])
    return Attempt(
        task_id, fence, row["attempts"] + 1, row["max_attempts"], row["content_id"], content["language"],
        source["name"], source["size"], source["storage_key"], generation["number"], generation["store_prefix"],
    )  # fmt: skip


async def renew(
    tx: Tx, attempt: Attempt, percent: float, eta_s: int | None, stage: str
) -> Literal["go_on", "cancel", "lost"]:
    """Keeps the lease and shows progress; call it at most once a second."""
    cancel = await tx.value(SQL["task_renew"], attempt.task_id, attempt.fence, LEASE_S, round(percent, 2), eta_s, stage)
    return "lost" if cancel is None else "cancel" if cancel else "go_on"


async def finish(tx: Tx, attempt: Attempt, done: Finished) -> bool:
    """Publishes, in one step; False when the fence is no longer ours and nothing was changed. May be repeated."""
    row = await tx.one(SQL["task_lock"], attempt.task_id)
    if row is None or row["fence"] != attempt.fence:
        return False
    if row["state"] != "running":
        # `done`: our own commit, whose answer was lost on the way.
        return bool(row["state"] == "done")
    await tx.one(SQL["content_lock"], row["content_id"])
    generation_id = row["generation_id"]
    await tx.run(
        SQL["generation_publish"], generation_id, done.duration_ms, done.width, done.height, done.has_video,
        done.has_audio, done.size_bytes, done.checksum,
    )  # fmt: skip
    await tx.run_many(
        SQL["rendition_insert"],
        [
            (
                generation_id, r.kind, r.name, r.path, r.codecs, r.width, r.height, r.frame_rate, r.bandwidth_bps,
                r.average_bandwidth_bps, r.channels, r.language, r.segment_count, r.size_bytes, r.duration_ms,
            )
            for r in done.renditions
        ],
    )  # fmt: skip
    await tx.run(SQL["generation_retire"], row["content_id"], generation_id)
    poster_id = await _store_poster(tx, row["content_id"], done.poster) if done.poster else None
    whole_s = -(-done.duration_ms // 1000)
    await tx.run(SQL["content_publish"], row["content_id"], generation_id, whole_s, poster_id, row["publish_when_done"])
    await tx.run(SQL["task_end"], attempt.task_id, "done", attempt.store_prefix, None, None)
    await tx.run(SQL["job_end"], row["job_id"], "succeeded", None, None)
    return True


async def _store_poster(tx: Tx, content_id: UUID, poster: Poster) -> UUID:
    poster_id = uuid7()
    await tx.run(SQL["poster_insert"], poster_id, poster.size_bytes, poster.checksum, content_id)
    await tx.run(SQL["poster_storage_insert"], poster_id, poster.storage_provider, poster.bucket, poster.storage_key)
    await tx.run(SQL["posters_retire"], content_id, poster_id)
    return poster_id


async def fail(tx: Tx, attempt: Attempt, refusal: Refusal) -> bool:
    """Ends task, job and generation, saying why; False when the fence is no longer ours. What was playing plays on."""
    row = await _ours(tx, attempt)
    if row is None:
        return False
    state = "cancelled" if refusal.code is errors.CANCELLED else "failed"
    await end_badly(tx, row, state, refusal.code.code, refusal.message or refusal.code.message)
    return True


async def give_back(
    tx: Tx, attempt: Attempt, *, delay_s: float, refund: bool, why: Code | None = None, message: str = ""
) -> bool:
    """Puts the task back into the queue for another worker; `refund` when the attempt was not the task's fault."""
    row = await _ours(tx, attempt)
    if row is None:
        return False
    code = why.code if why else None
    await tx.run(SQL["task_give_back"], attempt.task_id, delay_s, int(refund), code, message or None)
    await tx.run(SQL["job_give_back"], row["job_id"])
    if delay_s <= 0:
        await dispatch.enqueue_task(tx, attempt.task_id, priority=row["priority"])
    return True


async def rescue(tx: Tx) -> int:
    """Wakes workers for tasks whose worker died or whose message was lost; how many."""
    rows = await tx.many(SQL["tasks_to_wake"])
    for row in rows:
        await dispatch.enqueue_task(tx, row["id"], priority=row["priority"])
    return len(rows)


async def _ours(tx: Tx, attempt: Attempt) -> Row | None:
    row = await tx.one(SQL["task_lock"], attempt.task_id)
    return row if row is not None and row["fence"] == attempt.fence and row["state"] == "running" else None


async def end_badly(tx: Tx, row: Row | Mapping[str, Any], state: str, code: str, message: str) -> None:
    """Ends a locked task (`id`, `job_id`, `generation_id`) without a result."""
    await tx.run(SQL["task_end"], row["id"], state, None, code, message)
    await tx.run(SQL["job_end"], row["job_id"], state, code, message)
    if row["generation_id"] is not None:
        await tx.run(SQL["generation_fail"], row["generation_id"])
