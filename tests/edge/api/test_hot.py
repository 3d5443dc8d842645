"""Answers kept for guests: one reading for all, gone with the announcement of a change, never for anybody else."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, cast

import orjson
import pytest

from core.database import dedicated
from core.engine.read import Prepared
from core.engine.respond import Answer
from core.viewer import service
from edge.api.hot import KEEP_S, MAX_ANSWER_BYTES, HotReads
from tests.conftest import TestDatabase
from tests.edge.api.conftest import House
from tests.waiting import until


class Source:
    """Counts its readings; each waits until it may go on."""

    def __init__(self) -> None:
        self.readings = 0
        self.open = asyncio.Event()
        self.open.set()
        self.answer = Answer(200, {"ETag": 'W/"x"'}, b"[]")

    async def read(self) -> Answer:
        self.readings += 1
        number = self.readings
        await self.open.wait()
        return Answer(self.answer.status, self.answer.headers, self.answer.body + b"%d" % number)


def question() -> Prepared:
    return cast("Prepared", object())


async def test_what_was_read_is_given_again_until_it_is_old() -> None:
    now = 100.0
    source, asked = Source(), question()
    hot = HotReads(clock=lambda: now)
    first = await hot.get(asked, source.read)
    assert (await hot.get(asked, source.read)) is first
    assert (source.readings, hot.hits) == (1, 1)
    await hot.get(question(), source.read)
    assert source.readings == 2
    now += KEEP_S
    assert (await hot.get(asked, source.read)).answer.body == b"[]3"


async def test_many_at_once_cause_one_reading_and_one_who_leaves_takes_nothing_along() -> None:
    source, asked, hot = Source(), question(), HotReads()
    source.open.clear()
    waiting = [asyncio.create_task(hot.get(asked, source.read)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    source.open.set()
    kept = await asyncio.gather(*waiting[1:])
    assert source.readings == 1
    assert {one.answer.body for one in kept} == {b"[]1"}


async def test_a_change_during_the_reading_makes_its_result_nobodys_but_theirs_who_waited() -> None:
    source, asked, hot = Source(), question(), HotReads()
    source.open.clear()
    before = asyncio.create_task(hot.get(asked, source.read))
    await asyncio.sleep(0)
    hot.forget_all()
    after = asyncio.create_task(hot.get(asked, source.read))
    await asyncio.sleep(0)
    source.open.set()
    assert ((await before).answer.body, (await after).answer.body) == (b"[]1", b"[]2")
    assert (await hot.get(asked, source.read)).answer.body == b"[]2"


async def test_a_failure_is_told_and_not_kept() -> None:
    source, asked, hot = Source(), question(), HotReads()

    async def fail() -> Answer:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        await hot.get(asked, fail)
    assert (await hot.get(asked, source.read)).answer.status == 200


async def test_refusals_and_long_answers_are_not_kept_and_the_least_used_goes_first() -> None:
    source, hot = Source(), HotReads(budget_bytes=3 * 2100)
    for answer in (Answer(416, {}, b""), Answer(200, {}, b"x" * MAX_ANSWER_BYTES)):
        source.answer, asked = answer, question()
        readings = source.readings
        await hot.get(asked, source.read)
        await hot.get(asked, source.read)
        assert source.readings == readings + 2
    source.answer = Answer(200, {}, b"")
    first, second, third, fourth = (question() for _ in range(4))
    for asked in (first, second, third, first, fourth):
        await hot.get(asked, source.read)
    readings = source.readings
    await hot.get(first, source.read)
    assert source.readings == readings
    await hot.get(second, source.read)
    assert source.readings == readings + 1


async def titles(house: House, headers: dict[str, str] | None = None) -> list[str]:
    response = await house.client.get("/rest/v1/contents?select=title&order=title", headers=headers or {})
    rows: list[dict[str, Any]] = await response.json()
    return [row["title"] for row in rows]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE contents SET title = title || '!'",
        "INSERT INTO genres (title) VALUES ('Any change of any announced table')",
        "DELETE FROM content_genres",
    ],
)
async def test_an_announced_change_is_seen_at_once(house: House, database_urls: TestDatabase, change: str) -> None:
    hot = house.edge.hot
    hot._clock = lambda: 0.0  # so that nothing grows old: only an announcement makes it read again
    await titles(house)
    # The listener may connect after that, and forget: ask until it is kept.
    await until(lambda: _is_kept(house), 60)
    admin = await dedicated(database_urls.admin_url)
    await admin.execute(
        "SELECT set_config('app.tenant_id', '00000000-0000-7000-8000-000000000001', false), set_config('app.role', 'service_role', false)"
    )
    await admin.execute(change)
    fresh = sorted(
        row["title"] for row in await admin.fetch("SELECT title FROM contents WHERE is_published AND is_available")
    )
    await admin.close()

    async def is_forgotten() -> bool:
        hits = hot.hits
        return sorted(await titles(house)) == fresh and hot.hits == hits

    await until(is_forgotten, 60)


async def _is_kept(house: House) -> bool:
    hits = house.edge.hot.hits
    await titles(house)
    return house.edge.hot.hits > hits


async def test_only_guests_are_answered_from_memory(house: House) -> None:
    await until(lambda: _is_kept(house), 60)
    hits = house.edge.hot.hits
    await titles(house, await house.sign_in(house.cast.vera))
    assert house.edge.hot.hits == hits
    # Not announced, so never kept.
    for _ in range(2):
        assert (await house.client.get("/rest/v1/user_library")).status == 200
    assert house.edge.hot.hits == hits


async def test_an_answer_travels_small_and_is_not_sent_twice(house: House) -> None:
    async with house.edge.database.transaction(service()) as tx:
        await tx.connection.execute("INSERT INTO genres (title) SELECT 'Genre ' || n FROM generate_series(1, 100) AS n")
    path = "/rest/v1/genres?select=id,title&order=title"
    house.client.session._auto_decompress = False
    plain = await house.client.get(path, headers={"Accept-Encoding": "identity"})
    body = await plain.read()
    small = await house.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await small.read()) == body
    assert len(orjson.loads(body)) == 100
    assert small.headers["ETag"] == plain.headers["ETag"]
    assert "Accept-Encoding" in small.headers["Vary"]
    again = await house.client.get(path, headers={"If-None-Match": small.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
