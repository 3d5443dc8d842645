"""What the database keeps up to date by itself: sums of events, points, ratings, progress, visibility, and its partitions."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.database import Row, dedicated
from tests.conftest import TestDatabase
from tests.core.promises import refused
from tests.core.rows import Rows
from tests.waiting import until

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
EVENT = st.tuples(st.integers(0, 180), st.sampled_from("abc"), st.sampled_from(["play", "skip"]))


async def listen(rows: Rows, episode: UUID, events: list[tuple[int, str, str]]) -> None:
    """One batch: (minutes after noon, listener, type)."""
    await rows.connection.execute(
        """INSERT INTO listener_events (episode_id, listener_id, event_type, occurred_at)
           SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[])""",
        episode,
        [who for _, who, _ in events],
        [what for _, _, what in events],
        [NOON + timedelta(minutes=minute) for minute, _, _ in events],
    )


async def sums(rows: Rows, table: str) -> dict[tuple[Any, str], tuple[int, int]]:
    """What an aggregate of events says: (bucket, type) to (events, listeners)."""
    found = await rows.connection.fetch(f"SELECT bucket, event_type, event_count, unique_listeners FROM {table}")
    return {(row[0], row[1]): (row[2], row[3]) for row in found}


@given(batches=st.lists(st.lists(EVENT, min_size=1, max_size=6), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.rule("podcast-070")
@pytest.mark.rule("podcast-071")
@pytest.mark.rule("podcast-072")
@pytest.mark.rule("podcast-075")
@pytest.mark.rule("podcast-076")
@pytest.mark.rule("podcast-077")
async def test_sums_of_events_are_exact_however_the_events_are_cut_into_batches(
    rows: Rows, batches: list[list[tuple[int, str, str]]]
) -> None:
    inner = rows.connection.transaction()
    await inner.start()
    episode = (await rows.make("podcast_episodes"))["id"]
    for batch in batches:
        await listen(rows, episode, batch)
    for table, width in (("listener_events_hourly", timedelta(hours=1)), ("listener_events_daily", timedelta(days=1))):
        events: dict[tuple[Any, str], int] = defaultdict(int)
        listeners: dict[tuple[Any, str], set[str]] = defaultdict(set)
        for minute, who, what in (event for batch in batches for event in batch):
            day = NOON.replace(hour=0)
            bucket = day if width.days else NOON + timedelta(hours=minute // 60)
            events[bucket, what] += 1
            listeners[bucket, what].add(who)
        assert await sums(rows, table) == {key: (events[key], len(listeners[key])) for key in events}
    await inner.rollback()


@pytest.mark.rule("podcast-074")
@pytest.mark.rule("podcast-079")
async def test_a_refresh_mends_what_was_changed_by_hand(rows: Rows) -> None:
    """And finds nothing to mend where nothing was: how many sums were wrong is what it says."""
    episode = (await rows.make("podcast_episodes"))["id"]
    await listen(rows, episode, [(0, "a", "play"), (1, "b", "play"), (70, "a", "skip")])
    for table in ("listener_events_hourly", "listener_events_daily"):
        assert await rows.connection.fetchval("SELECT refresh_listener_events($1, $2)", table, NOON) == 0
    await rows.connection.execute("DELETE FROM listener_events WHERE listener_id = 'a'")
    assert await rows.connection.fetchval("SELECT refresh_listener_events('listener_events_hourly', $1)", NOON) == 2
    assert await sums(rows, "listener_events_hourly") == {
        (NOON, "play"): (1, 1),
        (NOON + timedelta(hours=1), "skip"): (0, 0),
    }


@pytest.mark.rule("podcast-072")
async def test_two_writers_at_once_count_a_listener_once(database_urls: TestDatabase) -> None:
    """The second waits for the first at the bucket, and then sees its events."""
    admin, *writers = [await dedicated(database_urls.admin_url) for _ in range(3)]
    try:
        tenant_id = await admin.fetchval("INSERT INTO tenants (slug) VALUES ('mine') RETURNING id")
        episode = (await Rows(admin, tenant_id).make("podcast_episodes"))["id"]
        first, second = (Rows(writer, tenant_id) for writer in writers)
        for writer in writers:
            await writer.execute("SELECT set_config('app.tenant_id', $1, false)", str(tenant_id))
        begun = writers[0].transaction()
        await begun.start()
        await listen(first, episode, [(0, "a", "play")])
        waiting = asyncio.ensure_future(listen(second, episode, [(1, "a", "play"), (2, "b", "play")]))
        pid = writers[1].get_server_pid()
        await until(
            lambda: admin.fetchval("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid),
            60,
            "the second writer waits",
        )
        await begun.commit()
        await waiting
        assert await sums(Rows(admin, tenant_id), "listener_events_hourly") == {(NOON, "play"): (3, 2)}
    finally:
        for connection in (admin, *writers):
            await connection.close()


@pytest.mark.rule("podcast-080")
@pytest.mark.rule("podcast-081")
@pytest.mark.rule("podcast-082")
async def test_daily_metrics_draw_on_both_sources(rows: Rows) -> None:
    episode = (await rows.make("podcast_episodes"))["id"]
    for value in (10, 20):
        await rows.make("listener_metrics", episode_id=episode, metric_name="completion", metric_value=value)
    await rows.make("attribution_events", episode_id=episode, attribution_type="promo")
    daily = "SELECT metric_name, total_value::int, avg_value::int, record_count FROM metrics_daily ORDER BY metric_name"
    expected = [("attribution:promo", 1, 1, 1), ("completion", 30, 15, 2)]
    assert [tuple(row) for row in await rows.connection.fetch(daily)] == expected
    assert await rows.connection.fetchval("SELECT refresh_metrics_daily()") == 0
    await rows.connection.execute("DELETE FROM listener_metrics WHERE metric_value = 10")
    assert await rows.connection.fetchval("SELECT refresh_metrics_daily()") == 1
    assert [tuple(row) for row in await rows.connection.fetch(daily)][1] == ("completion", 20, 20, 1)


@pytest.mark.rule("streaming-105")
async def test_views_raise_the_count_of_their_content(rows: Rows) -> None:
    content = await rows.make("contents")
    for _ in range(3):
        await rows.make("content_views", content_id=content["id"])
    assert await rows.connection.fetchval("SELECT view_count FROM contents WHERE id = $1", content["id"]) == 3


@pytest.mark.rule("edupeak-031")
@pytest.mark.rule("edupeak-032")
@pytest.mark.rule("edupeak-170")
@pytest.mark.rule("edupeak-209")
@pytest.mark.rule("edupeak-210")
async def test_points_are_the_sum_of_their_ledger(rows: Rows) -> None:
    user = (await rows.make("users"))["id"]
    points = "SELECT points FROM users WHERE id = $1"
    await rows.make("point_entries", user_id=user, points=20, reason="quiz")
    assert await rows.connection.fetchval(points, user) == 20
    await rows.make("early_unlocks", user_id=user, points_spent=8)
    blog = await rows.make("blogs", author_id=user, points_required=5)
    assert blog["points_spent"] == 5
    assert await rows.connection.fetchval(points, user) == 7
    await refused(rows, "users__points_not_negative", rows.make("early_unlocks", user_id=user, points_spent=8))
    assert await rows.connection.fetchval(points, user) == 7
    assert await rows.connection.fetchval("SELECT sum(points) FROM point_entries WHERE user_id = $1", user) == 7


@pytest.mark.rule("podcast-116")
@pytest.mark.rule("podcast-117")
@pytest.mark.rule("podcast-118")
async def test_tokens_used_are_taken_from_the_balance(rows: Rows) -> None:
    user = (await rows.make("users"))["id"]
    await rows.make("ai_token_balances", user_id=user, balance=10)
    await rows.make("ai_token_usage", user_id=user, token_count=7)
    await refused(rows, "ai_token_balances__not_negative", rows.make("ai_token_usage", user_id=user, token_count=4))
    assert await rows.connection.fetchval("SELECT balance FROM ai_token_balances WHERE user_id = $1", user) == 3
    assert await rows.connection.fetchval("SELECT count(*) FROM ai_token_usage WHERE user_id = $1", user) == 1


@pytest.mark.rule("lms-040")
async def test_a_courses_rating_is_the_mean_of_its_reviews(rows: Rows) -> None:
    course = (await rows.make("courses"))["id"]
    rating = "SELECT avg_rating::float8, total_reviews FROM courses WHERE id = $1"
    reviews = [await rows.make("course_reviews", course_id=course, rating=stars) for stars in (5, 2)]
    assert tuple(await rows.connection.fetchrow(rating, course) or ()) == (3.5, 2)
    await rows.change("course_reviews", reviews[1], rating=4)
    assert tuple(await rows.connection.fetchrow(rating, course) or ()) == (4.5, 2)
    for review in reviews:
        await rows.delete("course_reviews", review)
    assert tuple(await rows.connection.fetchrow(rating, course) or ()) == (None, 0)


@pytest.mark.rule("edupeak-151")
async def test_progress_in_a_course_is_the_share_of_its_lessons(rows: Rows) -> None:
    enrollment = await rows.make("enrollments")
    chapter = await rows.make("chapters", course_id=enrollment["course_id"])
    lessons = [
        await rows.make("lessons", chapter_id=chapter["id"], course_id=enrollment["course_id"], status="published")
        for _ in range(4)
    ]
    for done, lesson in enumerate(lessons[:3], 1):
        await rows.make(
            "lesson_progress", lesson_id=lesson["id"], user_id=enrollment["user_id"], completed=True, completed_at="now"
        )
        progress = await rows.connection.fetchval("SELECT progress FROM enrollments WHERE id = $1", enrollment["id"])
        assert progress == done * 25
    assert (
        await rows.connection.fetchval("SELECT total_lectures FROM courses WHERE id = $1", enrollment["course_id"]) == 4
    )


@pytest.mark.rule("edupeak-223")
@pytest.mark.rule("edupeak-255")
async def test_answers_and_readers_are_counted(rows: Rows) -> None:
    blog = (await rows.make("blogs"))["id"]
    comment = await rows.make("blog_comments", blog_id=blog)
    await rows.make("blog_comments", blog_id=blog)
    await rows.make("blog_reactions", blog_id=blog)
    await rows.delete("blog_comments", comment)
    counted = await rows.connection.fetchrow("SELECT comment_count, like_count FROM blogs WHERE id = $1", blog)
    assert tuple(counted or ()) == (1, 1)
    announcement = (await rows.make("announcements"))["id"]
    for _ in range(2):
        await rows.make("announcement_reads", announcement_id=announcement)
    assert await rows.connection.fetchval("SELECT view_count FROM announcements WHERE id = $1", announcement) == 2


@pytest.mark.rule("podcast-056")
@pytest.mark.rule("podcast-057")
async def test_the_moment_of_a_stage_is_that_of_its_change(rows: Rows) -> None:
    campaign = await rows.make("campaigns", stage_changed_at="2020-01-01Z")
    campaign = await rows.change("campaigns", campaign, name="Other")
    assert campaign["stage_changed_at"].year == 2020
    campaign = await rows.change("campaigns", campaign, stage="booked")
    assert campaign["stage_changed_at"].year > 2020


@pytest.mark.rule("edupeak-262")
@pytest.mark.rule("edupeak-264")
@pytest.mark.rule("edupeak-265")
async def test_a_help_request_remembers_every_turn(rows: Rows) -> None:
    request = await rows.make("help_requests")
    for turn in ({"response": "Try this"}, {"user_reply": "No"}, {"response": "Then that"}):
        request = await rows.change("help_requests", request, **turn)
    assert request["responded_at"] is not None
    assert request["user_replied_at"] is not None
    said = await rows.connection.fetch("SELECT message, is_staff FROM help_request_messages ORDER BY id")
    assert [tuple(row) for row in said] == [("Try this", True), ("No", False), ("Then that", True)]


@pytest.mark.rule("streaming-041")
async def test_a_new_price_ends_the_one_before_it(rows: Rows) -> None:
    content = (await rows.make("contents"))["id"]
    for price, start in ((5, "2026-01-01Z"), (7, "2026-02-01Z")):
        await rows.make("content_prices", content_id=content, price=price, effective_from=start)
    prices = await rows.connection.fetch(
        "SELECT price::int, effective_to = '2026-02-01Z' AS ended FROM content_prices ORDER BY price"
    )
    assert [tuple(row) for row in prices] == [(5, True), (7, None)]


@pytest.mark.rule("lms-021")
async def test_categories_stay_a_tree(rows: Rows) -> None:
    above = await rows.make("categories")
    below = await rows.make("categories", parent_id=above["id"])
    deepest = await rows.make("categories", parent_id=below["id"])
    await refused(rows, "categories__no_cycle", rows.change("categories", above, parent_id=deepest["id"]))


@pytest.mark.rule("podcast-062")
@pytest.mark.rule("podcast-063")
@pytest.mark.rule("podcast-064")
@pytest.mark.rule("podcast-065")
@pytest.mark.rule("podcast-066")
@pytest.mark.rule("podcast-067")
@pytest.mark.rule("podcast-068")
@pytest.mark.rule("podcast-069")
@pytest.mark.rule("streaming-113")
async def test_partitions_are_made_ahead_and_dropped_after_their_retention(rows: Rows) -> None:
    widths = await rows.connection.fetch("SELECT parent, width, retention FROM time_partitions ORDER BY parent")
    day, month = timedelta(days=1), timedelta(days=30)
    assert [(row["parent"], row["width"]) for row in widths] == [
        ("attribution_events", day), ("audit_logs", month), ("listener_events", day), ("listener_metrics", day),
    ]  # fmt: skip
    assert [row["parent"] for row in widths if row["retention"]] == ["listener_events"]
    old, young = NOON - timedelta(days=740), NOON - timedelta(days=700)
    for table in ("listener_events", "attribution_events"):
        for moment in (old, young):
            await rows.connection.execute("SELECT ensure_partitions($1, $2, $2)", table, moment)
            await rows.make(table, occurred_at=moment.isoformat())
    done: list[Row] = []
    while batch := await rows.connection.fetch("SELECT * FROM keep_partitions($1, 5)", NOON):
        made = sum(int(row["done"].split()[0]) for row in batch if row["done"] != "dropped")
        assert made <= 5
        done += batch
    assert [row["partition"] for row in done if row["done"] == "dropped"] == [f"listener_events_{old:%Y%m%d}"]
    assert await rows.connection.fetchval("SELECT array_agg(occurred_at) FROM listener_events") == [young]
    assert await rows.connection.fetchval("SELECT count(*) FROM attribution_events") == 2
    assert await rows.connection.fetchval(
        "SELECT to_regclass($1) IS NOT NULL", f"listener_events_{NOON + 7 * day:%Y%m%d}"
    )


@pytest.mark.rule("podcast-073")
@pytest.mark.rule("podcast-078")
@pytest.mark.rule("podcast-083")
async def test_refreshing_is_registered(rows: Rows) -> None:
    found = await rows.connection.fetch(
        "SELECT aggregate, every, lookback FROM refresh_policies ORDER BY every, aggregate"
    )
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert [tuple(row) for row in found] == [
        ("listener_events_hourly", hour, 3 * hour), ("listener_events_daily", day, 3 * day), ("metrics_daily", day, 3 * day),
    ]  # fmt: skip
    episode = (await rows.make("podcast_episodes"))["id"]
    await listen(rows, episode, [(-60, "a", "play"), (-30, "b", "play")])
    await rows.connection.execute("DELETE FROM listener_events WHERE listener_id = 'a'")

    async def run(at: datetime) -> list[tuple[str, int]]:
        return [
            (row["aggregate"], row["mended"])
            for row in await rows.connection.fetch("SELECT * FROM run_refresh_policies($1)", at)
        ]

    assert await run(NOON) == [("listener_events_daily", 1), ("listener_events_hourly", 1), ("metrics_daily", 0)]
    assert await run(NOON + timedelta(minutes=59)) == []
    assert await run(NOON + timedelta(minutes=60)) == [("listener_events_hourly", 0)]
    assert await sums(rows, "listener_events_daily") == {(NOON.replace(hour=0), "play"): (1, 1)}


@pytest.mark.rule("streaming-106")
@pytest.mark.rule("infocus-081")
@pytest.mark.rule("podcast-094")
@pytest.mark.rule("podcast-095")
async def test_what_a_person_changes_is_written_down_and_secrets_are_not(rows: Rows) -> None:
    person = (await rows.make("users"))["id"]
    genre = await rows.make("genres", title="Drama")
    await rows.connection.execute("SELECT set_config('app.user_id', $1, true)", str(person))
    await rows.change("genres", genre, title="Comedy")
    hook = await rows.make("webhooks", secret="whsec_" + "s" * 30)
    await rows.delete("genres", genre)
    logged = await rows.connection.fetch(
        "SELECT user_id, action, resource_type, resource_id, changes FROM audit_logs WHERE resource_type IN ('genres', 'webhooks') ORDER BY id"
    )
    assert [(row["user_id"], row["action"], row["resource_type"], row["resource_id"]) for row in logged] == [
        (person, "update", "genres", genre["id"]),
        (person, "create", "webhooks", hook["id"]),
        (person, "delete", "genres", genre["id"]),
    ]
    changes = [json.loads(row["changes"]) for row in logged]
    assert changes[0] == {"before": {"title": "Drama"}, "after": {"title": "Comedy"}}
    assert changes[1]["after"]["url"] == "https://example.com/hook"
    assert "whsec_" not in str(changes)
    assert changes[2]["before"]["title"] == "Comedy"


async def test_what_no_person_changed_is_not_audited(rows: Rows) -> None:
    genre = await rows.make("genres")
    await rows.change("genres", genre, title="Other")
    assert await rows.connection.fetchval("SELECT count(*) FROM audit_logs") == 0


@pytest.mark.rule("edupeak-289")
async def test_an_erased_persons_activity_goes_and_their_changes_stay(rows: Rows) -> None:
    person = await rows.make("users")
    await rows.make("audit_logs", user_id=person["id"], kind="activity", action="lesson_uploaded")
    await rows.make("audit_logs", user_id=person["id"], kind="change", action="update")
    await rows.delete("users", person)
    left = await rows.connection.fetch("SELECT kind, user_id FROM audit_logs")
    assert [tuple(row) for row in left] == [("change", None)]


async def test_what_hangs_on_a_content_is_shown_and_hidden_with_it(rows: Rows) -> None:
    content = await rows.make("contents")
    tables = ("content_genres", "content_categories", "content_prices", "playlist_episodes")
    for table in tables:
        await rows.make(table, content_id=content["id"])

    async def shown() -> set[bool]:
        return {
            await rows.connection.fetchval(
                f"SELECT bool_and(is_public) FROM {table} WHERE content_id = $1", content["id"]
            )
            for table in tables
        }

    assert await shown() == {False}
    content = await rows.change("contents", content, is_published=True, published_at="now")
    assert await shown() == {True}
    late = await rows.make("content_genres", content_id=content["id"])
    assert late["is_public"]
    await rows.change("contents", content, is_available=False)
    assert await shown() == {False}


async def test_a_line_of_an_order_cannot_be_emptied_by_hand(rows: Rows) -> None:
    item = await rows.make("order_items", price=1)
    with pytest.raises(asyncpg.CheckViolationError, match="order_items__one_thing"):
        await rows.change("order_items", item, content_id=None)


@pytest.mark.rule("streaming-116")
async def test_what_is_popular_is_what_was_viewed_most(rows: Rows) -> None:
    for views in (1, 3, 2):
        content = await rows.make("contents", is_published=True, published_at="now", title=f"Seen {views} times")
        for _ in range(views):
            await rows.make("content_views", content_id=content["id"])
    await rows.make("contents")
    found = await rows.connection.fetch(
        "SELECT title, place FROM popular_contents WHERE tenant_id = $1 ORDER BY place", rows.tenant_id
    )
    assert [tuple(row) for row in found] == [("Seen 3 times", 1), ("Seen 2 times", 2), ("Seen 1 times", 3)]


@pytest.mark.rule("streaming-117")
async def test_a_persons_viewing_is_added_up(rows: Rows) -> None:
    user = (await rows.make("users"))["id"]
    for done in (True, False):
        await rows.make(
            "watch_progress", user_id=user, watched_ms=90_000, last_position=1, duration=2, is_completed=done
        )
    found = await rows.connection.fetchrow(
        "SELECT titles_begun, titles_completed, watched_seconds::int FROM viewing_statistics WHERE user_id = $1", user
    )
    assert tuple(found or ()) == (2, 1, 180)


@pytest.mark.rule("streaming-118")
@pytest.mark.rule("streaming-042")
async def test_an_offer_shows_the_price_of_this_moment(rows: Rows) -> None:
    content = (await rows.make("contents", is_published=True, published_at="now"))["id"]
    offer = "SELECT is_available, price::int, currency FROM content_offers WHERE id = $1"
    assert tuple(await rows.connection.fetchrow(offer, content) or ()) == (True, None, None)
    for price, start in ((5, "2026-01-01Z"), (7, "2026-02-01Z"), (9, "2126-01-01Z")):
        await rows.make("content_prices", content_id=content, price=price, effective_from=start)
    assert tuple(await rows.connection.fetchrow(offer, content) or ()) == (True, 7, "EUR")


async def test_what_was_bought_is_listed_with_what_it_cost(rows: Rows) -> None:
    order = await rows.make("orders", total_amount=4, status="PAID")
    item = await rows.make("order_items", order_id=order["id"], price=4)
    for content in (item["content_id"], (await rows.make("contents"))["id"]):
        await rows.make("user_library", user_id=order["user_id"], order_id=order["id"], content_id=content)
    found = await rows.connection.fetch(
        "SELECT price::int, status FROM content_purchases WHERE user_id = $1 ORDER BY 1", order["user_id"]
    )
    assert [tuple(row) for row in found] == [(0, "PAID"), (4, "PAID")]


@pytest.mark.rule("streaming-044")
@pytest.mark.rule("streaming-045")
async def test_whoever_sets_a_price_is_named_in_it(rows: Rows) -> None:
    person = (await rows.make("users"))["id"]
    await rows.connection.execute("SELECT set_config('app.user_id', $1, true)", str(person))
    for table in ("content_prices", "playlist_prices"):
        assert (await rows.make(table))["created_by"] == person
