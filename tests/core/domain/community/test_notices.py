"""Announcements, requests for help, and what people were told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.core.domain.town import GUEST, MARA, NOA, STAFF, Town


async def announcement(town: Town, title: str, **more: object) -> str:
    made = await town.add(STAFF, "announcements", title=title, body="x", **{"target_role": "AllUsers", **more})
    assert made["status"] == "Draft"
    return str(made["id"])


@pytest.mark.rule("edupeak-253")
async def test_reading_an_announcement_is_noted_once_with_its_moment(town: Town) -> None:
    announcement_id = await announcement(town, "We move")
    assert await town.refused(MARA, "read_announcement", announcement_id=announcement_id) == "PS105"
    await town.do(STAFF, "publish_announcement", announcement_id=announcement_id)
    first = await town.do(MARA, "read_announcement", announcement_id=announcement_id)
    assert await town.do(MARA, "read_announcement", announcement_id=announcement_id) == first
    (row,) = await town.see(MARA, "/announcement_reads")
    assert (row["announcement_id"], row["user_id"]) == (announcement_id, str(MARA.user_id))
    assert datetime.fromisoformat(row["read_at"]) == datetime.fromisoformat(first["read_at"])
    assert await town.see(NOA, "/announcement_reads") == []
    assert (await town.see(STAFF, "/announcements"))[0]["view_count"] == 1


@pytest.mark.rule("edupeak-256")
async def test_urgent_announcements_come_first(town: Town) -> None:
    for title, urgent in (("Later", False), ("Now", True)):
        made = await announcement(town, title, is_urgent=urgent)
        await town.do(STAFF, "publish_announcement", announcement_id=made)
    rows = await town.see(MARA, "/announcements?select=title,is_urgent&order=is_urgent.desc,published_at")
    assert [(row["title"], row["is_urgent"]) for row in rows] == [("Now", True), ("Later", False)]


async def test_an_announcement_is_seen_by_whom_it_is_for_from_when_it_is_out(town: Town) -> None:
    made = await announcement(town, "For Mara", target_role="SpecificStudents", target_user_ids=[str(MARA.user_id)])
    assert await town.see(MARA, "/announcements") == []
    for viewer in (MARA, NOA):
        assert await town.refused(viewer, "publish_announcement", announcement_id=made) == "PS105"
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await town.refused(STAFF, "schedule_announcement", announcement_id=made, scheduled_at=past) == "PS102"
    assert (await town.do(STAFF, "schedule_announcement", announcement_id=made, scheduled_at=soon))[
        "status"
    ] == "Scheduled"
    await town.do(STAFF, "publish_announcement", announcement_id=made)
    for viewer, sees in ((MARA, 1), (NOA, 0), (GUEST, 0)):
        assert len(await town.see(viewer, "/announcements")) == sees
    await town.do(STAFF, "expire_announcement", announcement_id=made)
    assert await town.see(MARA, "/announcements") == []
    assert await town.refused(STAFF, "publish_announcement", announcement_id=made) == "PS504"
    assert await town.cannot_add(MARA, "announcements", title="x", body="x", target_role="AllUsers") == 403


@pytest.mark.rule("edupeak-260")
async def test_requests_for_help_are_filtered_by_who_asks(town: Town) -> None:
    for viewer, kind in ((MARA, "Teacher"), (NOA, "Student"), (STAFF, "Admin")):
        await town.add(viewer, "help_requests", subject=f"A {kind} asks", message="x", user_type=kind)
    rows = await town.see(STAFF, "/help_requests?user_type=eq.Teacher")
    assert [row["subject"] for row in rows] == ["A Teacher asks"]
    assert len(await town.see(STAFF, "/help_requests")) == 3
    assert len(await town.see(MARA, "/help_requests")) == 1
    assert await town.cannot_add(MARA, "help_requests", subject="x", message="x", user_type="Guest") == 400


@pytest.mark.rule("edupeak-261")
@pytest.mark.rule("edupeak-242")
async def test_an_answer_is_stored_and_told_to_who_asked(town: Town) -> None:
    asked = await town.add(MARA, "help_requests", subject="No sound", message="At all", user_type="Student")
    assert await town.refused(MARA, "reply_to_help_request", help_request_id=asked["id"], reply="Hello?") == "PS504"
    assert await town.refused(MARA, "answer_help_request", help_request_id=asked["id"], response="x") == "PS304"
    said = await town.do(
        STAFF, "answer_help_request", help_request_id=asked["id"], response="Turn it on", status="InProgress"
    )
    assert (said["response"], said["status"]) == ("Turn it on", "InProgress")
    assert said["responded_at"] is not None
    assert await town.told(MARA, "admin_reply") == ["Your request has been answered"]
    assert await town.told(NOA, "admin_reply") == []
    assert await town.refused(NOA, "reply_to_help_request", help_request_id=asked["id"], reply="x") == "PS105"
    said = await town.do(MARA, "reply_to_help_request", help_request_id=asked["id"], reply="It works")
    assert said["user_reply"] == "It works"
    turns = await town.see(MARA, "/help_request_messages?select=message,is_staff&order=id")
    assert [(turn["message"], turn["is_staff"]) for turn in turns] == [("Turn it on", True), ("It works", False)]
    assert await town.see(NOA, "/help_request_messages") == []
    await town.do(STAFF, "answer_help_request", help_request_id=asked["id"], response="Good", status="Closed")
    assert await town.refused(MARA, "reply_to_help_request", help_request_id=asked["id"], reply="More") == "PS504"


async def test_all_that_one_was_told_is_read_at_once(town: Town) -> None:
    for user in (MARA, MARA, NOA):
        await town.sql("INSERT INTO notifications (user_id, type, title) VALUES ($1, 'reminder', 'x')", user.user_id)
    assert await town.do(MARA, "read_all_notifications") == {"count": 2}
    assert await town.do(MARA, "read_all_notifications") == {"count": 0}
    assert all(row["read_at"] for row in await town.see(MARA, "/notifications"))
    assert (await town.see(NOA, "/notifications"))[0]["is_read"] is False
