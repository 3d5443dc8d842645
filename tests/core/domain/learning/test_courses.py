"""Courses and their parts: reviewed, published one by one, archived, set aside; and what of them is shown in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.core.domain.learning.conftest import School

NOW = datetime.now(UTC)


async def drafted(school: School) -> tuple[str, str, str]:
    """A draft course with a draft chapter with a draft lesson."""
    course = await school.rows.make("courses", teacher_id=school.teacher.user_id)
    chapter = await school.rows.make("chapters", course_id=course["id"])
    lesson = await school.rows.make("lessons", course_id=course["id"], chapter_id=chapter["id"])
    return str(course["id"]), str(chapter["id"]), str(lesson["id"])


@pytest.mark.rule("edupeak-072")
@pytest.mark.rule("edupeak-077")
@pytest.mark.rule("edupeak-079")
async def test_publishing_a_course_publishes_none_of_its_parts(school: School) -> None:
    course, chapter, lesson = await drafted(school)
    assert (await school.do(school.teacher, "publish_course", course_id=course))["status"] == "published"
    tables = ("courses", "chapters", "lessons")
    assert [await school.seen(school.student, table) for table in tables] == [1, 0, 0]
    assert (await school.do(school.teacher, "publish_lesson", lesson_id=lesson))["status"] == "published"
    assert [await school.seen(school.student, table) for table in tables] == [1, 0, 0]
    assert (await school.do(school.teacher, "publish_chapter", chapter_id=chapter))["status"] == "published"
    assert [await school.seen(school.student, table) for table in tables] == [1, 1, 1]
    await school.do(school.teacher, "unpublish_lesson", lesson_id=lesson)
    assert [await school.seen(school.student, table) for table in tables] == [1, 1, 0]


@pytest.mark.rule("lms-028")
@pytest.mark.rule("lms-029")
async def test_what_is_under_review_is_published_by_staff_and_later_archived(school: School) -> None:
    course, _, _ = await drafted(school)
    assert (await school.do(school.teacher, "submit_course", course_id=course))["status"] == "under_review"
    assert await school.refused(school.teacher, "publish_course", course_id=course) == "PS555"
    shown = await school.do(school.staff, "publish_course", course_id=course)
    assert shown["status"] == "published"
    assert shown["published_at"] is not None
    assert await school.do(school.teacher, "publish_course", course_id=course) == shown
    assert (await school.do(school.teacher, "archive_course", course_id=course))["status"] == "archived"
    assert await school.refused(school.teacher, "submit_course", course_id=course) == "PS504"
    again = await school.do(school.teacher, "publish_course", course_id=course)
    assert again["published_at"] == shown["published_at"]
    topics = await school.column("SELECT topic FROM outbox ORDER BY seq")
    assert topics == ["course.submitted", "course.published", "course.archived", "course.published"]


async def test_staff_may_want_to_see_every_course_first(school: School) -> None:
    course, _, _ = await drafted(school)
    await school.rows.make("system_config", key="courses.review_required", value="true")
    assert await school.refused(school.teacher, "publish_course", course_id=course) == "PS555"
    await school.do(school.teacher, "submit_course", course_id=course)
    assert (await school.do(school.staff, "return_course", course_id=course, reason="No sound"))["status"] == "draft"
    assert (await school.do(school.staff, "publish_course", course_id=course))["status"] == "published"


async def test_an_empty_course_is_not_published(school: School) -> None:
    course = await school.rows.make("courses", teacher_id=school.teacher.user_id)
    assert await school.refused(school.teacher, "publish_course", course_id=course["id"]) == "PS514"
    chapter = await school.rows.make("chapters", course_id=course["id"])
    assert await school.refused(school.teacher, "publish_chapter", chapter_id=chapter["id"]) == "PS514"


@pytest.mark.rule("edupeak-101")
async def test_a_course_is_not_sold_without_a_price(school: School) -> None:
    """The document wants Stripe's name of the price, of every course. Here courses are free too, so it is the price that a paid one needs."""
    course, _, _ = await drafted(school)
    await school.rows.connection.execute("UPDATE courses SET pricing_type = 'paid'")
    assert await school.refused(school.teacher, "publish_course", course_id=course) == "PS912"
    assert await school.value("SELECT status::text FROM courses") == "draft"
    await school.rows.connection.execute("UPDATE courses SET price = 5")
    assert (await school.do(school.teacher, "publish_course", course_id=course))["status"] == "published"
    with pytest.raises(Exception, match="courses__sold_has_price"):
        await school.rows.connection.execute("UPDATE courses SET price = 0")


async def test_nobody_else_moves_a_course_or_its_parts(school: School) -> None:
    course, chapter, lesson = await drafted(school)
    for viewer in (school.student, school.other):
        assert await school.refused(viewer, "publish_course", course_id=course) == "PS540"
        assert await school.refused(viewer, "delete_course", course_id=course) == "PS540"
        assert await school.refused(viewer, "publish_chapter", chapter_id=chapter) == "PS105"
        assert await school.refused(viewer, "publish_lesson", lesson_id=lesson) == "PS541"
        assert await school.refused(viewer, "write_lesson", lesson_id=lesson, text_content="x") == "PS541"
        assert await school.refused(viewer, "feature_course", course_id=course) == "PS304"
    assert await school.refused(school.guest, "publish_course", course_id=course) == "PS301"
    assert await school.refused(school.teacher, "publish_course", course_id=uuid4()) == "PS540"
    assert await school.value("SELECT status::text FROM courses") == "draft"


