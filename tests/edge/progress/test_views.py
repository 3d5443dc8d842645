"""What counts as a view, what does not, and the sums and partitions that are kept of them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.database import Database
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from edge.progress.bots import is_bot
from edge.progress.fold import DEFAULT_RULES
from edge.progress.keeper import Keeper
from edge.progress.write import SQL
from tests.conftest import TestDatabase
from tests.edge.progress.test_drain import a_beat, a_session, rows, write_beats
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast


@pytest.mark.parametrize(
    ("user_agent", "bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", True),
        ("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)", True),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", False),
        ("AppleCoreMedia/1.0.0.20H19 (iPhone; U; CPU OS 16_7 like Mac OS X; en_us)", False),
        ("okhttp/4.12.0", False), ("ExoPlayerLib/2.19", False), ("VLC/3.0.20 LibVLC/3.0.20", False),
        ("Overcast/3.0 (+http://overcast.fm/; iOS podcast app)", False), ("", False), ("a" * 10_000, False),
    ],
)  # fmt: skip
def test_crawlers_are_told_from_players(user_agent: str, bot: bool) -> None:
    assert is_bot(user_agent) is bot


async def sums(cast: Cast, content: UUID) -> tuple[int, int, int, int]:
    """Views, guests, watched seconds, and what the title itself says."""
    (hour,) = await rows(cast, "SELECT * FROM content_view_hours WHERE content_id = $1", content)
    (day,) = await rows(cast, "SELECT * FROM content_view_days WHERE content_id = $1", content)
    assert (hour["views"], hour["guests"], hour["watched_s"]) == (day["views"], day["guests"], day["watched_s"])
    (title,) = await rows(cast, "SELECT view_count FROM contents WHERE id = $1", content)
    return day["views"], day["guests"], day["watched_s"], title["view_count"]


async def test_what_a_crawler_watches_is_no_view_whatever_else_its_session_says(database: Database, cast: Cast) -> None:
    session = await a_session(cast, None, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 20, 20, user_id=None, is_bot=True)])
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 2, 59, 39, user_id=None, event="ended")])
    assert await rows(cast, "SELECT 1 FROM content_views") == []
    (title,) = await rows(cast, "SELECT view_count FROM contents WHERE id = $1", cast.free_film)
    assert title["view_count"] == 0


async def test_half_of_a_short_title_is_a_view(database: Database, cast: Cast) -> None:
    session = await a_session(cast, None, cast.free_film)
    short = {"user_id": None, "duration_ms": 20_000}
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 9, 9.9, **short)])
    assert await rows(cast, "SELECT 1 FROM content_views") == []
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 2, 10, 0.1, **short)])
    assert len(await rows(cast, "SELECT 1 FROM content_views")) == 1


async def test_seeking_about_is_no_view(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(
        database, DEFAULT_RULES, [a_beat(cast, session, n, n * 5, 0.5, event="seek") for n in range(1, 12)]
    )
    assert await rows(cast, "SELECT 1 FROM content_views") == []


async def test_sums_by_hour_and_day_grow_with_the_views(database: Database, cast: Cast) -> None:
    guest, vera = await a_session(cast, None, cast.free_film), await a_session(cast, cast.vera, cast.free_film)
    await write_beats(
        database,
        DEFAULT_RULES,
        [a_beat(cast, guest, 1, 31, 31, user_id=None), a_beat(cast, vera, 1, 40, 40)],
    )
    assert await sums(cast, cast.free_film) == (2, 1, 71, 2)
    # A plain beat is written when five minutes have gathered, so that a view is not an update for each heartbeat.
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, vera, 2, 45, 5)])
    assert await sums(cast, cast.free_film) == (2, 1, 71, 2)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, vera, 3, 45, 0, event="pause")])
    assert await sums(cast, cast.free_film) == (2, 1, 76, 2)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, guest, 2, 59, 300, user_id=None)])
    assert await sums(cast, cast.free_film) == (2, 1, 376, 2)


async def test_a_session_that_fell_silent_is_settled_later(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 40, 40)])
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 2, 55, 15)])
    keeper = Keeper(database, 0)
    assert await keeper.keep()
    assert (await sums(cast, cast.free_film))[2] == 40, "it may still say something"
    await cast.change("UPDATE playback_sessions SET last_beat_at = now() - interval '11 minutes'")
    for _ in range(2):
        assert await keeper.keep()
        assert (await sums(cast, cast.free_film))[2] == 55


async def test_one_process_keeps_house_at_a_time(database: Database, cast: Cast) -> None:
    async with database.transaction(service()) as tx:
        assert await tx.value(SQL["keeper_lock"])
        assert not await Keeper(database, 0).keep()


async def test_every_table_cut_by_time_has_its_pieces_ahead_and_sums_are_looked_at(
    database: Database, cast: Cast
) -> None:
    await Keeper(database, 0).keep()
    async with database.transaction(service()) as tx:
        assert not await tx.many(SQL["partitions_keep"]), "one round leaves nothing to make"
        assert not await tx.many(SQL["aggregates_refresh"]), "none is due again at once"
    ahead = await rows(
        cast,
        """SELECT parent FROM time_partitions
           WHERE width < '2 days' AND to_regclass(parent || to_char((now() + ahead * width) AT TIME ZONE 'UTC', '_YYYYMMDD')) IS NULL""",
    )
    assert not ahead, "the last day ahead is there"
    ran = await rows(cast, "SELECT DISTINCT aggregate FROM refresh_runs")
    assert {row["aggregate"] for row in ran} == {
        row["aggregate"] for row in await rows(cast, "SELECT aggregate FROM refresh_policies")
    }


async def partitions(cast: Cast) -> list[str]:
    found = await rows(
        cast,
        """SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'content_views'::regclass ORDER BY c.relname""",
    )
    return [row["relname"] for row in found]


@pytest.mark.rule("streaming-114")
@pytest.mark.rule("edupeak-318")
async def test_partitions_are_made_ahead_and_old_ones_set_aside_with_their_rows(database: Database, cast: Cast) -> None:
    now = datetime.now(UTC)
    coming = [
        f"content_views_{(now.year * 12 + now.month - 1 + n) // 12}{(now.month - 1 + n) % 12 + 1:02}" for n in range(4)
    ]
    await cast.change(f"DROP TABLE {coming[3]}")
    await cast.change("SELECT ensure_month_partitions('content_views', '2020-01-01', 1)")
    await cast.change(
        """INSERT INTO content_views (tenant_id, content_id, session_id, viewed_at, watch_duration)
           VALUES ($1, $2, gen_random_uuid(), '2020-01-15', 60)""",
        DEFAULT_TENANT,
        cast.free_film,
    )
    await Keeper(database, 0).keep()
    assert {*coming, "content_views_202001"} <= set(await partitions(cast)), "for ever, unless somebody says otherwise"
    await Keeper(database, 12).keep()
    left = await partitions(cast)
    assert set(coming) <= set(left)
    assert not {"content_views_202001", "content_views_202002"} & set(left)
    assert len(await rows(cast, "SELECT 1 FROM content_views_202001")) == 1, "set aside, not lost"
    (title,) = await rows(cast, "SELECT view_count FROM contents WHERE id = $1", cast.free_film)
    assert title["view_count"] == 1


async def test_the_sums_are_for_staff(database: Database, cast: Cast, database_urls: TestDatabase) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 40, 40)])
    for role, seen in (("anon", 0), ("authenticated", 0), ("staff", 1)):
        async with database.transaction(Viewer(DEFAULT_TENANT, cast.otto, role)) as tx:  # type: ignore[arg-type]
            assert await tx.connection.fetchval("SELECT count(*) FROM content_view_hours") == seen
            assert await tx.connection.fetchval("SELECT count(*) FROM content_view_days") == seen


async def test_a_session_that_is_not_ones_own_gains_nothing(database: Database, cast: Cast) -> None:
    """With an access token the client names the session: another person's must not grow by it."""
    veras = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(
        database,
        DEFAULT_RULES,
        [a_beat(cast, veras, 9, 59, 50, user_id=cast.otto), a_beat(cast, veras, 1, 5, 5)],
    )
    (session,) = await rows(cast, "SELECT watched_ms, seq, position_ms FROM playback_sessions WHERE id = $1", veras)
    assert tuple(session) == (5_000, 1, 5_000)
    assert await rows(cast, "SELECT 1 FROM content_views") == []
    (mine,) = await rows(cast, "SELECT position_ms FROM watch_progress WHERE user_id = $1", cast.otto)
    assert mine["position_ms"] == 59_000
