"""Support calls of a course: who wants to speak waits in a queue, is let in, joins, and is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN, check_move, person_of
from core.domain.learning.states import STATES
from core.errors import CALL_OVER, ENROLLMENT_NEEDED, NOT_ADMITTED, NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "support.sql")

# RULES


def check_call_joining(request: Row | None, person: UUID) -> Refusal | None:
    """They were let in, and the call goes on."""
    if request is None or request["user_id"] != person:
        return Refusal(NOT_FOUND)
    if request["call_status"] != "Active":
        return Refusal(CALL_OVER)
    return None if request["status"] == "Accepted" else Refusal(NOT_ADMITTED, data={"status": request["status"]})


# COMMANDS


class RequestSupport(Asked, frozen=True):
    """Asks to be let into a support call of a course that the viewer takes."""

    support_call_id: UUID
    support_type: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class DecideSupportRequest(Asked, frozen=True):
    """Lets somebody in, or not."""

    request_id: UUID
    accept: bool


class JoinSupportCall(Asked, frozen=True):
    """Comes into the call after being let in."""

    request_id: UUID


class CompleteSupportRequest(Asked, frozen=True):
    """Says that somebody has been helped."""

    request_id: UUID


class RequestStands(msgspec.Struct, frozen=True):
    """A place in the queue: the lowest `position` is next. `stream_call_id` is given to who was let in."""

    request_id: UUID
    support_call_id: UUID
    status: str
    position: int
    joined_at: datetime | None
    stream_call_id: str | None


class EndSupportCall(Asked, frozen=True):
    """Ends a call, or (`cancel`) calls it off; who still waits is turned away, who was in it is done."""

    support_call_id: UUID
    cancel: bool = False


class CallStands(msgspec.Struct, frozen=True):
    """Where a call stands."""

    support_call_id: UUID
    status: str
    ended_at: datetime | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "request_support": Command(RequestSupport, RequestStands, SIGNED_IN),
        "decide_support_request": Command(DecideSupportRequest, RequestStands, SIGNED_IN),
        "join_support_call": Command(JoinSupportCall, RequestStands, SIGNED_IN),
        "complete_support_request": Command(CompleteSupportRequest, RequestStands, SIGNED_IN),
        "end_support_call": Command(EndSupportCall, CallStands, SIGNED_IN),
    }
)

# HANDLERS


def _stands(row: Row | None) -> RequestStands:
    assert row is not None
    is_in = row["status"] == "Accepted" and row["call_status"] == "Active"
    return RequestStands(
        row["id"],
        row["support_call_id"],
        row["status"],
        row["position"],
        row["joined_at"],
        row["stream_call_id"] if is_in else None,
    )


async def do_request_support(tx: Tx, viewer: Viewer, asked: RequestSupport, now: datetime) -> RequestStands:
    """Raises Refusal NOT_FOUND, ENROLLMENT_NEEDED, CALL_OVER, CONFLICT."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        takes = await tx.value(SQL["call_door"], asked.support_call_id, person, now)
        if not takes:
            raise Refusal(NOT_FOUND if takes is None else ENROLLMENT_NEEDED)
        request_id = await tx.value(SQL["support_request_insert"], asked.support_call_id, person, asked.support_type)
        told = {"support_call_id": asked.support_call_id, "request_id": request_id, "user_id": person}
        await emit(tx, "support.requested", f"support_call:{asked.support_call_id}", told)
        return _stands(await tx.one(SQL["support_request_lock"], request_id))


async def _decide(tx: Tx, request_id: UUID, status: str) -> RequestStands:
    if not await tx.value(SQL["support_request_is_held"], request_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        request = await tx.one(SQL["support_request_lock"], request_id)
        if request is not None and request["status"] != status:
            if refusal := check_move(STATES["support_call_requests"], request["status"], status):
                raise refusal
            await tx.run(SQL["support_request_move"], request_id, status)
            told = {"request_id": request_id, "user_id": request["user_id"], "status": status}
            await emit(tx, "support.decided", f"support_call:{request['support_call_id']}", told)
        return _stands(await tx.one(SQL["support_request_lock"], request_id))


async def do_decide_support_request(tx: Tx, _: Viewer, asked: DecideSupportRequest, _now: datetime) -> RequestStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return await _decide(tx, asked.request_id, "Accepted" if asked.accept else "Rejected")


async def do_complete_support_request(
    tx: Tx, _: Viewer, asked: CompleteSupportRequest, _now: datetime
) -> RequestStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    return await _decide(tx, asked.request_id, "Completed")


async def do_join_support_call(tx: Tx, viewer: Viewer, asked: JoinSupportCall, now: datetime) -> RequestStands:
    """Raises Refusal NOT_FOUND, NOT_ADMITTED, CALL_OVER. Joining again, the first moment stays."""
    person = person_of(viewer)
    async with acting_as_service(tx):
        if refusal := check_call_joining(await tx.one(SQL["support_request_lock"], asked.request_id), person):
            raise refusal
        await tx.run(SQL["support_request_join"], asked.request_id, now)
        return _stands(await tx.one(SQL["support_request_lock"], asked.request_id))


async def do_end_support_call(tx: Tx, _: Viewer, asked: EndSupportCall, now: datetime) -> CallStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE."""
    row = await tx.one(SQL["call_lock"], asked.support_call_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    status = "Cancelled" if asked.cancel else "Ended"
    if row["status"] != status:
        if refusal := check_move(STATES["support_calls"], row["status"], status):
            raise refusal
        row = await tx.one(SQL["call_end"], asked.support_call_id, status, now)
        assert row is not None
        async with acting_as_service(tx):
            await tx.run(SQL["call_empty"], asked.support_call_id)
        await emit(tx, "support.ended", f"support_call:{asked.support_call_id}", {"status": status})
    return CallStands(asked.support_call_id, row["status"], row["ended_at"])


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        RequestSupport: do_request_support,
        DecideSupportRequest: do_decide_support_request,
        JoinSupportCall: do_join_support_call,
        CompleteSupportRequest: do_complete_support_request,
        EndSupportCall: do_end_support_call,
    }
)
