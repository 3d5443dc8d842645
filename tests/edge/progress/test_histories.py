"""Random histories of watching against a plain model: whatever comes late, twice or in pieces, the outcome is the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from core.database import Connection, Database, Row, dedicated
from core.ids import DEFAULT_TENANT, uuid7
from edge.progress.beat import Beat
from edge.progress.fold import DEFAULT_RULES, Rules
from tests.conftest import Servers
from tests.edge.progress.test_drain import write_beats
from tests.patience import be_patient

DURATION_MS = 120_000
START_MS = 1_790_000_000_000


@dataclass(frozen=True)
class Said:
    """One beat of a history, in milliseconds."""

    position: int
    watched: int
    event: str


@dataclass(frozen=True)
class Seen:
    """One session of a history: which of the two titles, and what its player said."""

    title: int
    said: tuple[Said, ...]
    is_bot: bool = False


@dataclass(frozen=True)
class Outcome:
    """What must be found in the tables for one title."""

    resume: int
    watched: int
    completed: bool


said = st.builds(
    Said,
    # Around the places where the rules change their mind, and anywhere.
    st.one_of(
        st.integers(0, DURATION_MS), st.sampled_from([0, 9_999, 107_999, 108_000, 113_999, 114_000, DURATION_MS])
    ),
    st.one_of(st.integers(0, 7_000), st.sampled_from([0, 5_000, 10_000, 29_999, 30_000])),
    st.sampled_from(["start", "beat", "beat", "beat", "pause", "seek", "ended"]),
)
history = st.lists(
    st.builds(Seen, st.integers(0, 1), st.lists(said, min_size=1, max_size=6).map(tuple), st.booleans()),
    min_size=1,
    max_size=5,
)


def plain(seen: list[Seen], title: int) -> Outcome | None:
    """The rules as a person would tell them (docs/http-api.md), over a whole history in its true order."""
    mine = [one for one in seen if one.title == title]
    if not mine:
        return None
    newest = mine[-1].said[-1].position
    meant = [one for one in mine if sum(beat.watched for beat in one.said) >= 10_000]
    resume = newest
    if meant and meant[-1] is not mine[-1]:
        place = meant[-1].said[-1].position
        goes_on_from_there = abs(newest - place) <= 30_000
        at_an_end = max(newest, place) >= DURATION_MS * 0.9
        if not goes_on_from_there and not at_an_end:
            resume = place
    done = any(beat.event == "ended" or beat.position >= DURATION_MS * 0.95 for one in mine for beat in one.said)
    return Outcome(resume, sum(beat.watched for one in mine for beat in one.said), done)


def plain_views(seen: list[Seen]) -> int:
    """How many sessions were views: half a minute, and not a crawler's."""
    return sum(sum(beat.watched for beat in one.said) >= 30_000 and not one.is_bot for one in seen)


