"""An exam that is watched over: what the student's client saw, for the teacher to judge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, person_of
from core.errors import ATTEMPT_CLOSED, NOT_FOUND, TOO_MANY_TRIES, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "proctoring.sql")

MOST_VIOLATIONS = 1000
LARGEST_DETAILS_BYTES = 8192

# RULES


def check_watching(session: Row | None, person: UUID) -> Refusal | None:
    """It is theirs, and the attempt is still open."""
    if session is None or session["user_id"] != person:
        return Refusal(NOT_FOUND)
    if session["status"] != "in_progress" or session["ended_at"] is not None:
        return Refusal(ATTEMPT_CLOSED)
    return None


# COMMANDS


class StartProctoring(Asked, frozen=True):
    """Begins watching over an open attempt of the viewer's, or goes on."""

    attempt_id: UUID


class EndProctoring(Asked, frozen=True):
    """Ends it."""

    session_id: UUID


class ProctoringStands(msgspec.Struct, frozen=True):
    """A session that watches over an attempt."""

    session_id: UUID
    attempt_id: UUID
    started_at: datetime
    ended_at: datetime | None
    violations: int


class ReportViolation(Asked, frozen=True):
    """Something that should not be. `details` is at most 8 KiB of JSON; `screenshot_key` an object key."""

    session_id: UUID
    type: Literal[
        "phone_detected",
        "multiple_faces",
        "no_face",
        "looking_away",
        "audio_detected",
        "tab_switch",
        "copy_paste",
        "other",
    ]
    screenshot_key: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    details: dict[str, msgspec.Raw] | None = None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "start_proctoring": Command(StartProctoring, ProctoringStands, SIGNED_IN),
        "report_violation": Command(ReportViolation, ProctoringStands, SIGNED_IN),
        "end_proctoring": Command(EndProctoring, ProctoringStands, SIGNED_IN),
    }
)

# HANDLERS


def _stands(row: Row | None) -> ProctoringStands:
    assert row is not None
    return ProctoringStands(row["id"], row["attempt_id"], row["started_at"], row["ended_at"], row["violations"])


async def do_start_proctoring(tx: Tx, viewer: Viewer, asked: StartProctoring, now: datetime) -> ProctoringStands:
    """Raises Refusal NOT_FOUND, ATTEMPT_CLOSED."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        attempt = await tx.one(SQL["attempt_watched_lock"], asked.attempt_id)
        if attempt is None or attempt["user_id"] != person:
            raise Refusal(NOT_FOUND)
        if attempt["status"] != "in_progress":
            raise Refusal(ATTEMPT_CLOSED)
        open_id = await tx.value(SQL["proctoring_open"], asked.attempt_id)
        session_id = open_id or await tx.value(SQL["proctoring_insert"], asked.attempt_id, now)
        return _stands(await tx.one(SQL["proctoring_get"], session_id))


async def do_report_violation(tx: Tx, viewer: Viewer, asked: ReportViolation, now: datetime) -> ProctoringStands:
    """Raises Refusal NOT_FOUND, ATTEMPT_CLOSED, TOO_MANY_TRIES or about a field."""
    person = person_of(viewer)
    details = None if asked.details is None else msgspec.json.encode(asked.details)
    if details is not None and len(details) > LARGEST_DETAILS_BYTES:
        raise bad_field("details", f"must be at most {LARGEST_DETAILS_BYTES} bytes")
    async with acting_as_service(tx):
        session = await tx.one(SQL["proctoring_lock"], asked.session_id)
        if refusal := check_watching(session, person):
            raise refusal
        stands = _stands(await tx.one(SQL["proctoring_get"], asked.session_id))
        if stands.violations >= MOST_VIOLATIONS:
            raise Refusal(TOO_MANY_TRIES, f"{MOST_VIOLATIONS} violations have been noted already.")
        text = None if details is None else details.decode()
        await tx.run(SQL["violation_insert"], asked.session_id, asked.type, asked.screenshot_key, text, now)
        return msgspec.structs.replace(stands, violations=stands.violations + 1)


async def do_end_proctoring(tx: Tx, viewer: Viewer, asked: EndProctoring, now: datetime) -> ProctoringStands:
    """Raises Refusal NOT_FOUND."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        session = await tx.one(SQL["proctoring_lock"], asked.session_id)
        if session is None or session["user_id"] != person:
            raise Refusal(NOT_FOUND)
        await tx.run(SQL["proctoring_end"], asked.session_id, now)
        return _stands(await tx.one(SQL["proctoring_get"], asked.session_id))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        StartProctoring: do_start_proctoring,
        ReportViolation: do_report_violation,
        EndProctoring: do_end_proctoring,
    }
)
