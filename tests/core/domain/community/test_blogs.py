"""Blogs: written for points, moderated, read, answered; and what people are told of it."""

from __future__ import annotations

import pytest

from tests.core.domain.town import GUEST, MARA, NOA, PIA, STAFF, Town

COURSE = "00000000-0000-7000-8000-000000000901"


async def blog(town: Town, slug: str = "light", *, published: bool = True, **more: object) -> str:
    """One of Mara's."""
    made = await town.add(MARA, "blogs", title="On light", slug=slug, content="It falls.", **more)
    if published:
        await town.do(STAFF, "approve_blog", blog_id=made["id"])
        await town.do(STAFF, "publish_blog", blog_id=made["id"])
    return str(made["id"])


async def points(town: Town) -> tuple[int, int]:
    """Those of the author, and those of the blog."""
    (row,) = await town.sql(
        "SELECT u.points AS author, b.points_earned AS blog FROM blogs b JOIN users u ON u.id = b.author_id"
    )
    return row["author"], row["blog"]


@pytest.mark.rule("edupeak-239")
async def test_an_author_is_told_that_a_blog_is_approved_or_rejected_and_why(town: Town) -> None:
    good, bad = await blog(town, published=False), await blog(town, "dark", published=False)
    for viewer in (MARA, NOA):
        for command, more in (("approve_blog", {}), ("reject_blog", {"reason": "no"}), ("publish_blog", {})):
            assert await town.refused(viewer, command, blog_id=good, **more) == "PS304"
    await town.do(STAFF, "approve_blog", blog_id=good)
    state = await town.do(STAFF, "reject_blog", blog_id=bad, reason="Too short")
    assert (state["status"], state["rejection_reason"]) == ("Rejected", "Too short")
    assert await town.told(MARA, "blog_approved") == ["Your blog has been approved"]
    (told,) = await town.see(MARA, "/notifications?type=eq.blog_rejected")
    assert told["message"] == "On light: Too short"
    assert await town.refused(STAFF, "publish_blog", blog_id=bad) == "PS504"
    assert await town.refused(NOA, "resubmit_blog", blog_id=bad) == "PS105"
    assert (await town.do(MARA, "resubmit_blog", blog_id=bad))["status"] == "Pending"
    assert await town.told(NOA, "blog_approved") == []


async def test_a_blog_is_seen_by_its_author_and_staff_until_it_is_published(town: Town) -> None:
    blog_id = await blog(town, published=False)
    for viewer, sees in ((MARA, 1), (STAFF, 1), (NOA, 0), (GUEST, 0)):
        assert len(await town.see(viewer, "/blogs")) == sees
    await town.do(STAFF, "approve_blog", blog_id=blog_id)
    await town.do(STAFF, "publish_blog", blog_id=blog_id)
    assert len(await town.see(GUEST, "/blogs")) == 1
    assert await town.cannot_add(MARA, "blogs", title="x", slug="x", content="x", status="Published") == 403
    assert await town.cannot_add(MARA, "blogs", title="x", slug="x", content="x", points_required=0) == 403
    draft = await blog(town, "draft", published=False, is_draft=True)
    await town.do(STAFF, "approve_blog", blog_id=draft)
    assert await town.refused(STAFF, "publish_blog", blog_id=draft) == "PS504"


@pytest.mark.rule("edupeak-219")
async def test_a_blog_is_linked_to_a_course_or_to_none(town: Town) -> None:
    await town.sql("INSERT INTO courses (id, title, slug, file_key) VALUES ($1, 'Light', 'light', 'a.jpg')", COURSE)
    await blog(town, course_id=COURSE)
    await blog(town, "free")
    rows = await town.see(GUEST, "/blogs?select=slug,course_id&order=slug")
    assert [(row["slug"], row["course_id"]) for row in rows] == [
        ("free", None),
        ("light", COURSE),
    ]


@pytest.mark.rule("edupeak-220")
async def test_featured_blogs_come_first(town: Town) -> None:
    await blog(town, "a")
    second = await blog(town, "b")
    assert await town.refused(MARA, "feature_blog", blog_id=second, is_featured=True) == "PS304"
    await town.do(STAFF, "feature_blog", blog_id=second, is_featured=True)
    rows = await town.see(GUEST, "/blogs?select=slug,is_featured&order=is_featured.desc,slug")
    assert [(row["slug"], row["is_featured"]) for row in rows] == [("b", True), ("a", False)]