class Stage:
    """One database for all histories; each has people and titles of its own."""

    def __init__(self, runner: asyncio.Runner, database: Database, admin: Connection[Row]) -> None:
        self.runner = runner
        self.database = database
        self.admin = admin

    async def play(self, seen: list[Seen], seed: int, rules: Rules) -> list[str]:
        """Plays a history in pieces, shuffled, with repeats; what is wrong in the end."""
        shuffled = random.Random(seed)
        user, titles, series = uuid7(), (uuid7(), uuid7()), uuid4()
        await self._people(user, titles, series)
        beats: list[Beat] = []
        for number, one in enumerate(seen):
            # An hour apart; the id carries the start.
            session = UUID(int=(START_MS + number * 3_600_000 << 80) | 7 << 76 | 2 << 62 | uuid4().int % 2**61)
            await self.admin.execute(
                """INSERT INTO playback_sessions (id, user_id, content_id, device_id, created_at, expires_at)
                   VALUES ($1, $2, $3, 'tv', to_timestamp($4 / 1000.0), to_timestamp($4 / 1000.0) + interval '1 day')""",
                session,
                user,
                titles[one.title],
                session.int >> 80,
            )
            beats += [
                self._beat(session, user, titles[one.title], seq, beat, one.is_bot) for seq, beat in enumerate(one.said)
            ]
        sent = [beat for beat in beats for _ in range(shuffled.randint(1, 3))]
        shuffled.shuffle(sent)
        while sent:
            count = shuffled.randint(1, 12)
            await write_beats(self.database, rules, sent[:count])
            del sent[:count]
        return await self._wrong(seen, user, titles, series)

    def _beat(self, session: UUID, user: UUID, title: UUID, seq: int, beat: Said, is_bot: bool) -> Beat:
        start_ms = session.int >> 80
        return Beat(
            event_id=uuid4(), session_id=session, tenant_id=DEFAULT_TENANT, user_id=user, content_id=title, playlist_id=None,
            position_ms=beat.position, duration_ms=DURATION_MS, watched_ms=beat.watched, event=beat.event,  # type: ignore[arg-type]
            seq=seq, at_ms=start_ms + seq * 5000, device_type=None, session_at_ms=start_ms, is_bot=is_bot,
        )  # fmt: skip

    async def _people(self, user: UUID, titles: tuple[UUID, UUID], series: UUID) -> None:
        await self.admin.execute(
            "INSERT INTO users (id, name, email) VALUES ($1, 'A', $2)", user, f"{user.hex}@example.com"
        )
        await self.admin.execute("INSERT INTO playlists (id, title, is_series) VALUES ($1, 'S', true)", series)
        for order, title in enumerate(titles, 1):
            await self.admin.execute(
                "INSERT INTO contents (id, title, content_type, is_free) VALUES ($1, 'T', 'EPISODE', true)", title
            )
            await self.admin.execute(
                "INSERT INTO playlist_episodes (playlist_id, content_id, episode_order) VALUES ($1, $2, $3)",
                series,
                title,
                order,
            )

    async def _wrong(self, seen: list[Seen], user: UUID, titles: tuple[UUID, UUID], series: UUID) -> list[str]:
        found: dict[UUID, Outcome] = {
            row["content_id"]: Outcome(row["position_ms"], row["watched_ms"], row["is_completed"])
            for row in await self.admin.fetch("SELECT * FROM watch_progress WHERE user_id = $1", user)
        }
        wrong = [
            f"title {number}: {found.get(title)} and not {plain(seen, number)}"
            for number, title in enumerate(titles)
            if found.get(title) != plain(seen, number)
        ]
        latest = await self.admin.fetch(
            "SELECT content_id FROM playlist_progress WHERE playlist_id = $1 AND is_latest_watched", series
        )
        if [row["content_id"] for row in latest] != [titles[seen[-1].title]]:
            wrong.append("the series' mark is not on the title watched last")
        sums = await self.admin.fetchrow(
            """SELECT (SELECT count(*) FROM content_views WHERE content_id = ANY ($1)) AS rows,
                      (SELECT sum(view_count) FROM contents WHERE id = ANY ($1)) AS counted,
                      (SELECT coalesce(sum(views), 0) FROM content_view_hours WHERE content_id = ANY ($1)) AS hours,
                      (SELECT coalesce(sum(views), 0) FROM content_view_days WHERE content_id = ANY ($1)) AS days,
                      (SELECT coalesce(sum(watch_duration), 0) FROM content_views WHERE content_id = ANY ($1)) AS watched_s,
                      (SELECT coalesce(sum(watched_s), 0) FROM content_view_days WHERE content_id = ANY ($1)) AS added_s""",
            list(titles),
        )
        assert sums is not None
        views = plain_views(seen)
        if {sums[key] for key in ("rows", "counted", "hours", "days")} != {views}:
            wrong.append(f"{dict(sums)} and not {views} views")
        if sums["watched_s"] != sums["added_s"]:
            wrong.append(f"{sums['watched_s']} s of views, {sums['added_s']} s in the sums")
        return wrong


@pytest.fixture(scope="module")
def stage(servers: Servers) -> Iterator[Stage]:
    """A clone of the template for this module."""
    name = f"t_{uuid4().hex[:16]}"
    with asyncio.Runner() as runner:

        async def opened() -> tuple[Connection[Row], Connection[Row], Database]:
            outside = await dedicated(servers.admin_url)
            await outside.execute(f"CREATE DATABASE {name} TEMPLATE penstock OWNER penstock_owner STRATEGY file_copy")
            admin = await dedicated(servers.database(servers.admin_url, name))
            await admin.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
            await admin.execute("SELECT ensure_month_partitions('content_views', '2026-09-01', 3)")
            database = await Database.connect(servers.database(servers.app_url, name), name="test", max_size=2)
            return outside, admin, database

        with pytest.MonkeyPatch.context() as patch:
            be_patient(patch)
            outside, admin, database = runner.run(opened())
            yield Stage(runner, database, admin)

        async def close() -> None:
            await database.close()
            await admin.close()
            await outside.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await outside.close()

        runner.run(close())


def check(stage: Stage, seen: list[Seen], seed: int, rules: Rules = DEFAULT_RULES) -> None:
    wrong = stage.runner.run(stage.play(seen, seed, rules))
    assert not wrong, wrong


QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@settings(max_examples=100, deadline=None, suppress_health_check=QUIET, derandomize=True, database=None)
@given(seen=history, seed=st.integers(0, 2**32))
def test_a_history_ends_where_the_plain_model_says(stage: Stage, seen: list[Seen], seed: int) -> None:
    check(stage, seen, seed)


@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(max_examples=10_000, deadline=None, suppress_health_check=QUIET, database=None, phases=[Phase.generate])
@given(seen=history, seed=st.integers(0, 2**32))
def test_ten_thousand_histories_end_where_the_plain_model_says(stage: Stage, seen: list[Seen], seed: int) -> None:
    check(stage, seen, seed)


def test_the_comparison_can_fail(stage: Stage) -> None:
    """The negative control: with another idea of what is too short, the model must disagree."""
    seen = [Seen(0, (Said(60_000, 30_000, "beat"),)), Seen(0, (Said(2_000, 2_000, "beat"),))]
    check(stage, seen, 1)
    with pytest.raises(AssertionError, match="title 0"):
        check(stage, seen, 1, replace(DEFAULT_RULES, short_play_ms=1_000))
