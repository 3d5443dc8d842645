"""Live classes: begun and ended by who teaches, joined and left by who takes the course."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, check_move, person_of
from core.domain.learning.states import STATES
from core.errors import ENROLLMENT_NEEDED, NOT_FOUND, SESSION_NOT_LIVE, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "live.sql")

# RULES


def check_joining(session: Row | None, *, is_staff: bool) -> Refusal | None:
    """It is live, and they take the course or hold the class."""
    if session is None:
        return Refusal(NOT_FOUND)
    if not (is_staff or session["is_host"] or session["takes"]):
        return Refusal(ENROLLMENT_NEEDED)
    return None if session["status"] == "live" else Refusal(SESSION_NOT_LIVE, data={"status": session["status"]})


# COMMANDS


class StartLiveSession(Asked, frozen=True):
    """Goes live."""

    session_id: UUID


class EndLiveSession(Asked, frozen=True):
    """Ends a live class; whoever is still in it has left."""

    session_id: UUID


class CancelLiveSession(Asked, frozen=True):
    """Calls off a class that is planned."""

    session_id: UUID


class SessionStands(msgspec.Struct, frozen=True):
    """Where a live class stands."""

    session_id: UUID
    status: str
    started_at: datetime | None
    ended_at: datetime | None


class JoinLiveSession(Asked, frozen=True):
    """Comes into a live class. Who is there already stays."""

    session_id: UUID


class LeaveLiveSession(Asked, frozen=True):
    """Leaves a live class."""

    session_id: UUID


class Presence(msgspec.Struct, frozen=True):
    """Somebody's presence; `role` host or attendee."""

    session_id: UUID
    role: str
    joined_at: datetime
    left_at: datetime | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "start_live_session": Command(StartLiveSession, SessionStands, SIGNED_IN),
        "end_live_session": Command(EndLiveSession, SessionStands, SIGNED_IN),
        "cancel_live_session": Command(CancelLiveSession, SessionStands, SIGNED_IN),
        "join_live_session": Command(JoinLiveSession, Presence, SIGNED_IN),
        "leave_live_session": Command(LeaveLiveSession, Presence, SIGNED_IN),
    }
)

# HANDLERS


async def _move(tx: Tx, session_id: UUID, status: str, now: datetime) -> SessionStands:
    row = await tx.one(SQL["live_lock"], session_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    if row["status"] != status:
        if refusal := check_move(STATES["live_sessions"], row["status"], status):
            raise refusal
        row = await tx.one(SQL["live_move"], session_id, status, now)
        assert row is not None
        await emit(tx, f"live_session.{status}", f"course:{row['course_id']}", {"session_id": session_id})
    return SessionStands(session_id, row["status"], row["started_at"], row["ended_at"])


async def do_start_live_session(tx: Tx, _: Viewer, asked: StartLiveSession, now: datetime) -> SessionStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, asked.session_id, "live", now)


async def do_end_live_session(tx: Tx, _: Viewer, asked: EndLiveSession, now: datetime) -> SessionStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    ended = await _move(tx, asked.session_id, "ended", now)
    async with acting_as_service(tx):
        await tx.run(SQL["live_empty"], asked.session_id, now)
    return ended


async def do_cancel_live_session(tx: Tx, _: Viewer, asked: CancelLiveSession, now: datetime) -> SessionStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return await _move(tx, asked.session_id, "cancelled", now)


async def do_join_live_session(tx: Tx, viewer: Viewer, asked: JoinLiveSession, now: datetime) -> Presence:
    """Raises Refusal NOT_FOUND, ENROLLMENT_NEEDED, SESSION_NOT_LIVE."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        session = await tx.one(SQL["live_door"], asked.session_id, person, now)
        if refusal := check_joining(session, is_staff=viewer.is_staff):
            raise refusal
        assert session is not None
        role = "host" if session["is_host"] else "attendee"
        await tx.run(SQL["live_join"], asked.session_id, person, role, now)
        return _presence(await tx.one(SQL["live_presence"], asked.session_id, person))


async def do_leave_live_session(tx: Tx, viewer: Viewer, asked: LeaveLiveSession, now: datetime) -> Presence:
    """Raises Refusal NOT_FOUND for who was never there. Leaving twice, the first moment stays."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        await tx.run(SQL["live_leave"], asked.session_id, person, now)
        return _presence(await tx.one(SQL["live_presence"], asked.session_id, person))


def _presence(row: Row | None) -> Presence:
    if row is None:
        raise Refusal(NOT_FOUND)
    return Presence(row["session_id"], row["role"], row["joined_at"], row["left_at"])


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        StartLiveSession: do_start_live_session,
        EndLiveSession: do_end_live_session,
        CancelLiveSession: do_cancel_live_session,
        JoinLiveSession: do_join_live_session,
        LeaveLiveSession: do_leave_live_session,
    }
)
