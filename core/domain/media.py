"""Media: what happens to an uploaded file until players are given its generation.

Decides what is served and what may be submitted. What a person asks of a job is media_commands.py's, the fenced life of a task
media_tasks.py's; ffmpeg, folders and object stores are the transcoder's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from core import errors
from core.database import Tx
from core.domain import media_texts
from core.domain.context import Table
from core.domain.media_encoding import AS_SET, Encoding, check_encoding
from core.domain.media_tasks import queue_tasks
from core.errors import Refusal, bad_field
from core.ids import uuid7
from core.queries import load

SQL = load("core.domain", "media.sql")

# -------------------------------------------------------------------------------------------------------------- TABLES

TABLES = (
    Table("generations", hidden=frozenset({"store_prefix", "texts_digest"})),
    Table("renditions"),
    Table("text_tracks", verbs=frozenset({"read", "update", "delete"}), updatable=frozenset({"label", "is_default"})),
    Table("files", verbs=frozenset({"read", "delete"})),
    Table("transcode_jobs", hidden=frozenset({"source"})),
    Table("transcode_tasks", hidden=frozenset({"output_key", "error_details"})),
)

# -------------------------------------------------------------------------------------------------------------- STATES

STATES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "generations": {
        "building": frozenset({"published", "failed"}),
        "published": frozenset({"retired"}),
        "retired": frozenset({"published"}),
        "failed": frozenset(),
    },
    "transcode_jobs": {
        "queued": frozenset({"running", "cancelled", "failed"}),
        "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
        "succeeded": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset({"queued"}),
    },
    "transcode_tasks": {
        "queued": frozenset({"running", "cancelled", "failed"}),
        "running": frozenset({"queued", "done", "failed", "cancelled"}),
        "done": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset({"queued"}),
    },
}

# ------------------------------------------------------------------------------------------------------------- records

# A clip is done in the time that a film takes to begin.
SHORT_BYTES = 64 << 20
SHORT_BONUS = 50

CONTENT_TYPES = frozenset({"MOVIE", "EPISODE", "MUSIC", "LESSON", "PODCAST_EPISODE", "LIVE_RECORDING"})


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes are already in the store; `checksum` is "sha256:<hex>", `size_bytes` what was counted."""

    file_id: UUID
    name: str
    size_bytes: int
    mime_type: str
    checksum: str
    storage_provider: str
    bucket: str | None
    storage_key: str
    uploader_id: UUID | None


@dataclass(frozen=True, slots=True)
class NewTitle:
    """What the uploader says about it; `publish` shows it to everyone entitled as soon as it is encoded."""

    title: str
    content_type: str = "MOVIE"
    description: str | None = None
    is_free: bool = False
    language: str | None = None
    publish: bool = True
    encoding: Encoding = AS_SET


@dataclass(frozen=True, slots=True)
class Submitted:
    """Where to follow the encoding."""

    content_id: UUID
    file_id: UUID
    job_id: UUID


# --------------------------------------------------------------------------------------------------------------- RULES


