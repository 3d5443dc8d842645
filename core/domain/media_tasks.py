"""The fenced life of a transcoding task: taken, renewed, and published, failed or given back.

Decides who may work on a task (a lease, and a fence that rises with every attempt) and what becomes visible when it
ends. PgQueuer's messages are hints; the task's row is the truth, so every function may be called twice, late, or by
a worker that lost its lease. Knows nothing of ffmpeg, of folders or of object stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec

from core import errors
from core.database import Row, Tx
from core.domain import media_dispatch, media_keys, media_previews
from core.domain.media_encoding import AS_SET, Encoding
from core.domain.media_origin import Origin, find_origin
from core.domain.media_previews import Preview
from core.domain.media_results import Finished, Planned, Poster
from core.domain.media_texts import GivenText, given_texts, texts_digest
from core.errors import Code, Refusal
from core.ids import uuid7
from core.queries import load

SQL = load("core.domain", "media_tasks.sql")

# Outlives a few missed renewals; ends before PgQueuer hands a dead worker's message on (media_dispatch.HEARTBEAT_TIMEOUT).
LEASE_S = 8.0
# What is nearly whole is finished first, and a film's beginning before its end.
STITCH_BONUS = 200
FIRST_BONUS = 100
_STEP = 100_000
_FIRST_STAGES = {"transcode": ("probing", 0), "stitch": ("assembling", 90), "repackage": ("packaging", 0)}

Kind = Literal["transcode", "preview", "encode", "audio", "stitch", "repackage"]


@dataclass(frozen=True, slots=True)
class Piece:
    """An encoded piece in the store: below `key` lie the raw files of one chunk, or of all sounds and subtitles."""

    kind: str
    chunk_no: int | None
    key: str


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
    store_prefix: str
    job_id: UUID
    kind: Kind = "transcode"
    chunk_no: int | None = None
    source: str | None = None
    """What the first task found out, for the others: its JSON, as it wrote it."""
    pieces: tuple[Piece, ...] = ()
    """What a stitch joins."""
    encoding: Encoding = AS_SET
    texts: tuple[GivenText, ...] = ()
    """Subtitles that were uploaded beside the film."""
    origin: Origin | None = None
    """What a repackaging starts from."""
    resumes: bool = False
    """Whether players already hold what an earlier attempt has put under `store_prefix`: it is continued, never replaced."""

    @property
    def is_last(self) -> bool:
        """Whether no attempt is left after this one."""
        return self.attempts >= self.max_attempts

    @property
    def earlier_prefixes(self) -> tuple[str, ...]:
        """Where earlier attempts at the same generation may have left objects."""
        if self.resumes:
            return ()
        stem = self.store_prefix.rpartition("-")[0]
        return tuple(f"{stem}-{fence}" for fence in range(1, self.fence))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued tasks of one tenant: how many of a priority (`high`, `usual`, `low`), and for how many seconds the oldest."""

    priority: str
    count: int
    oldest_s: float


Turn = Literal["take", "leave", "spent", "cancel"]


def decide_turn(state: str, *, is_held: bool, attempts: int, max_attempts: int, cancel_requested: bool) -> Turn:
    """What a worker that was told of a task does: work on it, leave it alone, or end it."""
    if state not in ("queued", "running") or is_held:
        return "leave"
    if cancel_requested:
        return "cancel"
    return "take" if attempts < max_attempts else "spent"


async def tenants(tx: Tx) -> list[UUID]:
    """Every tenant's id."""
    return [row["id"] for row in await tx.many(SQL["tenant_ids"])]


async def waiting(tx: Tx) -> list[Waiting]:
    """What waits for a worker in the viewer's tenant."""
    return [Waiting(row["priority"], row["count"], row["oldest_s"]) for row in await tx.many(SQL["queue_waiting"])]


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
        await decline(tx, row, turn)
        return None
    origin = await find_origin(tx, row["content_id"]) if row["kind"] == "repackage" else None
    if row["kind"] == "repackage" and origin is None:
        # Withdrawn since it was asked for.
        code = errors.CONTENT_NOT_READY
        await end_badly(tx, row, "failed", code.code, code.message)
        return None
    fence = await tx.value(SQL["task_take"], task_id, owner, LEASE_S)
    source = await tx.one(SQL["source_get"], row["file_id"])
    assert source is not None  # by foreign key
    language, prefix, resumes = None, f"{pieces_prefix(row['job_id'])}/{task_id}-{fence}", False
    pieces: tuple[Piece, ...] = ()
    texts: tuple[GivenText, ...] = ()
    if row["kind"] in ("transcode", "stitch", "repackage"):
        language, prefix = await _allot(tx, row, fence)
        texts = await given_texts(tx, row["content_id"])
    if row["kind"] == "preview":
        prefix, resumes = await media_previews.allot(tx, row, fence)
    if row["kind"] == "stitch":
        found = await tx.many(SQL["pieces_get"], row["job_id"])
        pieces = tuple(Piece(p["kind"], p["chunk_no"], p["output_key"]) for p in found)
    return Attempt(
        task_id, fence, row["attempts"] + 1, row["max_attempts"], row["content_id"], language, source["name"],
        source["size"], source["storage_key"], prefix, row["job_id"], row["kind"], row["chunk_no"], row["source"], pieces,
        Encoding(row["codecs"] and tuple(row["codecs"]), row["quality"], row["is_encrypted"]), texts, origin, resumes,
    )  # fmt: skip


