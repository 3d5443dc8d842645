"""Who may watch, and who sees what: every source of access in entitlement(), and the policies that look at more than a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from core.database import Row
from tests.core.rows import Rows

NOW = datetime.now(UTC)
SOON, LONG_AGO = (NOW + timedelta(days=1)).isoformat(), (NOW - timedelta(days=9)).isoformat()


async def playable(rows: Rows, **values: object) -> Row:
    """A published content that could be played."""
    content = await rows.make("contents", is_published=True, published_at="now", **values)
    generation = await rows.make(
        "generations", content_id=content["id"], state="published", published_at="now", duration_ms=1000, has_video=True
    )
    return await rows.change("contents", content, generation_id=generation["id"])


async def asked(rows: Rows, user: UUID | None, content: Row, at: datetime = NOW) -> tuple[bool, str]:
    """allowed and why."""
    row = await rows.connection.fetchrow("SELECT * FROM entitlement($1, $2, false, $3)", user, content["id"], at)
    assert row is not None
    return row["allowed"], row["reason"]


async def lesson(rows: Rows, *, course: dict[str, object] | None = None, **values: object) -> tuple[Row, Row, Row]:
    """A published lesson with its course and its content."""
    content = await playable(rows, content_type="LESSON")
    made = await rows.make("courses", **(course or {}))
    chapter = await rows.make("chapters", course_id=made["id"])
    filled = {"status": "published", **values}
    taught = await rows.make(
        "lessons", course_id=made["id"], chapter_id=chapter["id"], content_id=content["id"], **filled
    )
    await rows.change("chapters", chapter, status="published")
    made = await rows.change("courses", made, status="published", published_at="now")
    return made, taught, content


@pytest.mark.rule("edupeak-109")
@pytest.mark.rule("edupeak-111")
@pytest.mark.rule("edupeak-114")
@pytest.mark.rule("lms-038")
@pytest.mark.rule("lms-047")
async def test_an_enrolment_opens_the_lessons_while_it_runs(rows: Rows) -> None:
    course, _, content = await lesson(rows)
    user = (await rows.make("users"))["id"]
    assert await asked(rows, user, content) == (False, "not_entitled")
    enrollment = await rows.make("enrollments", user_id=user, course_id=course["id"])
    assert await asked(rows, user, content) == (False, "not_entitled")
    enrollment = await rows.change("enrollments", enrollment, status="active", expiry_date=SOON)
    assert await asked(rows, user, content) == (True, "enrolled")
    assert await asked(rows, user, content, NOW + timedelta(days=2)) == (False, "not_entitled")
    await rows.change("enrollments", enrollment, status="dropped")
    assert await asked(rows, user, content) == (False, "not_entitled")
    assert await asked(rows, None, content) == (False, "sign_in_needed")


@pytest.mark.rule("edupeak-142")
@pytest.mark.rule("edupeak-144")
@pytest.mark.rule("edupeak-145")
async def test_a_ban_from_a_course_ends_with_its_time_and_touches_no_other(rows: Rows) -> None:
    course, _, content = await lesson(rows)
    other, _, elsewhere = await lesson(rows)
    user = (await rows.make("users"))["id"]
    for taken in (course, other):
        await rows.make("enrollments", user_id=user, course_id=taken["id"], status="active")
    await rows.connection.execute(
        "UPDATE enrollments SET banned = true, ban_type = 'Temporary', ban_until = $1 WHERE course_id = $2",
        NOW + timedelta(days=1),
        course["id"],
    )
    assert await asked(rows, user, content) == (False, "banned_from_course")
    assert await asked(rows, user, elsewhere) == (True, "enrolled")
    assert await asked(rows, user, content, NOW + timedelta(days=2)) == (True, "enrolled")


@pytest.mark.rule("edupeak-084")
@pytest.mark.rule("edupeak-085")
@pytest.mark.rule("edupeak-172")
async def test_a_scheduled_lesson_opens_at_its_time_or_when_unlocked(rows: Rows) -> None:
    course, scheduled, content = await lesson(rows, status="scheduled", release_at=SOON)
    eager, patient = [(await rows.make("users"))["id"] for _ in range(2)]
    for user in (eager, patient):
        await rows.make("enrollments", user_id=user, course_id=course["id"], status="active")
    assert await asked(rows, eager, content) == (False, "not_released")
    await rows.make("early_unlocks", user_id=eager, lesson_id=scheduled["id"])
    assert await asked(rows, eager, content) == (True, "enrolled")
    assert await asked(rows, patient, content) == (False, "not_released")
    assert await asked(rows, patient, content, NOW + timedelta(days=2)) == (True, "enrolled")


@pytest.mark.rule("lms-037")
async def test_a_preview_is_for_everyone(rows: Rows) -> None:
    _, _, content = await lesson(rows, is_preview=True)
    assert await asked(rows, None, content) == (True, "free")


async def test_a_teacher_watches_their_own_lessons(rows: Rows) -> None:
    course, _, content = await lesson(rows)
    assert await asked(rows, course["teacher_id"], content) == (True, "owner")


@pytest.mark.rule("lms-051")
@pytest.mark.rule("lms-056")
@pytest.mark.rule("lms-057")
async def test_a_subscription_opens_what_its_plan_opens_until_its_period_ends(rows: Rows) -> None:
    film = await playable(rows, in_subscription=True)
    other = await playable(rows)
    _, _, taught = await lesson(rows, course={"pricing_type": "subscription"})
    plan = await rows.make("plans", opens_courses=False, max_streams=2, max_height=720)
    user = (await rows.make("users"))["id"]
    await rows.make(
        "subscriptions", user_id=user, plan_id=plan["id"], current_period_end=SOON, cancel_at_period_end=True
    )
    answer = await rows.connection.fetchrow("SELECT * FROM entitlement($1, $2, false, $3)", user, film["id"], NOW)
    assert answer is not None
    assert tuple(answer) == (True, "subscription", datetime.fromisoformat(SOON), 720, 2)
    assert await asked(rows, user, other) == (False, "not_entitled")
    assert await asked(rows, user, taught) == (False, "not_entitled")
    await rows.change("plans", plan, opens_courses=True)
    assert await asked(rows, user, taught) == (True, "subscription")
    assert await asked(rows, user, film, NOW + timedelta(days=2)) == (False, "not_entitled")


async def test_members_watch_what_is_for_members_and_their_admins_everything(rows: Rows) -> None:
    content = await playable(rows, for_members=True)
    hidden = await rows.change("contents", await playable(rows), is_published=False)
    member, admin, stranger = [(await rows.make("users"))["id"] for _ in range(3)]
    await rows.make("memberships", user_id=member)
    await rows.make("memberships", user_id=admin, role="Admin")
    assert await asked(rows, member, content) == (True, "member")
    assert await asked(rows, stranger, content) == (False, "not_entitled")
    assert await asked(rows, admin, hidden) == (True, "staff")
    assert await asked(rows, member, hidden) == (False, "not_published")


async def test_an_owner_watches_what_is_not_published(rows: Rows) -> None:
    content = await rows.change("contents", await playable(rows), is_published=False)
    user = (await rows.make("users"))["id"]
    await rows.make("resource_ownership", resource_type="contents", resource_id=content["id"], owner_id=user)
    assert await asked(rows, user, content) == (True, "owner")


async def test_a_recording_is_for_those_who_take_the_course(rows: Rows) -> None:
    course, _, _ = await lesson(rows)
    recording = await playable(rows, content_type="LIVE_RECORDING")
    await rows.make("live_sessions", course_id=course["id"], content_id=recording["id"], status="ended")
    user = (await rows.make("users"))["id"]
    assert await asked(rows, user, recording) == (False, "not_entitled")
    await rows.make("enrollments", user_id=user, course_id=course["id"], status="active")
    assert await asked(rows, user, recording) == (True, "enrolled")


@asynccontextmanager
async def acting(rows: Rows, user: UUID | None, role: str = "authenticated") -> AsyncIterator[None]:
    """What the app would see for this person."""
    async with rows.connection.transaction():
        await rows.connection.execute("SET LOCAL ROLE penstock_app")
        await rows.connection.execute(
            "SELECT set_config('app.user_id', $1, true), set_config('app.role', $2, true)", str(user or ""), role
        )
        yield
        await rows.connection.execute("RESET ROLE")
        await rows.connection.execute("SELECT set_config('app.user_id', '', true), set_config('app.role', '', true)")


async def seen(rows: Rows, table: str) -> int:
    """How many rows are visible."""
    number: int = await rows.connection.fetchval(f"SELECT count(*) FROM {table}")
    return number


@pytest.mark.rule("infocus-042")
@pytest.mark.rule("infocus-043")
@pytest.mark.rule("infocus-048")
async def test_a_family_sees_its_watchlists_and_its_admins_manage_it(rows: Rows) -> None:
    parent, child, stranger = [(await rows.make("users"))["id"] for _ in range(3)]
    family = await rows.make("families", created_by=parent)
    await rows.make("family_memberships", family_id=family["id"], user_id=parent, role="admin")
    await rows.make("family_memberships", family_id=family["id"], user_id=child)
    await rows.make("watchlist_entries", user_id=parent)
    for user, expected in ((parent, 1), (child, 1), (stranger, 0)):
        async with acting(rows, user):
            assert await seen(rows, "watchlist_entries") == expected
            assert await seen(rows, "family_memberships") == 2 * expected
    rename = "WITH done AS (UPDATE families SET name = 'Ours' RETURNING 1) SELECT count(*) FROM done"
    for user, expected in ((child, 0), (parent, 1)):
        async with acting(rows, user):
            assert await rows.connection.fetchval(rename) == expected


@pytest.mark.rule("infocus-063")
async def test_a_recommendation_is_answered_by_whom_it_was_made_to(rows: Rows) -> None:
    made = await rows.make("recommendations")
    accept = "WITH done AS (UPDATE recommendations SET status = 'accepted' RETURNING 1) SELECT count(*) FROM done"
    for user, expected in ((made["recommended_by"], 0), (made["recommended_to"], 1)):
        async with acting(rows, user):
            assert await rows.connection.fetchval(accept) == expected


@pytest.mark.rule("edupeak-070")
@pytest.mark.rule("edupeak-071")
@pytest.mark.rule("edupeak-080")
@pytest.mark.rule("edupeak-081")
@pytest.mark.rule("edupeak-326")
@pytest.mark.rule("lms-030")
@pytest.mark.rule("lms-034")
@pytest.mark.rule("lms-035")
async def test_students_see_what_is_published_and_teachers_their_own(rows: Rows) -> None:
    course, shown, _ = await lesson(rows)
    parts = {"chapter_id": shown["chapter_id"], "course_id": course["id"]}
    await rows.make("lessons", **parts)
    await rows.make("lessons", **parts, status="published", is_active=False)
    await rows.make("chapters", course_id=course["id"])
    await rows.make("courses")
    student = (await rows.make("users"))["id"]
    async with acting(rows, student):
        assert [await seen(rows, table) for table in ("courses", "chapters", "lessons")] == [1, 1, 1]
    async with acting(rows, course["teacher_id"]):
        assert [await seen(rows, table) for table in ("courses", "chapters", "lessons")] == [1, 2, 3]
    await rows.change("courses", course, status="archived")
    async with acting(rows, student):
        assert [await seen(rows, table) for table in ("courses", "chapters", "lessons")] == [0, 0, 0]


@pytest.mark.rule("edupeak-216")
@pytest.mark.rule("edupeak-217")
@pytest.mark.rule("edupeak-327")
async def test_blogs_are_read_once_published_and_nobody_approves_their_own(rows: Rows) -> None:
    blog = await rows.make("blogs")
    other = (await rows.make("users"))["id"]
    async with acting(rows, other):
        assert await seen(rows, "blogs") == 0
    async with acting(rows, blog["author_id"]):
        assert await seen(rows, "blogs") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with rows.connection.transaction():
                await rows.connection.execute("UPDATE blogs SET status = 'Approved'")
    blog = await rows.change("blogs", blog, status="Approved")
    blog = await rows.change("blogs", blog, status="Published", published_at="now")
    async with acting(rows, other):
        assert await seen(rows, "blogs") == 1
    await rows.change("blogs", blog, is_draft=True)
    async with acting(rows, other):
        assert await seen(rows, "blogs") == 0


@pytest.mark.rule("edupeak-247")
@pytest.mark.rule("edupeak-248")
@pytest.mark.rule("edupeak-249")
async def test_an_announcement_reaches_those_it_is_for(rows: Rows) -> None:
    enrollment = await rows.make("enrollments", status="active")
    student, course = enrollment["user_id"], enrollment["course_id"]
    teacher = (await rows.make("users", role="teacher"))["id"]
    told = {"status": "Published", "published_at": "now"}
    await rows.make("announcements", **told, target_role="AllUsers")
    await rows.make("announcements", **told, target_role="AllTeachers")
    await rows.make("announcements", **told, target_role="CourseStudents", target_course_id=course)
    await rows.make("announcements", **told, target_role="SpecificTeachers", target_user_ids=f"{{{teacher}}}")
    await rows.make("announcements", target_role="AllUsers")
    for user, expected in ((student, 2), (teacher, 3), ((await rows.make("users"))["id"], 1)):
        async with acting(rows, user):
            assert await seen(rows, "announcements") == expected


@pytest.mark.rule("edupeak-127")
async def test_a_billing_address_is_between_a_person_and_the_invoice(rows: Rows) -> None:
    address = await rows.make("billing_addresses")
    other = (await rows.make("users"))["id"]
    for user, role, expected in (
        (address["user_id"], "authenticated", 1),
        (other, "authenticated", 0),
        (other, "staff", 0),
    ):
        async with acting(rows, user, role):
            assert await seen(rows, "billing_addresses") == expected


@pytest.mark.rule("streaming-029")
async def test_the_parts_of_an_unpublished_content_are_not_given_away(rows: Rows) -> None:
    """Not its price, nor its genres, nor the title an episode of it has in a series."""
    content = await rows.make("contents")
    tables = ("contents", "content_prices", "content_genres", "content_categories", "playlist_episodes")
    for table in tables[1:]:
        await rows.make(table, content_id=content["id"])
    for role, expected in (("anon", 0), ("authenticated", 0), ("staff", 1)):
        async with acting(rows, None, role):
            assert [await seen(rows, table) for table in tables] == [expected] * 5


@pytest.mark.rule("podcast-043")
@pytest.mark.rule("podcast-044")
@pytest.mark.rule("podcast-045")
async def test_a_permission_comes_and_goes_with_the_role(rows: Rows) -> None:
    role = await rows.make("roles")
    permission = await rows.make("permissions", resource_type="podcasts", action="publish")
    holder = (await rows.make("user_roles", role_id=role["id"]))["user_id"]
    may = "SELECT has_permission($1, 'podcasts', 'publish')"
    assert not await rows.connection.fetchval(may, holder)
    await rows.make("role_permissions", role_id=role["id"], permission_id=permission["id"])
    assert await rows.connection.fetchval(may, holder)
    await rows.connection.execute("DELETE FROM role_permissions")
    assert not await rows.connection.fetchval(may, holder)


@pytest.mark.rule("podcast-046")
async def test_a_role_is_held_by_members_of_its_tenant(rows: Rows) -> None:
    role, stranger = await rows.make("roles"), await rows.make("users")
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="user_roles__holder_is_member"):
        await rows.connection.execute(
            "INSERT INTO user_roles (user_id, role_id) VALUES ($1, $2)", stranger["id"], role["id"]
        )