def check_title(title: NewTitle) -> Refusal | None:
    """Refuses an empty or long title, a type that is not playable itself, and a language that is no BCP 47 tag."""
    if not title.title.strip():
        return bad_field("title", "must not be empty")
    if len(title.title) > 300:
        return bad_field("title", "must have at most 300 characters")
    if "\0" in title.title or "\0" in (title.description or ""):
        return bad_field("title" if "\0" in title.title else "description", "must not contain NUL")
    if len(title.description or "") > 20_000:
        return bad_field("description", "must have at most 20000 characters")
    if title.content_type not in CONTENT_TYPES:
        return bad_field("content_type", f"must be one of {', '.join(sorted(CONTENT_TYPES))}")
    if title.language is not None and not re.fullmatch(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*", title.language):
        return bad_field("language", "must be a BCP 47 tag such as `en` or `pt-BR`")
    return check_encoding(title.encoding)


def check_file(file: NewFile) -> Refusal | None:
    """Refuses a file name that is a path and a checksum that is none; an empty file is refused here at once."""
    if not file.name or len(file.name) > 255 or re.search(r"[/\\\x00-\x1f\x7f-\x9f]", file.name):
        return bad_field("filename", "must be a plain name of at most 255 characters")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", file.checksum):
        return bad_field("checksum", "must be sha256:<64 hex digits>")
    if file.size_bytes <= 0:
        return Refusal(errors.EMPTY_FILE)
    return None


# --------------------------------------------------------------------------------------------------------- submissions


async def submit(tx: Tx, file: NewFile, title: NewTitle, *, priority: int = 0) -> Submitted:
    """Stores file, unpublished title and job, and wakes a worker; all in the caller's transaction. Raises Refusal."""
    if refusal := check_title(title) or check_file(file):
        raise refusal
    await check_quota(tx, file.size_bytes)
    content_id, job_id = uuid7(), uuid7()
    await _store_file(tx, file, "content", content_id)
    await tx.run(
        SQL["content_insert"], content_id, title.title.strip(), title.description, title.content_type, file.file_id,
        title.language, title.is_free,
    )  # fmt: skip
    await _enqueue_job(
        tx, job_id, content_id, file.file_id, priority, title.publish, file.uploader_id, file.size_bytes, title.encoding
    )  # fmt: skip
    return Submitted(content_id, file.file_id, job_id)


async def submit_text(tx: Tx, file: NewFile, text: media_texts.NewText) -> UUID:
    """Stores a subtitle file as a track of its title, which the next packaging offers; the track's id. Raises Refusal."""
    if refusal := media_texts.check_text(text, file.size_bytes) or check_file(file):
        raise refusal
    await check_quota(tx, file.size_bytes)
    await media_texts.check_place(tx, text.content_id)
    await _store_file(tx, file, "text_track", text.content_id)
    return await media_texts.put_text(tx, file.file_id, text)


async def _store_file(tx: Tx, file: NewFile, entity_type: str, entity_id: UUID) -> None:
    extension = PurePosixPath(file.name).suffix.lstrip(".").lower()[:16]
    await tx.run(
        SQL["file_insert"], file.file_id, file.uploader_id, file.name, file.size_bytes, file.mime_type, extension,
        file.checksum, entity_type, entity_id,
    )  # fmt: skip
    await tx.run(SQL["storage_insert"], file.file_id, file.storage_provider, file.bucket, file.storage_key)


async def check_quota(tx: Tx, more_bytes: int) -> None:
    """Raises Refusal unless the tenant may hold `more_bytes` beside what it holds.

    What is encoded from a file counts once it is there and is never refused: a title that was taken is finished.
    """
    max_bytes = await tx.value(SQL["quota_lock"])
    if max_bytes is None:
        return
    if wrong := decide_quota(max_bytes, await tx.value(SQL["held_bytes"]), more_bytes):
        raise wrong


def decide_quota(max_bytes: int, held_bytes: int, more_bytes: int) -> Refusal | None:
    """Whether `more_bytes` beside `held_bytes` are within the quota."""
    if held_bytes + more_bytes <= max_bytes:
        return None
    text = f"The workspace holds {held_bytes} of at most {max_bytes} bytes; there is no room for {more_bytes} more."
    room = max(0, max_bytes - held_bytes)
    return Refusal(
        errors.STORAGE_QUOTA, text, data={"max_bytes": max_bytes, "held_bytes": held_bytes, "room_bytes": room}
    )


async def submit_again(
    tx: Tx,
    content_id: UUID,
    *,
    priority: int = 0,
    publish: bool = False,
    encoding: Encoding = AS_SET,
    created_by: UUID | None = None,
) -> Submitted:
    """Encodes the content's file once more; the old generation plays until the new one is whole. Raises Refusal."""
    if refusal := check_encoding(encoding):
        raise refusal
    row = await tx.one(SQL["content_for_again"], content_id)
    if row is None:
        raise Refusal(errors.CONTENT_NOT_FOUND)
    if row["file_id"] is None:
        raise Refusal(errors.CONTENT_NOT_READY, "This title has no file to encode.", hint="Upload one.")
    if row["is_busy"]:
        raise Refusal(errors.CONFLICT, "This title is already being encoded.")
    job_id = uuid7()
    await _enqueue_job(tx, job_id, content_id, row["file_id"], priority, publish, created_by, row["size"], encoding)
    return Submitted(content_id, row["file_id"], job_id)


async def _enqueue_job(
    tx: Tx,
    job_id: UUID,
    content_id: UUID,
    file_id: UUID,
    priority: int,
    publish: bool,
    created_by: UUID | None,
    size_bytes: int,
    encoding: Encoding,
) -> None:
    task_id = uuid7()
    codecs = None if encoding.codecs is None else list(encoding.codecs)
    tenant_id = await tx.value(
        SQL["job_insert"], job_id, content_id, file_id, priority, publish, created_by, codecs, encoding.quality,
        encoding.encrypt,
    )  # fmt: skip
    await tx.run(SQL["task_insert"], task_id, job_id)
    bonus = SHORT_BONUS if size_bytes < SHORT_BYTES else 0
    await queue_tasks(tx, tenant_id, priority, [(task_id, bonus)])