@pytest.mark.rule("edupeak-221")
@pytest.mark.rule("edupeak-222")
@pytest.mark.rule("edupeak-231")
async def test_readers_earn_an_author_points_once_each(town: Town) -> None:
    blog_id = await blog(town)
    assert await points(town) == (15, 0), "posting costs five"
    await town.add(NOA, "blog_comments", blog_id=blog_id, content="So true")
    assert await points(town) == (17, 2)
    await town.add(NOA, "blog_comments", blog_id=blog_id, content="Again")
    await town.add(PIA, "blog_reactions", blog_id=blog_id, type="Love")
    assert await points(town) == (18, 3)
    await town.ask(PIA, "DELETE", f"/blog_reactions?blog_id=eq.{blog_id}")
    await town.add(PIA, "blog_reactions", blog_id=blog_id, type="Like")
    await town.add(MARA, "blog_comments", blog_id=blog_id, content="Thank you")
    await town.add(MARA, "blog_reactions", blog_id=blog_id, type="Like")
    assert await points(town) == (18, 3), "nor from oneself, nor by changing one's mind"
    (row,) = await town.see(GUEST, "/blogs?select=comment_count,like_count")
    assert row == {"comment_count": 3, "like_count": 2}
    assert await town.cannot_add(GUEST, "blog_comments", blog_id=blog_id, content="x") == 401


@pytest.mark.rule("edupeak-240")
@pytest.mark.rule("edupeak-241")
async def test_an_author_is_told_of_comments_reactions_and_points(town: Town) -> None:
    blog_id = await blog(town)
    await town.add(NOA, "blog_comments", blog_id=blog_id, content="So true")
    await town.add(NOA, "blog_reactions", blog_id=blog_id, type="Funny")
    await town.add(MARA, "blog_comments", blog_id=blog_id, content="Thank you")
    assert await town.told(MARA, "comment_received") == ["Somebody commented on your blog"]
    assert await town.told(MARA, "reaction_received") == ["Somebody reacted to your blog"]
    rows = await town.see(MARA, "/notifications?type=eq.points_earned&order=id")
    assert [row["message"] for row in rows] == ["2", "1"]
    assert await town.see(NOA, "/notifications") == []
    assert await town.see(STAFF, "/notifications") == []


@pytest.mark.rule("edupeak-230")
async def test_blogs_are_found_by_a_tag(town: Town) -> None:
    tagged = await blog(town, "tagged")
    await blog(town, "plain")
    hidden = await blog(town, "hidden", published=False)
    for blog_id in (tagged, hidden):
        await town.add(MARA, "blog_tags", blog_id=blog_id, name="Cinema", slug="cinema")
    rows = await town.see(GUEST, "/blogs?select=slug,blog_tags!inner(slug)&blog_tags.slug=eq.cinema")
    assert [row["slug"] for row in rows] == ["tagged"]
    assert await town.cannot_add(NOA, "blog_tags", blog_id=tagged, name="Spam", slug="spam") == 403


@pytest.mark.rule("edupeak-233")
async def test_an_upvote_counts_once_a_person(town: Town) -> None:
    blog_id = await blog(town)
    comment = await town.add(NOA, "blog_comments", blog_id=blog_id, content="So true")
    assert comment["upvotes"] == 0
    for viewer, count in ((MARA, 1), (MARA, 1), (PIA, 2)):
        said = await town.do(viewer, "upvote_comment", comment_id=comment["id"])
        assert said["upvotes"] == count
    await town.ask(PIA, "DELETE", f"/blog_comment_upvotes?comment_id=eq.{comment['id']}")
    assert (await town.see(GUEST, "/blog_comments"))[0]["upvotes"] == 1
    assert await town.cannot_add(NOA, "blog_comments", blog_id=blog_id, content="x", upvotes=9) == 403
    hidden = await blog(town, "hidden", published=False)
    secret = await town.add(MARA, "blog_comments", blog_id=hidden, content="A note")
    assert await town.refused(NOA, "upvote_comment", comment_id=secret["id"]) == "PS105"
