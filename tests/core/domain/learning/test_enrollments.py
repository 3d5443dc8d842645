"""Coming into a course and going out of it, one way or another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from core.domain import identity
from core.errors import Refusal
from core.viewer import service
from edge.progress.keeper import Keeper
from tests.core.domain.learning.conftest import School
from tests.core.rows import Rows

NOW = datetime.now(UTC)


@pytest.mark.rule("lms-043")
@pytest.mark.rule("lms-045")
@pytest.mark.rule("lms-049")
async def test_a_free_course_is_taken_left_and_taken_up_again(school: School) -> None:
    course, _, _ = await school.course()
    made = await school.do(school.student, "enroll_in_course", course_id=course["id"])
    assert (made["status"], made["progress"]) == ("active", 0.0)
    assert made["enrolled_at"] is not None
    assert await school.do(school.student, "enroll_in_course", course_id=course["id"]) == made
    assert (await school.do(school.student, "drop_course", course_id=course["id"]))["status"] == "dropped"
    assert (await school.do(school.student, "drop_course", course_id=course["id"]))["status"] == "dropped"
    assert await school.refused(school.other, "drop_course", course_id=course["id"]) == "PS105"
    again = await school.do(school.student, "enroll_in_course", course_id=course["id"])
    assert (again["status"], again["enrollment_id"]) == ("active", made["enrollment_id"])
    assert await school.value("SELECT total_students FROM courses WHERE id = $1", course["id"]) == 1


async def test_what_costs_something_is_not_taken_for_nothing(school: School) -> None:
    paid, _, _ = await school.course(pricing_type="paid", price=5)
    subscribers, _, _ = await school.course(pricing_type="subscription")
    draft = await school.rows.make("courses", teacher_id=school.teacher.user_id)
    assert await school.refused(school.student, "enroll_in_course", course_id=paid["id"]) == "PS510"
    assert await school.refused(school.student, "enroll_in_course", course_id=subscribers["id"]) == "PS549"
    assert await school.refused(school.student, "enroll_in_course", course_id=draft["id"]) == "PS540"
    assert await school.refused(school.guest, "enroll_in_course", course_id=paid["id"]) == "PS301"
    assert await school.value("SELECT count(*) FROM enrollments") == 0


async def test_a_subscriber_takes_part_while_the_subscription_runs(school: School) -> None:
    course, _, lessons = await school.course(pricing_type="subscription")
    plan = await school.rows.make("plans", opens_courses=True)
    await school.rows.make(
        "subscriptions", user_id=school.student.user_id, plan_id=plan["id"], current_period_end=NOW + timedelta(days=2)
    )
    await school.do(school.student, "enroll_in_course", course_id=course["id"])
    await school.do(school.student, "view_lesson", lesson_id=lessons[0]["id"])
    later = NOW + timedelta(days=3)
    assert await school.refused(school.student, "view_lesson", now=later, lesson_id=lessons[0]["id"]) == "PS542"


async def test_the_last_place_is_given_once_to_two_at_once(school: School) -> None:
    course, _, _ = await school.course(max_students=1)
    both = await asyncio.gather(
        *(school.do(viewer, "enroll_in_course", course_id=course["id"]) for viewer in (school.student, school.other)),
        return_exceptions=True,
    )
    assert [str(one).partition(":")[0] for one in both if isinstance(one, Refusal)] == ["PS509"]
    assert await school.value("SELECT count(*) FROM enrollments") == 1


async def test_enrolling_twice_at_once_makes_one(school: School) -> None:
    course, _, _ = await school.course()
    both = await asyncio.gather(
        *(school.do(school.student, "enroll_in_course", course_id=course["id"]) for _ in range(4))
    )
    assert len({one["enrollment_id"] for one in both}) == 1


@pytest.mark.rule("lms-046")
async def test_an_enrolment_whose_time_is_over_expires(school: School) -> None:
    _, _, enrollment = await school.taken()
    end = NOW + timedelta(days=1)
    await school.rows.connection.execute("UPDATE enrollments SET expiry_date = $1", end)
    assert await school.keep(end - timedelta(seconds=1)) == {}
    assert await school.keep(end) == {"enrolments expired": 1}
    assert await school.value("SELECT status::text FROM enrollments") == "expired"
    assert await school.keep(end) == {}
    assert enrollment


async def test_a_banned_student_is_kept_out_until_the_ban_ends(school: School) -> None:
    course, lessons, enrollment = await school.taken()
    until = NOW + timedelta(days=2)
    asked = {"enrollment_id": enrollment, "reason": "Copied", "until": until}
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "ban_student", **asked) == "PS105"
    past = {**asked, "until": NOW - timedelta(days=1)}
    assert await school.refused(school.teacher, "ban_student", **past) == "PS102"
    assert (await school.do(school.teacher, "ban_student", **asked))["banned"] is True
    assert await school.refused(school.student, "view_lesson", lesson_id=lessons[0]["id"]) == "PS542"
    assert await school.refused(school.student, "enroll_in_course", course_id=course["id"]) == "PS557"
    await school.do(school.student, "view_lesson", now=until + timedelta(days=1), lesson_id=lessons[0]["id"])
    assert (await school.do(school.teacher, "unban_student", enrollment_id=enrollment))["banned"] is False
    await school.do(school.student, "view_lesson", lesson_id=lessons[0]["id"])
    forever = await school.do(school.staff, "ban_student", enrollment_id=enrollment, reason="Again")
    assert forever["ban_until"] is None
    assert await school.value("SELECT ban_type::text FROM enrollments") == "Permanent"


@pytest.mark.rule("edupeak-146")
async def test_a_teacher_notes_what_students_are_like(school: School) -> None:
    _, _, enrollment = await school.taken()
    noted = await school.do(
        school.teacher, "tag_student", enrollment_id=enrollment, tags=["NeedsHelp", "TopPerformer", "NeedsHelp"]
    )
    assert noted["tags"] == ["NeedsHelp", "TopPerformer"]
    assert (
        await school.refused(school.student, "tag_student", enrollment_id=enrollment, tags=["TopPerformer"]) == "PS105"
    )
    with pytest.raises(Exception, match="Invalid enum value"):
        await school.do(school.teacher, "tag_student", enrollment_id=enrollment, tags=["Lazy"])


async def test_each_sees_their_own_and_the_teacher_the_course(school: School) -> None:
    await school.taken()
    elsewhere = await school.rows.make("enrollments", status="active")
    for viewer, expected in (
        (school.student, 1),
        (school.other, 0),
        (school.teacher, 1),
        (school.staff, 2),
        (school.guest, 0),
    ):
        assert await school.seen(viewer, "enrollments") == expected
    assert elsewhere["course_id"] is not None


async def test_the_keeper_sees_to_the_courses_of_every_tenant(school: School) -> None:
    for tenant in (school.rows.tenant_id, (await school.rows.make("tenants"))["id"]):
        rows = Rows(school.rows.connection, tenant)
        made = await rows.make("enrollments", status="active", expiry_date=NOW - timedelta(minutes=1))
        assert made["tenant_id"] == tenant
    assert await Keeper(school.database, keep_months=0).keep()
    assert await school.column("SELECT status::text FROM enrollments") == ["expired", "expired"]


@pytest.mark.rule("edupeak-281")
async def test_a_sign_in_is_a_visit_to_each_course_that_the_student_takes(school: School) -> None:
    taken, left, never = [(await school.course())[0]["id"] for _ in range(3)]
    for course in (taken, left):
        await school.do(school.student, "enroll_in_course", course_id=course)
    await school.do(school.student, "drop_course", course_id=left)
    assert school.student.user_id is not None
    origin = identity.Origin(ip_address("203.0.113.7"), "Firefox on Linux")
    async with school.database.transaction(service()) as tx:
        await identity.open_session(tx, school.student.user_id, proof=None, origin=origin, now=NOW)
        await identity.record_failure(tx, school.student.user_id, NOW, origin)
    async with school.database.transaction(service()) as tx:
        rows = await tx.connection.fetch(
            """SELECT e.course_id, h.success, host(h.ip_address) AS address, h.user_agent
               FROM login_history AS h LEFT JOIN enrollments AS e ON e.id = h.enrollment_id
               WHERE h.user_id = $1 ORDER BY h.success DESC, e.course_id NULLS FIRST""",
            school.student.user_id,
        )
    seen = ("203.0.113.7", "Firefox on Linux")
    assert [tuple(row) for row in rows] == [(None, True, *seen), (taken, True, *seen), (None, False, *seen)]
    assert never not in {row["course_id"] for row in rows}
