"""What follows from completed lessons, by whichever way they were completed: progress, activity, badges, certificates."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import Row, dedicated
from core.viewer import service
from tests.conftest import Servers
from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)


async def beats_say_done(school: School, *pairs: tuple[UUID, UUID]) -> None:
    """What the drain does when (person, lesson) were watched to the end: one statement for all of them."""
    people, lessons = zip(*pairs, strict=True)
    async with school.database.transaction(service()) as tx:
        await tx.connection.execute(
            """INSERT INTO lesson_progress AS p (user_id, lesson_id, completed, completed_at)
               SELECT user_id, lesson_id, true, now() FROM unnest($1::uuid[], $2::uuid[]) AS d (user_id, lesson_id)
               ON CONFLICT (user_id, lesson_id) DO UPDATE SET completed = p.completed OR EXCLUDED.completed,
                   completed_at = coalesce(p.completed_at, EXCLUDED.completed_at)""",
            list(people),
            list(lessons),
        )


def user(school: School) -> UUID:
    assert school.student.user_id is not None
    return school.student.user_id


@pytest.mark.rule("edupeak-147")
@pytest.mark.rule("edupeak-150")
@pytest.mark.rule("edupeak-152")
@pytest.mark.rule("edupeak-157")
@pytest.mark.rule("edupeak-159")
@pytest.mark.rule("edupeak-163")
@pytest.mark.rule("edupeak-165")
@pytest.mark.rule("edupeak-324")
@pytest.mark.rule("lms-044")
@pytest.mark.parametrize("way", ["command", "heartbeat"])
async def test_both_ways_lead_to_the_same(school: School, way: str) -> None:
    _, lessons, enrollment = await school.taken(lessons=2)

    async def complete(lesson: Row) -> None:
        if way == "command":
            await school.do(school.student, "complete_lesson", lesson_id=lesson["id"])
        else:
            await beats_say_done(school, (user(school), lesson["id"]))

    await complete(lessons[0])
    row = await school.rows.connection.fetchrow("SELECT * FROM enrollments")
    assert row is not None
    assert (row["progress"], row["status"]) == (50, "active")
    assert row["last_activity_at"] is not None
    assert await school.badges(enrollment) == {"FirstLessonCompleted"}
    assert await school.activity(enrollment) == ["StartedCourse", "CompletedLesson"]
    await complete(lessons[0])
    assert await school.activity(enrollment) == ["StartedCourse", "CompletedLesson"]
    await complete(lessons[1])
    row = await school.rows.connection.fetchrow("SELECT * FROM enrollments")
    assert row is not None
    assert (row["progress"], row["status"]) == (100, "completed")
    assert row["completed_at"] is not None
    assert await school.badges(enrollment) == {"FirstLessonCompleted", "HundredPercentProgress"}
    assert await school.activity(enrollment) == ["StartedCourse", "CompletedLesson", "CompletedLesson"]
    assert await school.column("SELECT completed FROM lesson_progress") == [True, True]
    issued = await school.rows.connection.fetchrow("SELECT * FROM certificates")
    assert issued is not None
    assert (str(issued["enrollment_id"]), issued["revoked_at"]) == (enrollment, None)
    told = await school.column("SELECT topic FROM outbox WHERE topic = 'course.completed'")
    assert told == ["course.completed"]


async def test_one_batch_for_many_people_and_courses(school: School) -> None:
    course, lessons, _ = await school.taken(lessons=1)
    second, more, _ = await school.taken(lessons=2)
    await school.do(school.other, "enroll_in_course", course_id=course["id"])
    assert school.other.user_id is not None
    pairs = [(user(school), lessons[0]["id"]), (school.other.user_id, lessons[0]["id"]), (user(school), more[0]["id"])]
    await beats_say_done(school, *pairs)
    done = await school.column("SELECT progress::integer FROM enrollments ORDER BY progress")
    assert done == [50, 100, 100]
    assert await school.value("SELECT count(*) FROM certificates") == 2
    assert second["id"] != course["id"]


async def test_two_lessons_completed_at_once_are_both_counted(school: School) -> None:
    for _ in range(5):
        _, lessons, enrollment = await school.taken(lessons=2)
        await asyncio.gather(
            *(school.do(school.student, "complete_lesson", lesson_id=lesson["id"]) for lesson in lessons)
        )
        status = await school.value("SELECT status::text FROM enrollments WHERE id = $1", UUID(enrollment))
        assert status == "completed"
        assert await school.value("SELECT count(*) FROM certificates WHERE enrollment_id = $1", UUID(enrollment)) == 1


@pytest.mark.rule("edupeak-191")
async def test_watching_to_the_end_waits_for_a_required_quiz(school: School) -> None:
    course, lessons, enrollment = await school.taken(lessons=1)
    content = await school.rows.make("contents", content_type="LESSON")
    await school.rows.change("lessons", lessons[0], content_id=content["id"])
    quiz = await school.rows.make("assessments", type="quiz", course_id=course["id"], lesson_id=lessons[0]["id"])
    questions = [{"question": "?", "options": ["a", "b"], "correct_answer": 0}]
    await school.do(school.teacher, "add_questions", assessment_id=quiz["id"], questions=questions)
    await school.rows.make("watch_progress", user_id=user(school), content_id=content["id"], is_completed=True)
    await beats_say_done(school, (user(school), lessons[0]["id"]))
    assert await school.column("SELECT completed FROM lesson_progress") == [False]
    assert await school.badges(enrollment) == set()
    begun = await school.do(school.student, "start_attempt", assessment_id=quiz["id"])
    assert await school.column("SELECT completed FROM lesson_progress") == [False]
    await school.do(school.student, "submit_attempt", attempt_id=begun["attempt_id"], answers={})
    assert await school.column("SELECT completed FROM lesson_progress") == [True]
    assert await school.value("SELECT status::text FROM enrollments") == "completed"


async def test_a_course_without_certificates_issues_none_until_a_teacher_does(school: School) -> None:
    _, lessons, enrollment = await school.taken(lessons=2, certificate_enabled=False)
    await school.do(school.student, "complete_lesson", lesson_id=lessons[0]["id"])
    assert await school.refused(school.teacher, "issue_certificate", enrollment_id=enrollment) == "PS513"
    await school.do(school.student, "complete_lesson", lesson_id=lessons[1]["id"])
    assert await school.value("SELECT count(*) FROM certificates") == 0
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "issue_certificate", enrollment_id=enrollment) == "PS105"
    issued = await school.do(school.teacher, "issue_certificate", enrollment_id=enrollment)
    assert issued["revoked_at"] is None
    assert await school.refused(school.teacher, "issue_certificate", enrollment_id=enrollment) == "PS501"


@pytest.mark.rule("edupeak-167")
@pytest.mark.rule("edupeak-168")
async def test_whoever_has_the_code_can_ask_whether_it_is_true(school: School) -> None:
    course, lessons, _ = await school.taken(lessons=1)
    done = await school.do(school.student, "complete_lesson", lesson_id=lessons[0]["id"])
    code = done["certificate_code"]
    assert len(code) == 23
    said = await school.do(school.guest, "verify_certificate", code=f" {code.lower()} ")
    name = await school.value("SELECT name FROM users WHERE id = $1", user(school))
    assert (said["is_valid"], said["holder"], said["course"]) == (True, name, course["title"])
    assert await school.refused(school.guest, "verify_certificate", code="00000-00000-00000-00000") == "PS105"
    certificate = await school.value("SELECT id FROM certificates")
    asked = {"certificate_id": certificate, "reason": "Somebody else took the exam."}
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "revoke_certificate", **asked) == "PS105"
    revoked = await school.do(school.teacher, "revoke_certificate", **asked)
    assert revoked["revoked_at"] is not None
    assert await school.do(school.staff, "revoke_certificate", **{**asked, "reason": "Other"}) == revoked
    said = await school.do(school.guest, "verify_certificate", code=code)
    assert (said["is_valid"], said["revoked_at"]) == (False, revoked["revoked_at"])
    for viewer, expected in (
        (school.student, 1),
        (school.other, 0),
        (school.teacher, 1),
        (school.staff, 1),
        (school.guest, 0),
    ):
        assert await school.seen(viewer, "certificates") == expected


async def test_lessons_that_come_and_go_move_those_on_the_way_alone(school: School) -> None:
    course, chapter, lessons = await school.course(lessons=1)
    for viewer in (school.student, school.other):
        await school.do(viewer, "enroll_in_course", course_id=course["id"])
    await school.do(school.student, "complete_lesson", lesson_id=lessons[0]["id"])
    added = await school.rows.make("lessons", course_id=course["id"], chapter_id=chapter["id"], position=9)
    await school.do(school.teacher, "publish_lesson", lesson_id=added["id"])
    progress = "SELECT progress::integer FROM enrollments WHERE user_id = $1"
    assert await school.value(progress, user(school)) == 100
    await school.do(school.other, "complete_lesson", lesson_id=lessons[0]["id"])
    assert await school.value(progress, school.other.user_id) == 50
    await school.do(school.teacher, "unpublish_lesson", lesson_id=added["id"])
    assert await school.column("SELECT status::text FROM enrollments") == ["completed", "completed"]


@pytest.mark.rule("edupeak-154")
@pytest.mark.rule("edupeak-324")
async def test_what_students_do_is_noted(school: School) -> None:
    _, lessons, enrollment = await school.taken(lessons=1)
    lesson = lessons[0]["id"]
    content = await school.rows.make("contents", content_type="LESSON", file_id=(await school.rows.make("files"))["id"])
    await school.rows.change("lessons", lessons[0], content_id=content["id"], is_downloadable=True)
    await school.rows.make("login_history", user_id=user(school))
    await school.rows.make("login_history", user_id=user(school), enrollment_id=UUID(enrollment))
    await school.rows.make("login_history", user_id=user(school), success=False, failure_reason="wrong password")
    for _ in range(2):
        await school.do(school.student, "view_lesson", lesson_id=lesson)
    await school.do(school.student, "download_lesson", lesson_id=lesson)
    assert sorted(await school.activity(enrollment)) == ["DownloadedFile", "LoggedIn", "StartedCourse", "ViewedLesson"]
    await school.do(school.student, "view_lesson", lesson_id=lesson, now=NOW + timedelta(days=1))
    assert (await school.activity(enrollment)).count("ViewedLesson") == 2
    odd = '{"any": ["thing", {"at": null}], "n": 1.5}'
    kept = await school.rows.make("student_activity", enrollment_id=UUID(enrollment), metadata=odd)
    assert kept["metadata"] == '{"n": 1.5, "any": ["thing", {"at": null}]}'
    for viewer, expected in ((school.student, 6), (school.other, 0), (school.teacher, 6), (school.guest, 0)):
        assert await school.seen(viewer, "student_activity") == expected


async def test_watching_is_viewing_once_a_day(school: School) -> None:
    _, lessons, enrollment = await school.taken(lessons=1)
    watched = await school.rows.make(
        "lesson_watch_analytics",
        user_id=user(school),
        lesson_id=lessons[0]["id"],
        total_duration=60,
        last_watched_at=NOW,
    )
    for later in (timedelta(0), timedelta(0), timedelta(days=1)):
        await school.rows.change("lesson_watch_analytics", watched, last_watched_at=NOW + later, watch_duration=30)
    assert await school.activity(enrollment) == ["ViewedLesson", "ViewedLesson"]


# Streaks

HONOLULU = ZoneInfo("Pacific/Honolulu")


async def active_on(school: School, enrollment: str, moments: list[datetime]) -> None:
    for moment in moments:
        await school.rows.make(
            "student_activity", enrollment_id=UUID(enrollment), type="ViewedLesson", created_at=moment
        )


@pytest.mark.rule("edupeak-158")
@pytest.mark.parametrize(
    ("days", "earned"), [((0, 1, 2, 3, 4, 5, 6), True), ((0, 1, 2, 3, 4, 5), False), ((0, 1, 2, 4, 5, 6, 7), False)]
)
async def test_seven_days_in_a_row(school: School, days: tuple[int, ...], earned: bool) -> None:
    _, _, enrollment = await school.taken()
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    await active_on(school, enrollment, [noon + timedelta(days=day, hours=-day) for day in days])
    assert ("SevenDayStreak" in await school.badges(enrollment)) is earned


@pytest.mark.rule("edupeak-158")
@pytest.mark.parametrize(("zone", "earned"), [("Pacific/Honolulu", True), (None, False), ("Nowhere/Atlantis", False)])
async def test_a_day_is_a_day_where_the_student_lives(school: School, zone: str | None, earned: bool) -> None:
    """Late on one evening and early the next: two days there, one day in UTC. A zone that nobody knows is UTC."""
    _, _, enrollment = await school.taken()
    if zone is not None:
        await school.rows.make("user_profiles", user_id=user(school), timezone=zone)
    evenings = [datetime.combine(date(2026, 3, 2) + timedelta(days=day), time(20), HONOLULU) for day in (0, 2, 4, 6)]
    mornings = [datetime.combine(date(2026, 3, 2) + timedelta(days=day), time(5), HONOLULU) for day in (1, 3, 5)]
    await active_on(school, enrollment, sorted(evenings + mornings))
    assert ("SevenDayStreak" in await school.badges(enrollment)) is earned


def longest(moments: list[datetime], zone: ZoneInfo) -> int:
    """The plain model."""
    days = {moment.astimezone(zone).date() for moment in moments}
    best = 0
    for day in days:
        run = 1
        while day + timedelta(days=run) in days:
            run += 1
        best = max(best, run)
    return best


def test_streaks_agree_with_a_plain_model(servers: Servers) -> None:
    """Any moments, in zones that change their clocks and zones that do not."""
    start = datetime(2025, 3, 25, tzinfo=UTC)
    far = st.integers(0, 300 * 24 * 60).map(lambda minutes: start + timedelta(minutes=minutes))
    near = st.integers(0, 20 * 24 * 60).map(lambda minutes: start + timedelta(minutes=minutes))
    zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"])

    @given(st.one_of(st.lists(far), st.lists(near)), zones)
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def agrees(moments: list[datetime], zone: str) -> None:
        said = loop.run_until_complete(connection.fetchval("SELECT longest_streak($1, $2)", moments, zone))
        assert said == longest(moments, ZoneInfo(zone))

    loop = asyncio.new_event_loop()
    try:
        connection: Any = loop.run_until_complete(dedicated(servers.owner_url))
        try:
            agrees()
        finally:
            loop.run_until_complete(connection.close())
    finally:
        loop.close()


# Badges that time or talk bring


@pytest.mark.rule("edupeak-160")
async def test_who_takes_part_in_discussions_is_a_contributor(school: School) -> None:
    course, _, enrollment = await school.taken()
    blog = await school.rows.make("blogs", course_id=course["id"])
    for number in range(5):
        assert await school.keep(NOW) == {}
        made = await school.rows.make("blog_comments", blog_id=blog["id"], author_id=user(school), content=f"{number}")
        await school.rows.connection.execute("ALTER TABLE blog_comments DISABLE TRIGGER USER")
        await school.rows.change("blog_comments", made, created_at=NOW)
        await school.rows.connection.execute("ALTER TABLE blog_comments ENABLE TRIGGER USER")
    assert await school.keep(NOW) == {"contributors": 1}
    assert await school.keep(NOW) == {}
    assert await school.badges(enrollment) == {"DiscussionContributor"}


@pytest.mark.rule("edupeak-161")
async def test_whoever_earned_most_in_a_week_or_month_is_its_top_performer(school: School) -> None:
    course, _, enrollment = await school.taken()
    second = await school.do(school.other, "enroll_in_course", course_id=course["id"])
    quiz = await school.rows.make("assessments", type="quiz", course_id=course["id"], total_marks=10, max_attempts=9)
    wednesday = datetime(2026, 7, 1, 12, tzinfo=UTC)
    for viewer, points, at in (
        (school.student, 8, wednesday),
        (school.other, 7, wednesday),
        (school.other, 9, wednesday + timedelta(days=6)),
    ):
        done = {"status": "graded", "points_earned": points, "started_at": at, "completed_at": at}
        number = 1 + await school.value("SELECT count(*) FROM attempts WHERE user_id = $1", viewer.user_id)
        await school.rows.make("attempts", assessment_id=quiz["id"], user_id=viewer.user_id, number=number, **done)
    sunday, monday = datetime(2026, 7, 5, 23, 59, tzinfo=UTC), datetime(2026, 7, 6, tzinfo=UTC)
    assert await school.keep(sunday) == {}
    assert await school.keep(monday) == {"performers of the week": 1}
    assert await school.badges(enrollment) == {"WeeklyTopPerformer"}
    assert await school.keep(datetime(2026, 8, 1, tzinfo=UTC)) == {"performers of the month": 1}
    assert await school.badges(second["enrollment_id"]) == {"MonthlyTopPerformer"}
    for viewer, expected in ((school.student, 1), (school.other, 1), (school.teacher, 2), (school.guest, 0)):
        assert await school.seen(viewer, "student_badges") == expected