@pytest.mark.rule("edupeak-319")
async def test_a_completed_course_is_archived_and_stays_with_whoever_took_it(school: School) -> None:
    course, lessons, _ = await school.taken()
    for lesson in lessons:
        await school.do(school.student, "complete_lesson", lesson_id=lesson["id"])
    assert await school.column("SELECT status::text FROM enrollments") == ["completed"]
    archived = await school.do(school.teacher, "archive_course", course_id=course["id"])
    assert archived["status"] == "archived"
    assert await school.seen(school.other, "courses") == 0
    assert await school.seen(school.student, "enrollments") == 1
    assert (await school.do(school.student, "view_lesson", lesson_id=lessons[0]["id"]))["lesson_id"] == str(
        lessons[0]["id"]
    )
    assert await school.refused(school.other, "enroll_in_course", course_id=course["id"]) == "PS540"


@pytest.mark.rule("edupeak-286")
async def test_what_teachers_and_staff_do_is_written_down_with_who_and_on_what(school: School) -> None:
    course, _, _ = await drafted(school)
    await school.do(school.teacher, "publish_course", course_id=course)
    await school.do(school.staff, "feature_course", course_id=course)
    rows = await school.rows.connection.fetch(
        "SELECT user_id, action, resource_type, resource_id FROM audit_logs WHERE resource_type = 'courses' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        (who.user_id, "update", "courses", UUID(course)) for who in (school.teacher, school.staff)
    ]


@pytest.mark.rule("infocus-082")
@pytest.mark.rule("lms-094")
@pytest.mark.rule("lms-095")
async def test_a_deleted_course_is_set_aside_and_can_be_brought_back(school: School) -> None:
    course, _, _ = await school.taken()
    gone = await school.do(school.teacher, "delete_course", course_id=course["id"])
    assert (gone["status"], gone["deleted_at"] is not None) == ("archived", True)
    assert await school.seen(school.other, "courses") == 0
    assert await school.seen(school.student, "enrollments") == 1
    assert await school.refused(school.teacher, "publish_course", course_id=course["id"]) == "PS558"
    back = await school.do(school.teacher, "restore_course", course_id=course["id"])
    assert back["deleted_at"] is None
    await school.do(school.teacher, "publish_course", course_id=course["id"])
    assert await school.seen(school.other, "courses") == 1


async def test_a_part_opens_at_its_moment_and_the_keeper_makes_it_count(school: School) -> None:
    _, lessons, _ = await school.taken(lessons=2)
    lesson = lessons[1]["id"]
    soon = NOW + timedelta(days=3)
    assert await school.refused(school.teacher, "publish_lesson", lesson_id=lesson, release_at=soon) == "PS504"
    await school.do(school.teacher, "unpublish_lesson", lesson_id=lesson)
    planned = await school.do(school.teacher, "publish_lesson", lesson_id=lesson, release_at=soon)
    assert planned["status"] == "scheduled"
    assert await school.refused(school.student, "view_lesson", lesson_id=lesson) == "PS543"
    assert (await school.do(school.student, "view_lesson", lesson_id=lesson, now=soon))["lesson_id"] == str(lesson)
    assert await school.keep(soon - timedelta(seconds=1)) == {}
    assert await school.keep(soon) == {"parts released": 1}
    assert await school.value("SELECT status::text FROM lessons WHERE id = $1", lesson) == "published"


@pytest.mark.rule("edupeak-087")
@pytest.mark.rule("edupeak-088")
@pytest.mark.rule("lms-032")
@pytest.mark.rule("lms-033")
async def test_the_outline_is_in_order_and_says_what_is_open(school: School) -> None:
    course, chapter, lessons = await school.course(lessons=2)
    parts = {"course_id": course["id"], "status": "published"}
    first = await school.rows.make("lessons", chapter_id=chapter["id"], position=0, is_preview=True, **parts)
    before = await school.rows.make("chapters", course_id=course["id"], position=0)
    draft = await school.rows.make("lessons", course_id=course["id"], chapter_id=before["id"], position=1)
    await school.rows.change("chapters", before, status="published")
    outline = await school.do(school.guest, "course_outline", course_id=course["id"])
    assert [chapter["position"] for chapter in outline["chapters"]] == [0, 1]
    assert outline["chapters"][0]["lessons"] == []
    shown = outline["chapters"][1]["lessons"]
    assert [lesson["id"] for lesson in shown] == [str(first["id"]), *(str(lesson["id"]) for lesson in lessons)]
    assert [lesson["is_open"] for lesson in shown] == [True, False, False]
    assert outline["progress"] is None
    await school.do(school.student, "enroll_in_course", course_id=course["id"])
    await school.do(school.student, "complete_lesson", lesson_id=lessons[0]["id"])
    outline = await school.do(school.student, "course_outline", course_id=course["id"])
    shown = outline["chapters"][1]["lessons"]
    assert [lesson["is_open"] for lesson in shown] == [True, True, True]
    assert [lesson["completed"] for lesson in shown] == [False, True, False]
    assert outline["progress"] == 33.33
    taught = await school.do(school.teacher, "course_outline", course_id=course["id"])
    assert [lesson["id"] for lesson in taught["chapters"][0]["lessons"]] == [str(draft["id"])]