def pieces_prefix(job_id: UUID) -> str:
    """Below which a job's encoded pieces lie until they are joined."""
    return f"pieces/{job_id}"


async def decline(tx: Tx, row: Row, turn: Turn) -> None:
    """Ends a locked task that is not to be worked on: it was cancelled, or its attempts are spent."""
    code = errors.CANCELLED if turn == "cancel" else errors.ATTEMPTS_SPENT
    last = f" The last one: {row['error_message']}" if turn == "spent" and row["error_message"] else ""
    await end_badly(tx, row, "cancelled" if turn == "cancel" else "failed", code.code, code.message + last)


async def _allot(tx: Tx, row: Row, fence: int) -> tuple[str | None, str]:
    """The generation that the attempt may publish: the content's language, and where its objects go."""
    content = await tx.one(SQL["content_lock"], row["content_id"])
    assert content is not None  # by foreign key
    generation = await tx.one(SQL["generation_reuse"], row["generation_id"], fence) if row["generation_id"] else None
    generation = generation or await tx.one(SQL["generation_insert"], row["content_id"], fence)
    assert generation is not None
    stage, percent = _FIRST_STAGES[row["kind"]]
    await tx.run(SQL["job_start"], row["job_id"], generation["id"], stage, percent)
    return content["language"], generation["store_prefix"]


async def show_preview(tx: Tx, attempt: Attempt, preview: Preview) -> bool:
    """Players get what has been made so far; False when the lease is lost or nobody needs it. May be repeated."""
    row = await _ours(tx, attempt)
    if row is None or row["cancel_requested"]:
        return False
    return await media_previews.show(tx, attempt.store_prefix, preview, publish=row["publish_when_done"])


async def finish_preview(tx: Tx, attempt: Attempt) -> bool:
    """The preview has grown to its end; its playlist says so."""
    row = await _ours(tx, attempt)
    if row is not None:
        await tx.run(SQL["task_end"], attempt.task_id, "done", attempt.store_prefix, None, None, None)
        await media_previews.settle(tx, attempt.store_prefix)
    return row is not None


async def queue_tasks(tx: Tx, tenant_id: UUID, priority: int, tasks: Sequence[tuple[UUID, int]]) -> None:
    """Queues tasks, each with its bonus, behind what the tenant already has in hand: the turn is shared, not first come."""
    waiting = max(0, int(await tx.value(SQL["tasks_waiting"])) - len(tasks))
    ranked = [(task_id, rank(priority, waiting + n, bonus)) for n, (task_id, bonus) in enumerate(tasks)]
    await media_dispatch.enqueue_tasks(tx, tenant_id, ranked)


def rank(priority: int, waiting: int, bonus: int) -> int:
    """A message's priority: a job's own (-1000 to 1000) outweighs everything, then the tenant's place, then the bonus."""
    place = min(waiting, _STEP - 2 * STITCH_BONUS)
    return max(-1000, min(priority, 1000)) * _STEP - place + bonus


async def renew(
    tx: Tx, attempt: Attempt, percent: float, eta_s: int | None, stage: str, ladder: Sequence[Planned] = ()
) -> Literal["go_on", "cancel", "lost"]:
    """Keeps the lease and shows progress, and `ladder` once it is known; call it at most once a second."""
    planned = msgspec.json.encode(ladder).decode() if ladder else None
    cancel = await tx.value(
        SQL["task_renew"], attempt.task_id, attempt.fence, LEASE_S, round(percent, 2), eta_s, stage, planned
    )
    return "lost" if cancel is None else "cancel" if cancel else "go_on"


