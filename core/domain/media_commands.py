"""What a person asks of an encoding: to be done again, stopped, begun anew, or why it failed.

Decides who may and in which state. Staff see their tenant's jobs by row-level security; what follows from an answer
(tasks, messages, a generation that never became whole) is the product's to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from core import errors
from core.database import Tx
from core.domain.commands import acting_as_service
from core.domain.context import Asked, Command, Context, Handler
from core.domain.media import SQL, STATES, TABLES, submit_again
from core.domain.media_encoding import Encoding
from core.domain.media_failures import PieceFailure, read_failures
from core.domain.media_repackaging import repackage_again
from core.domain.media_tasks import end_job
from core.errors import Refusal
from core.viewer import Viewer

# RULES

_MOST_PRIORITY = 1000


def check_priority(priority: int) -> Refusal | None:
    """A job's place before others, within the bounds that its messages keep."""
    if abs(priority) > _MOST_PRIORITY:
        return errors.bad_field("priority", f"must lie between -{_MOST_PRIORITY} and {_MOST_PRIORITY}")
    return None


def check_cancel(state: str | None) -> Refusal | None:
    """A job that has not ended can be stopped."""
    if state is None:
        return Refusal(errors.NOT_FOUND, "There is no such job.")
    if state not in ("queued", "running"):
        return Refusal(errors.ILLEGAL_MOVE, f"The job has already ended: {state}.")
    return None


def check_retry(state: str | None) -> Refusal | None:
    """A job that ended without a result can be begun anew."""
    if state is None:
        return Refusal(errors.NOT_FOUND, "There is no such job.")
    if state not in ("failed", "cancelled"):
        return Refusal(errors.ILLEGAL_MOVE, f"Only a failed or cancelled job is tried again; this one is {state}.")
    return None


# COMMANDS


class EncodeAgain(Asked, frozen=True):
    """Encodes a title's file once more, with other codecs, another way of choosing the ladder, or encrypted."""

    content_id: UUID
    priority: int = 0
    codecs: tuple[str, ...] | None = None
    quality: str | None = None
    encrypt: bool | None = None


class CancelEncoding(Asked, frozen=True):
    """Stops a job that waits or runs."""

    job_id: UUID


class RetryEncoding(Asked, frozen=True):
    """Begins a failed or cancelled job anew, as it was asked for."""

    job_id: UUID


class EncodingFailures(Asked, frozen=True):
    """Why a job failed, or what of it is being tried again: each piece's reason, the rule it broke, and the tool's last words."""

    job_id: UUID


class JobQueued(msgspec.Struct, frozen=True):
    """The new job."""

    job_id: UUID


class JobStopped(msgspec.Struct, frozen=True):
    """`cancelled`, or `cancelling` when a worker has to stop first, which takes a second or two."""

    job_id: UUID
    state: Literal["cancelled", "cancelling"]


class JobFailures(msgspec.Struct, frozen=True):
    """At most 50, what ended the job first; empty when nothing has failed."""

    job_id: UUID
    failures: tuple[PieceFailure, ...]


COMMANDS: Mapping[str, Command] = {
    "encode_again": Command(EncodeAgain, JobQueued),
    "cancel_encoding": Command(CancelEncoding, JobStopped),
    "retry_encoding": Command(RetryEncoding, JobQueued),
    "encoding_failures": Command(EncodingFailures, JobFailures, is_read=True),
}

# HANDLERS


async def do_encode_again(tx: Tx, viewer: Viewer, asked: EncodeAgain, now: datetime) -> JobQueued:
    """Raises Refusal when there is no such title, no file, or a job is open."""
    if refusal := check_priority(asked.priority):
        raise refusal
    encoding = Encoding(asked.codecs, asked.quality, asked.encrypt)
    async with acting_as_service(tx):
        again = await submit_again(
            tx, asked.content_id, priority=asked.priority, encoding=encoding, created_by=viewer.user_id
        )
    return JobQueued(again.job_id)


async def do_cancel_encoding(tx: Tx, viewer: Viewer, asked: CancelEncoding, now: datetime) -> JobStopped:
    """Raises Refusal when there is no such job, or it has ended."""
    row = await tx.one(SQL["job_lock_cancel"], asked.job_id)
    if refusal := check_cancel(row["state"] if row else None):
        raise refusal
    assert row is not None  # or it was refused
    if row["is_worked_on"]:
        await tx.run(SQL["job_ask_cancel"], asked.job_id)
        return JobStopped(asked.job_id, "cancelling")
    async with acting_as_service(tx):
        await end_job(
            tx, asked.job_id, row["generation_id"], "cancelled", errors.CANCELLED.code, errors.CANCELLED.message
        )
    return JobStopped(asked.job_id, "cancelled")


async def do_retry_encoding(tx: Tx, viewer: Viewer, asked: RetryEncoding, now: datetime) -> JobQueued:
    """A new job on the same file. Raises Refusal when the job has not failed, or the title is busy."""
    row = await tx.one(SQL["job_for_retry"], asked.job_id)
    if refusal := check_retry(row["state"] if row else None):
        raise refusal
    assert row is not None  # or it was refused
    encoding = Encoding(row["codecs"] and tuple(row["codecs"]), row["quality"], row["is_encrypted"])
    async with acting_as_service(tx):
        if row["is_repackaging"]:
            return JobQueued(await repackage_again(tx, row["content_id"], viewer.user_id))
        again = await submit_again(
            tx,
            row["content_id"],
            priority=row["priority"],
            publish=row["publish_when_done"],
            encoding=encoding,
            created_by=viewer.user_id,
        )
    return JobQueued(again.job_id)


async def do_read_failures(tx: Tx, viewer: Viewer, asked: EncodingFailures, now: datetime) -> JobFailures:
    """Raises Refusal when there is no such job."""
    failures = await read_failures(tx, asked.job_id)
    if failures is None:
        raise Refusal(errors.NOT_FOUND, "There is no such job.")
    return JobFailures(asked.job_id, failures)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = {
    EncodeAgain: do_encode_again,
    CancelEncoding: do_cancel_encoding,
    RetryEncoding: do_retry_encoding,
    EncodingFailures: do_read_failures,
}

CONTEXT = Context("media", TABLES, STATES, COMMANDS, HANDLERS)