async def test_a_course_that_is_not_there_has_no_outline(school: School) -> None:
    course, _, _ = await drafted(school)
    assert await school.refused(school.student, "course_outline", course_id=course) == "PS540"
    assert await school.refused(school.guest, "course_outline", course_id=uuid4()) == "PS540"
    assert (await school.do(school.teacher, "course_outline", course_id=course))["status"] == "draft"


async def test_a_lesson_plays_what_its_teacher_may_give(school: School) -> None:
    """A teacher who could name any content would own it, and watch it for nothing."""
    _, _, lessons = await school.course()
    lesson = lessons[0]["id"]
    film = await school.rows.make("contents", content_type="MOVIE")
    foreign, own = [await school.rows.make("contents", content_type="LESSON") for _ in range(2)]
    await school.rows.make(
        "resource_ownership", resource_type="contents", resource_id=own["id"], owner_id=school.teacher.user_id
    )
    for content in (film, foreign):
        code = await school.refused(school.teacher, "set_lesson_content", lesson_id=lesson, content_id=content["id"])
        assert code == "PS405"
    assert await school.refused(school.staff, "set_lesson_content", lesson_id=lesson, content_id=film["id"]) == "PS102"
    for viewer, content in ((school.teacher, own), (school.staff, foreign)):
        held = await school.do(viewer, "set_lesson_content", lesson_id=lesson, content_id=content["id"])
        assert held["content_id"] == str(content["id"])
    for address in ("javascript:alert(1)", "ftp://x", "https://a\nb", "https://" + "x" * 2000):
        assert await school.refused(school.teacher, "write_lesson", lesson_id=lesson, pdf_url=address) == "PS102"
    said = {"text_content": "Read this.", "pdf_url": "https://example.com/a.pdf"}
    held = await school.do(school.teacher, "write_lesson", lesson_id=lesson, **said)
    assert (held["has_text"], held["pdf_url"]) == (True, said["pdf_url"])


@pytest.mark.rule("edupeak-040")
@pytest.mark.rule("edupeak-043")
async def test_who_is_approved_may_teach(school: School) -> None:
    applicant = school.student
    made = await school.rows.make("teacher_applications", user_id=applicant.user_id)
    begin = "INSERT INTO courses (title, slug, file_key) VALUES ('Knots', 'knots', 'k.jpg')"

    async def begins() -> bool:
        try:
            async with school.database.transaction(applicant) as tx:
                await tx.connection.execute(begin)
        except Exception as error:
            assert "PS304" in str(error)
            return False
        return True

    assert not await begins()
    assert (
        await school.refused(applicant, "review_teacher_application", application_id=made["id"], approve=True)
        == "PS304"
    )
    done = await school.do(school.staff, "review_teacher_application", application_id=made["id"], approve=True)
    assert (done["status"], done["reviewed_by"]) == ("Approved", str(school.staff.user_id))
    assert done["reviewed_at"] is not None
    assert await school.value("SELECT role::text FROM users WHERE id = $1", applicant.user_id) == "teacher"
    assert await begins()
    code = await school.refused(school.staff, "review_teacher_application", application_id=made["id"], approve=False)
    assert code == "PS504"


async def test_an_admin_who_applies_stays_one_and_a_refusal_says_why(school: School) -> None:
    mine = await school.rows.make("teacher_applications", user_id=school.staff.user_id)
    await school.do(school.staff, "review_teacher_application", application_id=mine["id"], approve=True)
    assert await school.value("SELECT role::text FROM users WHERE id = $1", school.staff.user_id) == "admin"
    other = await school.rows.make("teacher_applications", user_id=school.other.user_id)
    asked = {"application_id": other["id"], "approve": False, "reason": "Send a sample."}
    done = await school.do(school.staff, "review_teacher_application", **asked)
    assert (done["status"], done["rejection_reason"]) == ("Rejected", "Send a sample.")
    assert await school.value("SELECT role::text FROM users WHERE id = $1", school.other.user_id) == "student"


@pytest.mark.rule("lms-088")
async def test_full_text_search_has_its_index(school: School) -> None:
    indexes = await school.column(
        "SELECT indexdef FROM pg_indexes WHERE indexname IN ('courses_search_idx', 'contents_search_idx')"
    )
    assert len(indexes) == 2
    assert all("USING gin (search)" in text for text in indexes)
    await school.course(description="How sailors tie a bowline")
    found = "SELECT count(*) FROM courses WHERE search @@ plainto_tsquery('simple', 'bowline')"
    assert await school.value(found) == 1
