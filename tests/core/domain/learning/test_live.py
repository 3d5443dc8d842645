"""Live classes and support calls: who comes in, who leaves, who waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)


async def session(school: School) -> str:
    """A class that is planned in a course that the student takes."""
    course, _, _ = await school.taken()
    made = await school.rows.make("live_sessions", course_id=course["id"], teacher_id=school.teacher.user_id)
    return str(made["id"])


@pytest.mark.rule("lms-075")
async def test_a_live_class_is_joined_and_left(school: School) -> None:
    made = await session(school)
    assert await school.refused(school.student, "join_live_session", session_id=made) == "PS553"
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "start_live_session", session_id=made) == "PS105"
    live = await school.do(school.teacher, "start_live_session", session_id=made)
    assert (live["status"], live["started_at"] is not None) == ("live", True)
    assert await school.refused(school.other, "join_live_session", session_id=made) == "PS542"
    there = await school.do(school.student, "join_live_session", now=NOW, session_id=made)
    assert (datetime.fromisoformat(there["joined_at"]), there["left_at"], there["role"]) == (NOW, None, "attendee")
    again = await school.do(school.student, "join_live_session", now=NOW + timedelta(minutes=1), session_id=made)
    assert again == there
    later = NOW + timedelta(minutes=20)
    left = await school.do(school.student, "leave_live_session", now=later, session_id=made)
    assert datetime.fromisoformat(left["left_at"]) == later
    assert await school.do(school.student, "leave_live_session", session_id=made) == left
    assert await school.refused(school.other, "leave_live_session", session_id=made) == "PS105"
    back = await school.do(school.student, "join_live_session", now=later, session_id=made)
    assert back["left_at"] is None
    assert (await school.do(school.teacher, "join_live_session", session_id=made))["role"] == "host"
    await school.do(school.teacher, "end_live_session", session_id=made)
    assert await school.value("SELECT count(*) FROM live_session_participants WHERE left_at IS NULL") == 0
    assert await school.value("SELECT count(*) FROM live_session_participants") == 3
    assert await school.refused(school.student, "join_live_session", session_id=made) == "PS553"
    assert await school.refused(school.teacher, "start_live_session", session_id=made) == "PS504"
    for viewer, expected in ((school.student, 3), (school.other, 0), (school.teacher, 3), (school.guest, 0)):
        assert await school.seen(viewer, "live_session_participants") == expected
        assert await school.seen(viewer, "live_sessions") == min(expected, 1)


async def test_joining_from_two_devices_at_once_is_one_presence(school: School) -> None:
    made = await session(school)
    await school.do(school.teacher, "start_live_session", session_id=made)
    await asyncio.gather(*(school.do(school.student, "join_live_session", session_id=made) for _ in range(4)))
    assert await school.value("SELECT count(*) FROM live_session_participants") == 1


async def test_a_class_can_be_called_off_before_it_begins(school: School) -> None:
    made = await session(school)
    assert await school.refused(school.teacher, "end_live_session", session_id=made) == "PS504"
    assert (await school.do(school.staff, "cancel_live_session", session_id=made))["status"] == "cancelled"
    assert await school.refused(school.teacher, "start_live_session", session_id=made) == "PS504"


async def test_nobody_holds_a_class_in_somebody_elses_course(school: School) -> None:
    course, _, _ = await school.taken()
    insert = "INSERT INTO live_sessions (course_id, title, scheduled_at) VALUES ($1, 'Mine', now())"
    with pytest.raises(Exception, match="PS304"):
        async with school.database.transaction(school.student) as tx:
            await tx.connection.execute(insert, course["id"])
    async with school.database.transaction(school.teacher) as tx:
        await tx.connection.execute(insert, course["id"])
    assert await school.value("SELECT teacher_id FROM live_sessions") == school.teacher.user_id


@pytest.mark.rule("edupeak-136")
async def test_a_support_call_from_the_queue_to_its_end(school: School) -> None:
    course, _, _ = await school.taken()
    await school.do(school.other, "enroll_in_course", course_id=course["id"])
    call = await school.rows.make(
        "support_calls", course_id=course["id"], created_by=school.teacher.user_id, stream_call_id="stream-1"
    )
    asked = {"support_call_id": call["id"], "support_type": "homework"}
    first = await school.do(school.student, "request_support", **asked)
    second = await school.do(school.other, "request_support", **asked)
    assert [(one["status"], one["position"], one["stream_call_id"]) for one in (first, second)] == [
        ("Pending", 1, None),
        ("Pending", 2, None),
    ]
    assert await school.refused(school.student, "request_support", **asked) == "PS501"
    for viewer, expected in (
        (school.student, 1),
        (school.other, 1),
        (school.teacher, 2),
        (school.staff, 2),
        (school.guest, 0),
    ):
        assert await school.seen(viewer, "support_call_requests") == expected
    one, two = {"request_id": first["request_id"]}, {"request_id": second["request_id"]}
    assert await school.refused(school.student, "join_support_call", **one) == "PS554"
    assert await school.refused(school.student, "decide_support_request", **one, accept=True) == "PS105"
    let_in = await school.do(school.teacher, "decide_support_request", **one, accept=True)
    assert (let_in["status"], let_in["stream_call_id"]) == ("Accepted", "stream-1")
    assert await school.refused(school.other, "join_support_call", **one) == "PS105"
    joined = await school.do(school.student, "join_support_call", **one)
    assert joined["joined_at"] is not None
    assert await school.do(school.student, "join_support_call", **one) == joined
    assert (await school.do(school.teacher, "complete_support_request", **one))["status"] == "Completed"
    assert await school.refused(school.teacher, "complete_support_request", **two) == "PS504"
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "end_support_call", support_call_id=call["id"]) == "PS105"
    over = await school.do(school.teacher, "end_support_call", support_call_id=call["id"])
    assert (over["status"], over["ended_at"] is not None) == ("Ended", True)
    assert await school.do(school.teacher, "end_support_call", support_call_id=call["id"]) == over
    assert await school.column("SELECT status::text FROM support_call_requests ORDER BY position") == [
        "Completed",
        "Rejected",
    ]
    assert await school.refused(school.teacher, "end_support_call", support_call_id=call["id"], cancel=True) == "PS504"
    assert await school.refused(school.student, "join_support_call", **one) == "PS556"


async def test_a_call_that_is_over_takes_nobody(school: School) -> None:
    course, _, _ = await school.taken()
    call = await school.rows.make("support_calls", course_id=course["id"], created_by=school.teacher.user_id)
    asked = {"support_call_id": call["id"], "support_type": "homework"}
    assert await school.refused(school.other, "request_support", **asked) == "PS542"
    assert await school.refused(school.student, "request_support", **{**asked, "support_call_id": uuid4()}) == "PS105"
    await school.do(school.staff, "end_support_call", support_call_id=call["id"], cancel=True)
    assert await school.refused(school.student, "request_support", **asked) == "PS556"
