"""What counts as a listen of a podcast's episode: a minute by one listener in one day, once, whoever writes it and however often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.database import Database
from core.ids import DEFAULT_TENANT, uuid7
from edge.progress.fold import DEFAULT_RULES
from tests.edge.progress.test_drain import a_beat, rows, write_beats
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


class Show:
    """A podcast with one episode, whose sound is the cast's free title, made an hour long."""

    def __init__(self, cast: Cast, database: Database) -> None:
        self.cast = cast
        self.database = database
        self.episode = uuid7()

    async def made(self, seconds: int = 3600) -> Show:
        podcast, day = uuid7(), timedelta(days=1)
        await self.cast.change("SELECT ensure_partitions('listener_events', $1, $2)", NOON - day, NOON + day)
        await self.cast.change(
            "INSERT INTO podcasts (id, tenant_id, name) VALUES ($1, $2, 'Talk')", podcast, DEFAULT_TENANT
        )
        await self.cast.change(
            "INSERT INTO podcast_episodes (id, tenant_id, podcast_id, content_id, title, published_at) VALUES ($1, $2, $3, $4, 'One', now())",
            self.episode,
            DEFAULT_TENANT,
            podcast,
            self.cast.free_film,
        )
        await self.cast.change(
            "UPDATE generations SET duration_ms = $2 WHERE content_id = $1", self.cast.free_film, seconds * 1000
        )
        return self

    async def session(self, listener: str | None, at: datetime = NOON) -> UUID:
        session = uuid7()
        await self.cast.change(
            """INSERT INTO playback_sessions (id, tenant_id, content_id, device_id, device_type, created_at, expires_at, listener_id)
               VALUES ($1, $2, $3, 'phone', 'mobile', $4::timestamptz, $4::timestamptz + interval '20 hours', $5)""",
            session,
            DEFAULT_TENANT,
            self.cast.free_film,
            at,
            listener,
        )
        return session

    async def heard(self, session: UUID, seq: int, seconds: float, **changes: object) -> None:
        facts = {"user_id": None, "duration_ms": 3_600_000, **changes}
        beat = a_beat(self.cast, session, seq, seconds, seconds, **facts)
        await write_beats(self.database, DEFAULT_RULES, [beat])

    async def listens(self) -> list[tuple[str, datetime]]:
        found = await rows(
            self.cast,
            "SELECT * FROM listener_events WHERE episode_id = $1 AND event_type = 'listen' ORDER BY occurred_at, listener_id",
            self.episode,
        )
        return [(row["listener_id"], row["occurred_at"]) for row in found]


@pytest.fixture
async def show(cast: Cast, database: Database) -> Show:
    return await Show(cast, database).made()


async def test_a_minute_is_a_listen_and_less_is_none(show: Show) -> None:
    session = await show.session("ann")
    await show.heard(session, 1, 59.9)
    assert await show.listens() == []
    await show.heard(session, 2, 0.1)
    assert await show.listens() == [("ann", NOON)]


async def test_more_of_it_the_same_day_is_the_same_listen(show: Show) -> None:
    session = await show.session("ann")
    for seq in range(1, 5):
        await show.heard(session, seq, 61)
    await show.heard(await show.session("ann", NOON + timedelta(hours=2)), 1, 300)
    assert await show.listens() == [("ann", NOON)]


async def test_a_minute_in_pieces_of_one_day_is_a_listen_when_it_began(show: Show) -> None:
    for n in range(3):
        assert await show.listens() == []
        await show.heard(await show.session("ann", NOON + timedelta(hours=n)), 1, 20)
    assert await show.listens() == [("ann", NOON)]


async def test_another_day_is_another_listen_and_pieces_of_two_days_are_none(show: Show) -> None:
    midnight = NOON - timedelta(hours=12)
    await show.heard(await show.session("ann", midnight - timedelta(seconds=1)), 1, 40)
    await show.heard(await show.session("ann", midnight), 1, 40)
    assert await show.listens() == []
    await show.heard(await show.session("ann", NOON + timedelta(days=1)), 1, 60)
    await show.heard(await show.session("ann", NOON), 1, 20)
    assert await show.listens() == [("ann", midnight), ("ann", NOON + timedelta(days=1))]


async def test_each_listener_counts_and_the_sums_follow(show: Show) -> None:
    for listener in ("ann", "ben", "cid"):
        await show.heard(await show.session(listener), 1, 75)
    assert [who for who, _ in await show.listens()] == ["ann", "ben", "cid"]
    (day,) = await rows(show.cast, "SELECT * FROM listener_events_daily WHERE episode_id = $1", show.episode)
    assert (day["event_type"], day["event_count"], day["unique_listeners"]) == ("listen", 3, 3)
    (event, *_) = await rows(show.cast, "SELECT event_data FROM listener_events WHERE episode_id = $1", show.episode)
    assert event["event_data"] == '{"device_type": "mobile"}'


async def test_a_crawler_and_who_cannot_be_told_apart_count_nothing(show: Show) -> None:
    await show.heard(await show.session("crawler"), 1, 600, is_bot=True)
    await show.heard(await show.session(None), 1, 600)
    assert await show.listens() == []


async def test_a_beat_sent_twice_counts_its_seconds_once(show: Show) -> None:
    session, event_id = await show.session("ann"), uuid4()
    for _ in range(2):
        await show.heard(session, 1, 30, event_id=event_id)
    assert await show.listens() == []


async def test_nearly_all_of_what_is_shorter_than_a_minute_is_a_listen(cast: Cast, database: Database) -> None:
    show = await Show(cast, database).made(seconds=20)
    session = await show.session("ann")
    await show.heard(session, 1, 18.9, duration_ms=20_000)
    assert await show.listens() == []
    await show.heard(session, 2, 0.1, duration_ms=20_000)
    assert await show.listens() == [("ann", NOON)]


async def test_drains_that_race_write_one_listen(show: Show) -> None:
    """Sessions of one listener may be in different parts of the stream, and so in different drains."""
    sessions = [await show.session("ann", NOON + timedelta(minutes=n)) for n in range(6)]
    await asyncio.gather(*(show.heard(session, 1, 70) for session in sessions))
    assert await show.listens() == [("ann", NOON)]


async def test_a_film_is_no_podcast(cast: Cast, database: Database, show: Show) -> None:
    await cast.change("DELETE FROM podcast_episodes")
    await show.heard(await show.session("ann"), 1, 600)
    assert await rows(cast, "SELECT 1 FROM listener_events") == []
