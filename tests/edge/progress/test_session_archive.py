"""The archive of old sessions: all of each is moved, once, by any number of keepers, whatever stops one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import pytest

from core.database import Connection, Database, Row, Tx, dedicated
from core.domain.identity import rotate_refresh_token
from core.errors import BAD_REFRESH_TOKEN, Refusal
from core.ids import DEFAULT_TENANT, uuid7
from core.viewer import Viewer, service
from edge.progress import keeper as keeping
from edge.progress.keeper import Keeper
from edge.progress.write import SQL
from tests.conftest import TestDatabase
from tests.edge.tokens.conftest import Cast, cast
from tests.waiting import until

__all__ = ["cast"]

MANY = 60
KEEP_DAYS = 90


@pytest.fixture
async def admin(database_urls: TestDatabase) -> AsyncIterator[Connection[Row]]:
    """Sees and changes everything."""
    connection = await dedicated(database_urls.admin_url)
    yield connection
    await connection.close()


async def a_session(admin: Connection[Row], user: UUID, *, days: float, token: str = "", **more: object) -> UUID:
    """A session that ran out so many days ago, with a refresh token; `revoked_days` says when it was ended, before that."""
    session, revoked = uuid7(), more.get("revoked_days")
    await admin.execute(
        """INSERT INTO sessions (id, user_id, token_digest, expires_at, ip_address, user_agent, impersonated_by, revoked_at, created_at)
           VALUES ($1, $2, $3, now() - make_interval(secs => $4), '192.0.2.7', 'Firefox', $5, now() - make_interval(secs => $6),
                   now() - interval '400 days')""",
        session, user, session.bytes * 2, days * 86_400, more.get("visitor"),
        None if revoked is None else float(str(revoked)) * 86_400,
    )  # fmt: skip
    await admin.execute(
        "INSERT INTO refresh_tokens (session_id, user_id, token_digest, expires_at) VALUES ($1, $2, $3, now() + interval '1 day')",
        session,
        user,
        sha256((token or str(session)).encode()).digest(),
    )
    return session


async def ids(admin: Connection[Row], table: str) -> list[UUID]:
    """Which sessions a table holds."""
    return [row["id"] for row in await admin.fetch(f"SELECT id FROM {table} ORDER BY id")]


async def move(tx: Tx, most: int) -> int:
    """One batch, as the keeper moves it."""
    done: int = await tx.value(SQL["sessions_archive"], KEEP_DAYS, most)
    return done


@pytest.mark.rule("edupeak-320")
async def test_what_ended_long_ago_is_moved_with_all_that_was_known_of_it(
    database: Database, cast: Cast, admin: Connection[Row]
) -> None:
    old = [
        await a_session(admin, cast.vera, days=91, visitor=cast.otto),
        await a_session(admin, cast.otto, days=-20, revoked_days=91),
    ]
    left = [
        await a_session(admin, cast.vera, days=89),
        await a_session(admin, cast.vera, days=-20, revoked_days=89),
        await a_session(admin, cast.otto, days=-20),
    ]
    before = {row["id"]: dict(row) for row in await admin.fetch("SELECT * FROM sessions")}
    await Keeper(database, 0, sessions_keep_days=0).keep()
    assert await ids(admin, "archived_sessions") == [], "0 days: never"
    await Keeper(database, 0, sessions_keep_days=KEEP_DAYS).keep()
    assert await ids(admin, "sessions") == sorted(left)
    archived = [dict(row) for row in await admin.fetch("SELECT * FROM archived_sessions ORDER BY id")]
    now = datetime.now(UTC)
    assert all(now - timedelta(hours=1) < row.pop("archived_at") < now + timedelta(hours=1) for row in archived)
    assert archived == [before[session] for session in sorted(old)]
    assert {row["session_id"] for row in await admin.fetch("SELECT session_id FROM refresh_tokens")} == set(left)


async def test_the_archive_has_every_column_of_a_session(admin: Connection[Row]) -> None:
    """One that is added to a session and forgotten here would be lost."""
    kinds = {}
    for table in ("sessions", "archived_sessions"):
        kinds[table] = await admin.fetch(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0",
            table,
        )
    assert {tuple(row) for row in kinds["archived_sessions"]} - {tuple(row) for row in kinds["sessions"]} == {
        ("archived_at", "timestamp with time zone")
    }
    assert len(kinds["archived_sessions"]) == len(kinds["sessions"]) + 1
    moved = await admin.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'archive_sessions'")
    columns = ", ".join(row["attname"] for row in kinds["sessions"])
    assert f"({columns})" in moved
    assert f"SELECT {columns} FROM gone" in moved


async def test_an_archived_session_opens_nothing(database: Database, cast: Cast, admin: Connection[Row]) -> None:
    await a_session(admin, cast.vera, days=91, token="kept by a client")
    await Keeper(database, 0, sessions_keep_days=KEEP_DAYS).keep()
    async with database.transaction(service()) as tx:
        said = await rotate_refresh_token(tx, "kept by a client", datetime.now(UTC))
    assert isinstance(said, Refusal)
    assert said.code is BAD_REFRESH_TOKEN


@pytest.mark.rule("edupeak-320")
async def test_two_at_once_take_different_ones_and_what_one_drops_the_other_takes(
    database: Database, cast: Cast, admin: Connection[Row]
) -> None:
    """One keeper is killed with its batch in hand, while another one works beside it."""
    every = sorted([await a_session(admin, cast.vera, days=100 + n) for n in range(10)])

    class Killed(Exception):  # noqa: N818 - states the fact
        """Stands for a process that is gone in the middle of a transaction."""

    with pytest.raises(Killed):
        async with database.transaction(service()) as one:
            assert await move(one, 4) == 4
            async with database.transaction(service()) as other:
                assert await move(other, 4) == 4, "it does not wait, and takes what is next"
            async with database.transaction(service()) as other:
                assert await move(other, 4) == 2, "what is in the first one's hands is left"
            raise Killed
    moved = await ids(admin, "archived_sessions")
    assert len(moved) == 6
    assert sorted([*moved, *await ids(admin, "sessions")]) == every, "nothing lost, nothing twice"
    async with database.transaction(service()) as other:
        assert await move(other, 100) == 4
    assert await ids(admin, "archived_sessions") == every
    assert await ids(admin, "sessions") == []


@pytest.mark.rule("edupeak-320")
async def test_several_drains_together_move_each_session_once(
    database: Database, cast: Cast, admin: Connection[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = sorted([await a_session(admin, (cast.vera, cast.otto)[n % 2], days=100 + n) for n in range(MANY)])
    monkeypatch.setattr(keeping, "ARCHIVE_ROWS", 3)
    before = {row["id"]: dict(row) for row in await admin.fetch("SELECT * FROM sessions")}
    keepers = [Keeper(database, 0, sessions_keep_days=KEEP_DAYS) for _ in range(4)]
    # Past keep()'s lock, which spares work and is not what keeps this right: it ends with the first transaction of a round.
    await asyncio.gather(*(keeper._archive_sessions() for keeper in keepers))
    # One that met only others' rows has stopped; the round after takes what they left.
    await keepers[0]._archive_sessions()
    assert await ids(admin, "sessions") == []
    archived = [dict(row) for row in await admin.fetch("SELECT * FROM archived_sessions ORDER BY id")]
    for row in archived:
        del row["archived_at"]
    assert archived == [before[session] for session in every]


async def test_whoever_is_being_deleted_is_not_waited_for(
    database: Database, cast: Cast, admin: Connection[Row], database_urls: TestDatabase
) -> None:
    """Deleting a person holds their row and then wants their sessions: in the other order the two would wait in a circle."""
    veras = await a_session(admin, cast.vera, days=100)
    visit = await a_session(admin, cast.otto, days=101, visitor=cast.vera)
    ottos = await a_session(admin, cast.otto, days=102)
    other = await dedicated(database_urls.admin_url)
    try:
        deleting = other.transaction()
        await deleting.start()
        await other.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", cast.vera)
        async with database.transaction(service()) as tx:
            assert await move(tx, 10) == 1
        assert await ids(admin, "archived_sessions") == [ottos]
        assert await ids(admin, "sessions") == sorted([veras, visit])
        await other.execute("DELETE FROM users WHERE id = $1", cast.vera)
        await deleting.commit()
    finally:
        await other.close()
    async with database.transaction(service()) as tx:
        assert await move(tx, 10) == 1
    assert await ids(admin, "archived_sessions") == sorted([ottos, visit])


async def test_who_is_deleted_meanwhile_leaves_nothing_in_the_archive(
    database: Database, cast: Cast, admin: Connection[Row], database_urls: TestDatabase
) -> None:
    await a_session(admin, cast.vera, days=100)
    other = await dedicated(database_urls.admin_url)
    try:
        async with database.transaction(service()) as tx:
            assert await move(tx, 10) == 1
            deleting = asyncio.create_task(other.execute("DELETE FROM users WHERE id = $1", cast.vera))
            await until(
                lambda: admin.fetchval(
                    "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", other.get_server_pid()
                ),
                60,
                "the deletion waits for the batch",
            )
        await deleting
    finally:
        await other.close()
    assert await ids(admin, "sessions") == []
    assert await ids(admin, "archived_sessions") == []


async def test_people_see_their_own_and_nobody_changes_one(
    database: Database, cast: Cast, admin: Connection[Row]
) -> None:
    await a_session(admin, cast.vera, days=100)
    await Keeper(database, 0, sessions_keep_days=KEEP_DAYS).keep()
    for user, role, count in (
        (cast.vera, "authenticated", 1),
        (cast.otto, "authenticated", 0),
        (cast.otto, "staff", 0),
        (None, "anon", 0),
    ):
        async with database.transaction(Viewer(DEFAULT_TENANT, user, role)) as tx:  # type: ignore[arg-type]  # one of the roles
            assert await tx.connection.fetchval("SELECT count(*) FROM archived_sessions") == count
            assert await tx.connection.execute("DELETE FROM archived_sessions") == "DELETE 0"
    with pytest.raises(Refusal, match="only ever added to"):
        async with database.transaction(service()) as tx:
            await tx.connection.execute("UPDATE archived_sessions SET user_agent = 'another'")
