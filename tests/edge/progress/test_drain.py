"""From the stream to the tables, once, however often it is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from asyncpg import PostgresError

from core.database import Database, DatabaseDown, Row, dedicated
from core.errors import TIMEOUT, Refusal
from core.ids import DEFAULT_TENANT, uuid7
from edge.local.valkey import EmbeddedValkey
from edge.progress import drain as drain_module
from edge.progress import write as write_module
from edge.progress.beat import Beat
from edge.progress.drain import Appetite, Drain, Held
from edge.progress.fold import DEFAULT_RULES, Batch, Rules
from edge.progress.ledger import Ledger
from edge.progress.partitions import dead_key, stream_key
from edge.progress.stored import StoredBeat
from edge.progress.stream import GROUP, DrainStream, Entry, IntakeStream
from edge.redis_client import Breaker, Redis, connect
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

STREAM, DEAD = stream_key(0), dead_key(0)


async def write_beats(database: Database, rules: Rules, beats: Iterable[Beat] | Iterable[StoredBeat]) -> int:
    """Writes as the drain does: again, when the machine stood still for so long that PostgreSQL was taken for away."""
    return await write_batch(database, Ledger(), Batch.of(beats, rules))


async def write_batch(database: Database, ledger: Ledger, batch: Batch[Any]) -> int:
    """The same of beats that are folded."""

    async def written() -> int | None:
        try:
            return 1 + await write_module.write_batch(database, ledger, batch)
        except DatabaseDown:
            return None

    return await until(written, 120, "PostgreSQL") - 1


async def a_session(cast: Cast, user: UUID | None, content: UUID) -> UUID:
    session = uuid7()
    await cast.change("SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false)")
    await cast.change(
        """INSERT INTO playback_sessions (id, tenant_id, user_id, content_id, device_id, expires_at)
           VALUES ($1, '00000000-0000-7000-8000-000000000001', $2, $3, 'tv', now() + interval '1 day')""",
        session,
        user,
        content,
    )
    return session


def a_beat(cast: Cast, session: UUID, seq: int, position_s: float, watched_s: float = 5, **changes: object) -> Beat:
    facts: dict[str, object] = {
        "event_id": uuid4(), "session_id": session, "tenant_id": DEFAULT_TENANT, "user_id": cast.vera, "content_id": cast.free_film,
        "playlist_id": None, "position_ms": int(position_s * 1000), "duration_ms": 60_000, "watched_ms": int(watched_s * 1000),
        "event": "beat", "seq": seq, "at_ms": (session.int >> 80) + seq * 1000, "device_type": "web",
        "session_at_ms": session.int >> 80, "is_bot": False,
    }  # fmt: skip
    return Beat(**{**facts, **changes})  # type: ignore[arg-type]


async def rows(cast: Cast, sql: str, *args: object) -> list[Row]:
    connection = await dedicated(cast.admin_url)
    try:
        return await connection.fetch(sql, *args)
    finally:
        await connection.close()


async def point(cast: Cast) -> Row:
    (row,) = await rows(cast, "SELECT * FROM watch_progress WHERE user_id = $1", cast.vera)
    return row


@pytest.mark.rule("streaming-097")
@pytest.mark.rule("streaming-098")
async def test_saving_again_moves_the_one_point(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 5.25)])
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 2, 10.5), a_beat(cast, session, 3, 15.9)])
    row = await point(cast)
    assert (row["position_ms"], row["last_position"], row["duration"], row["watched_ms"]) == (15_900, 15, 60, 15_000)
    assert not row["is_completed"]


async def test_each_beat_five_times_in_any_order_counts_once(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    sent = [a_beat(cast, session, n, n * 2, 2) for n in range(1, 21)]
    many = sent * 5
    random.Random(7).shuffle(many)
    for at in range(0, len(many), 13):
        await write_beats(database, DEFAULT_RULES, many[at : at + 13])
    row = await point(cast)
    assert (row["watched_ms"], row["position_ms"]) == (40_000, 40_000)
    (stored,) = await rows(cast, "SELECT watched_ms FROM playback_sessions WHERE id = $1", session)
    assert stored["watched_ms"] == 40_000


async def test_an_older_session_arriving_late_changes_only_the_time_watched(database: Database, cast: Cast) -> None:
    old, new = await a_session(cast, cast.vera, cast.free_film), await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, new, 1, 12)])
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, old, 50, 55)])
    row = await point(cast)
    assert (row["position_ms"], row["watched_ms"], row["session_id"]) == (12_000, 10_000, new)


async def test_seen_to_the_end_stays_seen_when_watched_again(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 60, event="ended")])
    again = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, again, 1, 3)])
    row = await point(cast)
    assert (row["is_completed"], row["position_ms"]) == (True, 3_000)
    assert row["completed_at"] is not None


@pytest.mark.rule("streaming-103")
@pytest.mark.rule("streaming-104")
@pytest.mark.rule("streaming-105")
async def test_a_view_counts_once_per_session_from_time_watched_guests_too(database: Database, cast: Cast) -> None:
    guest = await a_session(cast, None, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, guest, 1, 59, 29, user_id=None)])
    assert await rows(cast, "SELECT 1 FROM content_views") == []
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, guest, 2, 59, 2, user_id=None)])
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, guest, 3, 59, 9, user_id=None, event="pause")])
    for _ in range(2):
        session = await a_session(cast, cast.vera, cast.free_film)
        await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 40, 31)])
    views = await rows(cast, "SELECT user_id, watch_duration FROM content_views ORDER BY viewed_at")
    assert [(view["user_id"], view["watch_duration"]) for view in views] == [
        (None, 40),
        (cast.vera, 31),
        (cast.vera, 31),
    ]
    (content,) = await rows(cast, "SELECT view_count FROM contents WHERE id = $1", cast.free_film)
    assert content["view_count"] == 3


@pytest.mark.rule("streaming-054")
@pytest.mark.rule("streaming-055")
async def test_a_series_has_one_resume_point_that_moves(database: Database, cast: Cast) -> None:
    series = uuid4()
    await cast.change("INSERT INTO playlists (id, tenant_id, title) VALUES ($1, $2, 'Series')", series, DEFAULT_TENANT)
    for order, content in enumerate((cast.free_film, cast.paid_film), 1):
        await cast.change(
            "INSERT INTO playlist_episodes (playlist_id, content_id, episode_order) VALUES ($1, $2, $3)",
            series,
            content,
            order,
        )
    for content in (cast.free_film, cast.paid_film, cast.free_film, cast.paid_film):
        session = await a_session(cast, cast.vera, content)
        await write_beats(
            database, DEFAULT_RULES, [a_beat(cast, session, 1, 5, content_id=content, playlist_id=series)]
        )
    latest = await rows(cast, "SELECT content_id FROM playlist_progress WHERE is_latest_watched")
    assert [row["content_id"] for row in latest] == [cast.paid_film]
    assert len(await rows(cast, "SELECT 1 FROM playlist_progress")) == 2


async def test_beats_for_what_is_gone_are_passed_over(database: Database, cast: Cast) -> None:
    unknown = uuid7()
    session = await a_session(cast, cast.vera, cast.free_film)
    strays = [
        a_beat(cast, session, 1, 5, content_id=uuid4()), a_beat(cast, session, 2, 5, user_id=uuid4()),
        a_beat(cast, unknown, 3, 5, playlist_id=uuid4()),
    ]  # fmt: skip
    assert await write_beats(database, DEFAULT_RULES, [*strays, a_beat(cast, session, 4, 8)]) == 4
    assert (await point(cast))["position_ms"] == 8_000


@pytest.mark.rule("streaming-102")
async def test_a_deleted_title_leaves_its_progress_archived(database: Database, cast: Cast) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 1, 8)])
    await cast.change("DELETE FROM contents WHERE id = $1", cast.free_film)
    row = await point(cast)
    assert (row["content_id"], row["archived_at"] is not None) == (None, True)


@pytest.fixture
async def blocking(valkey: EmbeddedValkey, redis: Redis):  # type: ignore[no-untyped-def]
    """A client that may wait in XREADGROUP."""
    client = connect(valkey.url, blocking=True)
    yield client
    await client.aclose()


async def drained(database: Database, blocking: Redis, redis: Redis) -> Drain:
    """Runs a drain until the stream is empty."""
    worker = Drain(database, blocking)
    task = asyncio.create_task(worker.run())
    async with asyncio.timeout(120):
        while not await redis.exists(STREAM) or await redis.xlen(STREAM):
            await redis.ping()
    worker.stop()
    await task
    return worker


async def test_what_is_in_the_stream_reaches_the_tables_and_leaves_the_stream(
    database: Database, cast: Cast, redis: Redis, blocking: Redis
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    intake = IntakeStream(redis, Breaker())
    for n in range(1, 6):
        await intake.add([a_beat(cast, session, n, n * 2, 2)])
    worker = await drained(database, blocking, redis)
    assert worker.beats == 5
    assert (await point(cast))["position_ms"] == 10_000
    assert await redis.xpending(STREAM, GROUP) == {"pending": 0, "min": None, "max": None, "consumers": []}


async def test_an_entry_whose_reader_died_is_taken_over(
    database: Database, cast: Cast, redis: Redis, blocking: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "CLAIM_IDLE_MS", 0)
    session = await a_session(cast, cast.vera, cast.free_film)
    dead = DrainStream(blocking, 0, "dead")
    await dead.open()
    await IntakeStream(redis, Breaker()).add([a_beat(cast, session, 1, 7)])
    assert len(await dead.read(10, 100)) == 1
    await drained(database, blocking, redis)
    assert (await point(cast))["position_ms"] == 7_000


async def test_what_cannot_be_read_is_set_aside_with_the_reason_and_holds_up_nothing(
    database: Database, cast: Cast, redis: Redis, blocking: Redis
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    intake = IntakeStream(redis, Breaker())
    no_id = a_beat(cast, session, 2, 9)
    packed = msgspec.msgpack.encode([no_id]).replace(
        str(no_id.content_id).encode(), b"'; DROP TABLE users; -- and some chars"
    )
    for poison in (b"\xff not msgpack", b"", b"\x91\x01", packed):
        await redis.xadd(STREAM, {b"b": poison})
    await intake.add([a_beat(cast, session, 1, 9)])
    worker = await drained(database, blocking, redis)
    assert (worker.buried, (await point(cast))["position_ms"]) == (4, 9_000)
    dead = await redis.xrange(DEAD)
    assert len(dead) == 4
    assert all(fields[b"reason"].startswith(b"unreadable") for _, fields in dead)


async def test_a_batch_that_takes_too_long_is_cut_smaller_until_it_fits(
    database: Database, cast: Cast, redis: Redis, blocking: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def slow(database: Database, ledger: Ledger, batch: Batch[StoredBeat]) -> int:
        sizes.append(len(batch.beats))
        if len(batch.beats) > 2:
            raise Refusal(TIMEOUT)
        return await write_batch(database, ledger, batch)

    monkeypatch.setattr(drain_module, "write_batch", slow)
    monkeypatch.setattr(drain_module, "MOST_BEATS", 8)
    monkeypatch.setattr(drain_module, "BACK_OFF_S", 0)
    session = await a_session(cast, cast.vera, cast.free_film)
    intake = IntakeStream(redis, Breaker())
    for n in range(1, 9):
        await intake.add([a_beat(cast, session, n, n)])
    worker = await drained(database, blocking, redis)
    assert (worker.beats, worker.buried) == (8, 0)
    assert sizes[:2] == [8, 2]


async def test_another_persons_session_gives_nothing_away(database: Database, cast: Cast) -> None:
    """Who names a session that is not theirs moves their own point by what they say themselves."""
    session = await a_session(cast, cast.vera, cast.free_film)
    await write_beats(database, DEFAULT_RULES, [a_beat(cast, session, 9, 50, 40)])
    await write_beats(
        database,
        DEFAULT_RULES,
        [a_beat(cast, session, 10, 55, 5), a_beat(cast, session, 1, 2, 1, user_id=cast.otto)],
    )
    found = await rows(cast, "SELECT position_ms, settled_ms FROM watch_progress WHERE user_id = $1", cast.otto)
    assert [tuple(row) for row in found] == [(2_000, None)]


@pytest.mark.parametrize(
    ("held", "bitten"), [([9], 1), ([3, 3], 2), ([3, 3, 3], 2), ([1] * 9, 8), ([20, 1], 1)], ids=str
)
def test_a_transaction_takes_whole_entries_and_at_least_one(
    held: list[int], bitten: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "MOST_BEATS", 8)
    entries = [Held(Entry(b"1-1", b""), [None] * size) for size in held]  # type: ignore[list-item]  # only counted
    assert Appetite().bite(entries) == bitten


def test_appetite_goes_by_what_was_in_entries_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "MOST_BEATS", 10_000)
    appetite = Appetite()
    assert appetite.entries == drain_module.MOST_ENTRIES
    appetite.saw([Held(Entry(b"1-1", b""), [None] * 250)])  # type: ignore[list-item]
    assert appetite.entries == 40
    appetite.timed_out()
    assert (appetite.beats, appetite.entries) == (2_500, drain_module.FEWEST_ENTRIES)
    for _ in range(3):
        appetite.went_well()
    assert appetite.beats == 10_000


@pytest.mark.rule("streaming-099")
@pytest.mark.parametrize(("position", "is_refused"), [(0, False), (59, False), (60, False), (61, True), (2**40, True)])
async def test_a_position_is_refused_exactly_when_it_is_behind_the_end(
    cast: Cast, position: int, is_refused: bool
) -> None:
    connection = await dedicated(cast.admin_url)
    new = "INSERT INTO watch_progress (tenant_id, user_id, content_id, last_position, duration) VALUES ($1, $2, $3, $4, 60)"
    moved = "UPDATE watch_progress SET last_position = $1 WHERE user_id = $2"
    try:
        await connection.execute(new, DEFAULT_TENANT, cast.otto, cast.free_film, 0)
        for sql, *args in (
            (new, DEFAULT_TENANT, cast.vera, cast.free_film, position),
            (moved, position, cast.otto),
        ):
            said = None
            try:
                await connection.execute(sql, *args)
            except PostgresError as error:
                said = getattr(error, "constraint_name", None)
            assert said == ("watch_progress__within_duration" if is_refused else None)
    finally:
        await connection.close()