async def lock_to_end(tx: Tx, attempt: Attempt) -> Row | bool:
    """The locked row of a task that the attempt may end; else whether it has ended it already."""
    row = await tx.one(SQL["task_lock"], attempt.task_id)
    if row is None or row["fence"] != attempt.fence:
        return False
    if row["state"] != "running":
        # `done`: our own commit, whose answer was lost on the way.
        return bool(row["state"] == "done")
    if row["cancel_requested"]:
        # Asked for since the last renewal.
        await decline(tx, row, "cancel")
        return False
    return row


async def finish(tx: Tx, attempt: Attempt, done: Finished) -> bool:
    """Publishes, in one step; False when the fence is no longer ours and nothing was changed. May be repeated."""
    row = await lock_to_end(tx, attempt)
    if isinstance(row, bool):
        return row
    await tx.one(SQL["content_lock"], row["content_id"])
    generation_id = row["generation_id"]
    await tx.run(
        SQL["generation_publish"], generation_id, done.duration_ms, done.width, done.height, done.has_video,
        done.has_audio, done.size_bytes, done.checksum, texts_digest(attempt.texts),
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
    if done.key is not None:
        await media_keys.store_key(tx, generation_id, done.key)
    await tx.run(SQL["generation_retire"], row["content_id"], generation_id, row["kind"] == "repackage")
    poster_id = await _store_poster(tx, row["content_id"], done.poster) if done.poster else None
    whole_s = -(-done.duration_ms // 1000)
    await tx.run(SQL["content_publish"], row["content_id"], generation_id, whole_s, poster_id, row["publish_when_done"])
    await tx.run(SQL["task_end"], attempt.task_id, "done", attempt.store_prefix, None, None, None)
    await tx.run(SQL["job_warn"], row["job_id"], list(done.warnings))
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
    message = refusal.message or refusal.code.message
    await end_badly(tx, row, state, refusal.code.code, message, refusal.details)
    return True


async def give_back(
    tx: Tx,
    attempt: Attempt,
    *,
    delay_s: float,
    refund: bool,
    why: Code | None = None,
    message: str = "",
    details: str | None = None,
) -> bool:
    """Puts the task back into the queue for another worker; `refund` when the attempt was not the task's fault."""
    row = await _ours(tx, attempt)
    if row is None:
        return False
    code = why.code if why else None
    await tx.run(SQL["task_give_back"], attempt.task_id, delay_s, int(refund), code, message or None, details)
    if row["kind"] in ("transcode", "repackage"):
        await tx.run(SQL["job_give_back"], row["job_id"])
    if delay_s <= 0:
        await queue_tasks(tx, row["tenant_id"], row["priority"], [(attempt.task_id, FIRST_BONUS)])
    return True


async def pass_on(tx: Tx, task_id: UUID) -> None:
    """Queues a task again for whoever is free, when its message came to a worker that is not."""
    row = await tx.one(SQL["task_priority"], task_id)
    if row is not None:
        await queue_tasks(tx, row["tenant_id"], row["priority"], [(task_id, 0)])


async def rescue(tx: Tx) -> int:
    """Wakes workers for tasks whose worker died or whose message was lost; how many."""
    rows = await tx.many(SQL["tasks_to_wake"])
    for row in rows:
        await queue_tasks(tx, row["tenant_id"], row["priority"], [(row["id"], FIRST_BONUS)])
    return len(rows)


async def _ours(tx: Tx, attempt: Attempt) -> Row | None:
    row = await tx.one(SQL["task_lock"], attempt.task_id)
    return row if row is not None and row["fence"] == attempt.fence and row["state"] == "running" else None


async def end_badly(
    tx: Tx, row: Row | Mapping[str, Any], state: str, code: str, message: str, details: str | None = None
) -> None:
    """Ends a locked task (`id`, `job_id`, `generation_id`) without a result, and its job, if that has not ended already."""
    await tx.run(SQL["task_end"], row["id"], state, None, code, message, details)
    if row["kind"] == "preview":
        # Nobody's film depends on it: what was shown is taken back, and the job goes on.
        await media_previews.withdraw(tx, row)
        if state != "cancelled":
            return
    await end_job(tx, row["job_id"], row["generation_id"], state, code, message)


async def end_job(tx: Tx, job_id: UUID, generation_id: UUID | None, state: str, code: str, message: str) -> None:
    """Ends a job without a result. Its other tasks find out by themselves: whoever locks one locks the job after it."""
    await tx.run(SQL["job_end"], job_id, state, code, message)
    await media_previews.withdraw(tx, {"job_id": job_id})
    if generation_id is not None:
        await tx.run(SQL["generation_fail"], generation_id)
