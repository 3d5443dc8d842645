"""Who may watch what: the SQL function's every branch, and what the cache in front of it never does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.database import Database, DatabaseDown
from core.domain import playback
from core.ids import DEFAULT_TENANT
from core.viewer import service
from edge.redis_client import Breaker, Redis
from edge.tokens.entitlements import Entitlement, Entitlements, Subject
from tests.edge.tokens.conftest import Cast

YES = Entitlement(True, "library")
NO = Entitlement(False, "not_entitled")


async def verdict(database: Database, user: UUID | None, content: UUID, at: datetime | None = None) -> tuple[bool, str]:
    row = await playback.entitlement(database, service(), user, content, at or datetime.now(UTC))
    return row["allowed"], row["reason"]


@pytest.mark.rule("streaming-096")
async def test_free_is_for_all_and_paid_for_those_who_own_it(database: Database, cast: Cast) -> None:
    assert await verdict(database, None, cast.free_film) == (True, "free")
    assert await verdict(database, cast.otto, cast.free_film) == (True, "free")
    assert await verdict(database, cast.vera, cast.paid_film) == (True, "library")
    assert await verdict(database, cast.otto, cast.paid_film) == (False, "not_entitled")
    assert await verdict(database, None, cast.paid_film) == (False, "sign_in_needed")


async def test_what_does_not_exist_or_is_not_encoded_cannot_be_played(database: Database, cast: Cast) -> None:
    assert await verdict(database, cast.vera, uuid4()) == (False, "not_found")
    assert await verdict(database, uuid4(), cast.free_film) == (False, "unknown_user")
    assert await verdict(database, cast.vera, cast.unready_film) == (False, "not_ready")


@pytest.mark.rule("streaming-091")
async def test_a_rental_ends(database: Database, cast: Cast) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    await cast.change("UPDATE user_library SET expires_at = $1", end)
    assert await verdict(database, cast.vera, cast.paid_film) == (True, "library")
    assert await verdict(database, cast.vera, cast.paid_film, end + timedelta(seconds=1)) == (False, "not_entitled")


@pytest.mark.rule("streaming-014")
@pytest.mark.rule("streaming-015")
async def test_a_ban_blocks_until_it_ends(database: Database, cast: Cast) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    await cast.change("UPDATE users SET banned = true, ban_expires = $1 WHERE id = $2", end, cast.vera)
    assert await verdict(database, cast.vera, cast.free_film) == (False, "banned")
    assert await verdict(database, cast.vera, cast.paid_film, end + timedelta(seconds=1)) == (True, "library")


async def test_unpublished_is_for_staff_only(database: Database, cast: Cast) -> None:
    await cast.change("UPDATE contents SET is_published = false WHERE id = $1", cast.paid_film)
    assert await verdict(database, cast.vera, cast.paid_film) == (False, "not_published")
    await cast.change("UPDATE users SET role = 'admin' WHERE id = $1", cast.otto)
    assert await verdict(database, cast.otto, cast.paid_film) == (True, "staff")


async def test_another_tenant_sees_no_title(database: Database, cast: Cast) -> None:
    row = await playback.entitlement(database, service(uuid4()), None, cast.free_film, datetime.now(UTC))
    assert row["reason"] == "not_found"


class Answers:
    """Counts the questions put to PostgreSQL, and can hold back its answer."""

    def __init__(self, answer: Entitlement = YES) -> None:
        self.answer = answer
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, subject: Subject) -> Entitlement:
        self.asked += 1
        answer = self.answer
        await self.gate.wait()
        return answer


def a_subject() -> Subject:
    return Subject(DEFAULT_TENANT, uuid4(), uuid4())


async def test_one_question_serves_everybody_who_waits(redis: Redis) -> None:
    answers, subject = Answers(), a_subject()
    cached = Entitlements(answers, redis, Breaker())
    assert await asyncio.gather(*(cached.of(subject) for _ in range(50))) == [YES] * 50
    assert await cached.of(subject) == YES
    assert answers.asked == 1


async def test_the_first_waiter_leaving_does_not_fail_the_others(redis: Redis) -> None:
    answers, subject = Answers(), a_subject()
    answers.gate.clear()
    cached = Entitlements(answers, redis, Breaker())
    first, second = asyncio.create_task(cached.of(subject)), asyncio.create_task(cached.of(subject))
    while not answers.asked:
        await asyncio.sleep(0)
    first.cancel()
    answers.gate.set()
    assert await second == YES


async def test_a_change_during_a_fill_leaves_no_stale_yes(redis: Redis) -> None:
    answers, subject = Answers(), a_subject()
    answers.gate.clear()
    cached = Entitlements(answers, redis, Breaker())
    asking = asyncio.create_task(cached.of(subject))
    while not answers.asked:
        await asyncio.sleep(0)
    answers.answer = NO
    await cached.forget(subject.user_id, subject.content_id)
    answers.gate.set()
    assert await asking == YES  # what it was told before the change
    assert await cached.of(subject) == NO
    assert answers.asked == 2


@pytest.mark.parametrize("scope", ["both", "user", "content", "all"])
async def test_forgetting_reaches_what_it_names(redis: Redis, scope: str) -> None:
    answers, subject, other = Answers(), a_subject(), a_subject()
    cached = Entitlements(answers, redis, Breaker())
    await cached.of(subject)
    await cached.of(other)
    await cached.forget(
        subject.user_id if scope in ("both", "user") else None,
        subject.content_id if scope in ("both", "content") else None,
    )
    answers.answer = NO
    assert await cached.of(subject) == NO
    assert await cached.of(other) == (NO if scope == "all" else YES)


async def test_a_failed_question_is_asked_again(redis: Redis) -> None:
    calls = 0

    async def ask(subject: Subject) -> Entitlement:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise DatabaseDown("away")
        return YES

    cached, subject = Entitlements(ask, redis, Breaker()), a_subject()
    with pytest.raises(DatabaseDown):
        await cached.of(subject)
    assert await cached.of(subject) == YES
