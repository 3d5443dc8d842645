"""What a tenant may grow to is kept to the byte and to the row, however many come at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.database import Database
from core.domain import media
from core.errors import Refusal
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.core.test_media import ask, finish, one, submit, taken, task_of


async def set_quota(database: Database, most: int) -> None:
    await ask(database, "INSERT INTO tenant_quotas (max_bytes) VALUES ($1) RETURNING tenant_id", most)


@given(st.integers(0, 2**50), st.integers(0, 2**50), st.integers(1, 2**50))
def test_a_quota_is_kept_to_the_byte(most: int, held: int, more: int) -> None:
    refusal = media.decide_quota(most, held, more)
    assert (refusal is None) == (held + more <= most)
    if refusal is not None:
        assert refusal.code is errors.STORAGE_QUOTA
        assert refusal.data["room_bytes"] == max(0, most - held)


async def test_files_and_what_was_encoded_from_them_count_and_deleted_files_do_not(database: Database) -> None:
    await set_quota(database, 7000)
    made = await submit(database)  # 1,000 bytes
    assert await finish(
        database, await taken(database, await task_of(database, made.job_id))
    )  # 5,000, and a poster of 99
    async with database.transaction(service()) as tx:
        await media.check_quota(tx, 901)
        with pytest.raises(Refusal) as refused:
            await media.check_quota(tx, 902)
    assert refused.value.code is errors.STORAGE_QUOTA
    assert dict(refused.value.data) == {"max_bytes": 7000, "held_bytes": 6099, "room_bytes": 901}
    await ask(
        database, "UPDATE files SET is_deleted = true, deleted_at = now() WHERE id = $1 RETURNING id", made.file_id
    )
    async with database.transaction(service()) as tx:
        await media.check_quota(tx, 1901)


async def test_of_two_that_come_at_once_only_one_gets_the_last_room(database: Database) -> None:
    await set_quota(database, 1500)

    async def hand_in() -> str:
        while True:
            try:
                await submit(database)
            except Refusal as refusal:
                # A machine that stands still for seconds costs whoever waits for the lock its turn.
                if refusal.code is not errors.TIMEOUT:
                    return refusal.code.code
            else:
                return "taken"

    assert sorted(await asyncio.gather(*(hand_in() for _ in range(5)))) == ["PS920"] * 4 + ["taken"]
    assert (await one(database, "SELECT count(*) AS n FROM transcode_jobs"))["n"] == 1


async def test_a_title_that_was_taken_is_finished_whatever_it_takes(database: Database) -> None:
    await set_quota(database, 1000)
    made = await submit(database)
    assert await finish(database, await taken(database, await task_of(database, made.job_id)))
    async with database.transaction(service()) as tx:
        with pytest.raises(Refusal, match="holds 6099 of at most 1000"):
            await media.check_quota(tx, 1)


ADD = Statement("add", "none", "a test", "INSERT INTO podcasts (name) VALUES ('A podcast')")
PATIENT = Statement("patient", "none", "a test", "SET LOCAL idle_in_transaction_session_timeout = 0")
WAITING = Statement(
    "waiting",
    "value",
    "a test",
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))",
)


@pytest.mark.rule("podcast-018")
async def test_of_two_rows_at_once_the_one_beyond_the_quota_is_refused(database: Database) -> None:
    """The second waits for the first, and then sees it."""
    await ask(database, "INSERT INTO tenant_quotas (max_podcasts) VALUES (1) RETURNING tenant_id")

    async def second() -> str:
        while True:
            try:
                async with database.transaction(service()) as tx:
                    await tx.run(ADD)
            except Refusal as refusal:
                if refusal.code is not errors.TIMEOUT:
                    return refusal.code.code
            else:
                return "taken"

    async with database.transaction(service()) as tx:
        await tx.run(PATIENT)
        await tx.run(ADD)
        other = asyncio.create_task(second())

        async def it_waits() -> bool:
            assert not other.done()
            return await tx.value(WAITING) == 1

        await waiting.until(it_waits, 60)
    assert await other == errors.QUOTA_REACHED.code
    assert (await one(database, "SELECT count(*) AS n FROM podcasts"))["n"] == 1
