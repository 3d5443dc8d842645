"""A school over /rest/v1, as a client sees it: a teacher writes a course with its rows, a student takes it with commands."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest

from core.database import dedicated
from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer
from tests.edge.rest_shop import MARA, STAFF, Shop, own_shop, shop_database
from tests.edge.test_rest_writes import code, written
from tests.edge.test_rpc import answer, refusal

__all__ = ["own_shop", "shop_database"]

TEACHER = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000399"), "authenticated")


@pytest.fixture
async def academy(own_shop: Shop) -> Shop:
    """A shop with a teacher in it."""
    admin = await dedicated(own_shop.admin_url)
    await admin.execute(
        "INSERT INTO users (id, name, email, role) VALUES ($1, 'Tove', 'tove@example.com', 'teacher')", TEACHER.user_id
    )
    await admin.close()
    own_shop.viewer = TEACHER
    return own_shop


async def made(shop: Shop, table: str, **values: object) -> Any:
    """A row, as the client gets it back."""
    status, rows = await written(shop, "POST", f"/{table}", values)
    assert status == 201, rows
    return rows[0]


async def course(shop: Shop, slug: str = "knots") -> tuple[Any, Any]:
    """A course with a chapter and a lesson, published."""
    begun = await made(shop, "courses", title="Knots", slug=slug, thumbnail_url="https://example.com/k.jpg")
    chapter = await made(shop, "chapters", course_id=begun["id"], title="Loops", position=1)
    lesson = await made(
        shop,
        "lessons",
        course_id=begun["id"],
        chapter_id=chapter["id"],
        title="Bowline",
        position=1,
        content_type="text",
    )
    await answer(shop, "publish_lesson", {"lesson_id": lesson["id"]})
    await answer(shop, "publish_chapter", {"chapter_id": chapter["id"]})
    await answer(shop, "publish_course", {"course_id": begun["id"]})
    return begun, lesson


@pytest.mark.rule("edupeak-323")
async def test_from_the_first_line_to_the_certificate(academy: Shop) -> None:
    begun, lesson = await course(academy)
    assert (begun["status"], begun["teacher_id"]) == ("draft", str(TEACHER.user_id))
    assert not {"text_content", "pdf_url"} & lesson.keys()
    await answer(
        academy, "write_lesson", {"lesson_id": lesson["id"], "text_content": "The rabbit comes out of its hole."}
    )
    quiz = await made(
        academy,
        "assessments",
        course_id=begun["id"],
        lesson_id=lesson["id"],
        type="quiz",
        total_marks=10,
        passing_marks=1,
    )
    asked = [{"question": "Which animal?", "options": ["Fox", "Rabbit"], "correct_answer": 1}]
    await answer(academy, "add_questions", {"assessment_id": quiz["id"], "questions": asked})
    [question] = await academy.rows(f"/questions?assessment_id=eq.{quiz['id']}")
    assert "correct_answer" not in question

    academy.viewer = MARA
    [listed] = await academy.rows("/courses?select=title,chapters(title,lessons(title))")
    assert listed["chapters"][0]["lessons"] == [{"title": "Bowline"}]
    assert await academy.rows("/questions") == []
    assert await refusal(academy, "view_lesson", {"lesson_id": lesson["id"]}) == (403, "PS542")
    await answer(academy, "enroll_in_course", {"course_id": begun["id"]})
    opened = await answer(academy, "view_lesson", {"lesson_id": lesson["id"]})
    assert opened["text_content"].startswith("The rabbit")
    assert await refusal(academy, "complete_lesson", {"lesson_id": lesson["id"]}) == (409, "PS544")
    attempt = await answer(academy, "start_attempt", {"assessment_id": opened["assessment_id"]})
    [put] = attempt["questions"]
    result = await answer(academy, "submit_attempt", {"attempt_id": attempt["attempt_id"], "answers": {put["id"]: 1}})
    assert (result["passed"], result["points_earned"]) == (True, 10)
    [row] = await academy.rows("/attempts")
    assert not {"score", "correct_answers", "passed", "points_earned"} & row.keys()
    [shown] = await academy.rows("/attempt_results?select=score,percentage,passed")
    assert shown == {"score": 1.0, "percentage": 100.0, "passed": True}
    done = await answer(academy, "complete_lesson", {"lesson_id": lesson["id"]})
    assert (done["progress"], done["status"]) == (100.0, "completed")
    assert await academy.rows(
        "/enrollments?select=status,certificates(revoked_at),student_badges(badge_type)&student_badges.order=badge_type&order=id"
    ) == [
        {
            "status": "completed",
            "certificates": {"revoked_at": None},
            "student_badges": [{"badge_type": "FirstLessonCompleted"}, {"badge_type": "HundredPercentProgress"}],
        }
    ]
    status, reviews = await written(academy, "POST", "/course_reviews", {"course_id": begun["id"], "rating": 5})
    assert (status, reviews[0]["user_id"]) == (201, str(MARA.user_id))

    academy.viewer = GUEST
    said = await academy.rows(f"/rpc/verify_certificate?code={done['certificate_code']}")
    assert (said["is_valid"], said["holder"], said["course"]) == (True, "Mara", "Knots")


async def test_a_student_writes_nothing_that_is_the_teachers(academy: Shop) -> None:
    begun, lesson = await course(academy)
    academy.viewer = MARA
    await answer(academy, "enroll_in_course", {"course_id": begun["id"]})
    asked = {"title": "Mine", "slug": "mine", "thumbnail_url": "https://example.com/k.jpg"}
    assert await code(academy, "POST", "/courses", asked) == (403, "PS304")
    chapter = {"course_id": begun["id"], "title": "Mine", "position": 2}
    assert await code(academy, "POST", "/chapters", chapter) == (403, "PS304")
    assert await code(academy, "POST", "/assessments", {"course_id": begun["id"], "type": "quiz"}) == (403, "PS304")
    assert await written(academy, "PATCH", f"/lessons?id=eq.{lesson['id']}", {"title": "Mine"}) == (200, [])
    for table, body in (("enrollments", {}), ("attempts", {}), ("certificates", {}), ("lesson_progress", {})):
        assert (await code(academy, "POST", f"/{table}", body))[0] == 405
    assert await code(academy, "PATCH", f"/courses?id=eq.{begun['id']}", {"status": "archived"}) == (403, "PS208")


async def test_a_quiz_is_not_hung_on_somebody_elses_lesson(academy: Shop) -> None:
    _, lesson = await course(academy)
    own, _ = await course(academy, "own")
    status, said = await written(
        academy, "POST", "/assessments", {"course_id": own["id"], "lesson_id": lesson["id"], "type": "quiz"}
    )
    assert (status, said["code"]) == (409, "PS502")


async def test_only_those_who_take_a_course_review_it(academy: Shop) -> None:
    begun, _ = await course(academy)
    academy.viewer = MARA
    review = {"course_id": begun["id"], "rating": 4, "comment": "Good"}
    assert await code(academy, "POST", "/course_reviews", review) == (403, "PS304")
    await answer(academy, "enroll_in_course", {"course_id": begun["id"]})
    [made_] = (await written(academy, "POST", "/course_reviews", review))[1]
    assert (await written(academy, "PATCH", f"/course_reviews?id=eq.{made_['id']}", {"rating": 2}))[0] == 200
    assert await code(academy, "PATCH", f"/course_reviews?id=eq.{made_['id']}", {"is_featured": True}) == (403, "PS208")
    assert await refusal(academy, "feature_review", {"review_id": made_["id"]}) == (403, "PS304")
    academy.viewer = STAFF
    assert (await answer(academy, "feature_review", {"review_id": made_["id"]}))["is_featured"] is True
    academy.viewer = MARA
    assert await written(academy, "PATCH", f"/course_reviews?id=eq.{made_['id']}", {"rating": 1}) == (200, [])
    academy.viewer = GUEST
    assert await academy.rows("/courses?select=avg_rating,total_reviews") == [{"avg_rating": 2.0, "total_reviews": 1}]


@pytest.mark.rule("lms-031")
async def test_the_front_page_lists_what_is_featured(academy: Shop) -> None:
    first, _ = await course(academy)
    await course(academy, "plain")
    assert await refusal(academy, "feature_course", {"course_id": first["id"]}) == (403, "PS304")
    academy.viewer = STAFF
    await answer(academy, "feature_course", {"course_id": first["id"]})
    academy.viewer = GUEST
    assert [row["slug"] for row in await academy.rows("/courses?is_featured=is.true")] == ["knots"]
    outline = await academy.get(f"/rpc/course_outline?course_id={first['id']}")
    assert [chapter["title"] for chapter in orjson.loads(await outline.read())["chapters"]] == ["Loops"]
