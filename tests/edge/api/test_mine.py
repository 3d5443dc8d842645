"""Where a person stands is known within a second of the beat, drained or not: on every device, in every list."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.ids import DEFAULT_TENANT
from edge.redis_client import RedisDown
from tests.edge.api.conftest import House, refused
from tests.edge.api.test_beats import a_beat, backlog, drained
from tests.edge.progress.conftest import patient as patient

pytestmark = pytest.mark.usefixtures("patient")


async def send(house: House, grant: dict[str, Any], *beats: dict[str, Any]) -> None:
    bearer = {"Authorization": f"Bearer {grant['token']}"}
    answer = await house.client.post("/progress", json=list(beats), headers=bearer)
    assert answer.status == 204, await answer.text()


async def get(house: House, path: str, headers: dict[str, str]) -> Any:
    answer = await house.client.get(path, headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def a_series(house: House, *episodes: UUID) -> UUID:
    series = uuid4()
    await house.cast.change(
        "INSERT INTO playlists (id, tenant_id, title, is_series) VALUES ($1, $2, 'Series', true)",
        series,
        DEFAULT_TENANT,
    )
    for order, content in enumerate(episodes, 1):
        await house.cast.change(
            """INSERT INTO playlist_episodes (playlist_id, content_id, episode_order, season_number, episode_number)
               VALUES ($1, $2, $3, 1, $3)""",
            series,
            content,
            order,
        )
    return series


async def test_a_position_is_known_everywhere_before_any_drain(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)
    await send(house, grant, a_beat(film, seq=1, position_s=10), a_beat(film, seq=2, position_s=20.5))
    assert await backlog(house) == 1
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 20.5
    assert (await house.play(film, vera))["resume_position_s"] == 20.5
    (item,) = await get(house, "/me/continue-watching", vera)
    assert (item["content_id"], item["position_s"], item["duration_s"], item["is_next"]) == (str(film), 20.5, 60, False)
    (item,) = await get(house, "/me/history", vera)
    assert (item["content_id"], item["position_s"], item["is_completed"]) == (str(film), 20.5, False)
    otto = await house.sign_in(house.cast.otto)
    assert await get(house, "/me/continue-watching", otto) == []


async def test_an_older_beat_that_comes_late_moves_nothing_back(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)
    await send(house, grant, a_beat(film, seq=7, position_s=30))
    await send(house, grant, a_beat(film, seq=6, position_s=25))
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 30
    await drained(house)
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 30
    await send(house, grant, a_beat(film, seq=5, position_s=20))
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 30, "the row is newer than what is on its way"


async def test_what_has_been_drained_is_forgotten_in_redis(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)
    await send(house, grant, a_beat(film, seq=1, position_s=10))
    assert len([key async for key in house.edge.redis.scan_iter("*newest*")]) == 1
    await drained(house)
    assert [key async for key in house.edge.redis.scan_iter("*newest*")] == []
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 10


async def test_a_film_finished_a_moment_ago_leaves_the_list_before_any_drain(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)
    await send(house, grant, a_beat(film, seq=1, position_s=30))
    await drained(house)
    assert len(await get(house, "/me/continue-watching", vera)) == 1
    await send(house, grant, a_beat(film, seq=2, position_s=60, event="ended"))
    assert await get(house, "/me/continue-watching", vera) == []
    said = await get(house, f"/progress/{film}", vera)
    assert (said["is_completed"], said["position_s"]) == (True, 60)
    again = await house.play(film, vera)
    assert (again["resume_position_s"], again["is_completed"]) == (0, True)


async def test_what_has_nothing_to_play_is_not_gone_on_with(house: House) -> None:
    """Watched elsewhere, or its film was taken out: the place is kept in the history, and no card stands there to press."""
    vera = await house.sign_in(house.cast.vera)
    await house.cast.change(
        """INSERT INTO watch_progress (tenant_id, user_id, content_id, duration, last_position, position_ms, beat_at)
           VALUES ($1, $2, $3, 60, 20, 20000, now())""",
        DEFAULT_TENANT,
        house.cast.vera,
        house.cast.unready_film,
    )
    assert await get(house, "/me/continue-watching", vera) == []
    (item,) = await get(house, "/me/history", vera)
    assert (item["content_id"], item["position_s"]) == (str(house.cast.unready_film), 20)


async def test_a_film_opened_by_mistake_keeps_its_place(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    await send(house, await house.play(film, vera), a_beat(film, seq=1, position_s=45, watched_s=40))
    await drained(house)
    mistake = await house.play(film, vera)
    await send(house, mistake, a_beat(film, seq=1, position_s=2, watched_s=2))
    for drains in (drained, None):
        assert (await get(house, f"/progress/{film}", vera))["position_s"] == 45
        assert (await house.play(film, vera))["resume_position_s"] == 45
        if drains is not None:
            await drains(house)
    await send(house, mistake, a_beat(film, seq=2, position_s=12, watched_s=10))
    await drained(house)
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 12, "ten seconds are meant"


async def test_going_on_from_the_resume_point_counts_at_once(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    await send(house, await house.play(film, vera), a_beat(film, seq=1, position_s=40, watched_s=40))
    await drained(house)
    await send(house, await house.play(film, vera), a_beat(film, seq=1, position_s=43, watched_s=3))
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 43
    await drained(house)
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 43


@pytest.mark.rule("streaming-100")
async def test_the_list_names_what_follows_and_offers_it_when_an_episode_is_finished(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    first, second = house.cast.free_film, house.cast.paid_film
    series = await a_series(house, first, second)
    grant = await house.play(first, vera)
    await send(house, grant, a_beat(first, seq=1, position_s=30))
    await drained(house)
    (item,) = await get(house, "/me/continue-watching", vera)
    assert (item["content_id"], item["is_next"]) == (str(first), False)
    following = item["next_episode"]
    assert (following["content_id"], following["playlist_id"], following["episode_number"]) == (
        str(second),
        str(series),
        2,
    )
    await send(house, grant, a_beat(first, seq=2, position_s=60, event="ended"))
    await drained(house)
    (item,) = await get(house, "/me/continue-watching", vera)
    assert (item["content_id"], item["is_next"], item["position_s"]) == (str(second), True, 0)
    assert (item["playlist_id"], item["next_episode"]) == (str(series), None)
    await send(house, await house.play(second, vera), a_beat(second, seq=1, position_s=7))
    (item,) = await get(house, "/me/continue-watching", vera)
    assert (item["content_id"], item["is_next"], item["position_s"]) == (str(second), False, 7)


async def test_history_comes_in_pages_that_neither_repeat_nor_leave_out(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    titles = []
    for number in range(7):
        content = uuid4()
        titles.append(str(content))
        await house.cast.change(
            """INSERT INTO contents (id, tenant_id, title, content_type, is_free, is_published, published_at)
               VALUES ($1, $2, $3, 'MOVIE', true, true, now())""",
            content,
            DEFAULT_TENANT,
            f"Film {number}",
        )
        await house.cast.change(
            """INSERT INTO watch_progress (tenant_id, user_id, content_id, last_position, duration, position_ms, beat_at)
               VALUES ($1, $2, $3, 5, 60, 5000, now() - make_interval(hours => $4))""",
            DEFAULT_TENANT,
            house.cast.vera,
            content,
            # Two share a moment: the title decides between them.
            number // 2 + 1,
        )
    film = house.cast.free_film
    await send(house, await house.play(film, vera), a_beat(film, seq=1, position_s=9))
    seen: list[str] = []
    path: str | None = "/me/history?limit=3"
    pages = 0
    while path is not None:
        answer = await house.client.get(path, headers=vera)
        seen += [item["content_id"] for item in await answer.json()]
        link = answer.headers.get("Link")
        path = link[link.index("<") + 1 : link.index(">")] if link else None
        pages += 1
    assert pages == 3
    assert seen[0] == str(film), "what is on its way comes first"
    assert sorted(seen[1:]) == sorted(titles)
    assert len(seen) == len(set(seen)) == 8


async def test_a_cursor_of_ones_own_making_is_refused(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    for cursor in ("", "x", "AAAA", "_" * 32, "A" * 400, "%00"):
        body = await refused(await house.client.get(f"/me/history?cursor={cursor}", headers=vera), 400, "PS104")
        assert body["fields"][0]["path"] == "cursor"


async def test_without_redis_the_rows_answer(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)

    async def away(*args: object, **kwargs: object) -> None:
        raise ConnectionError

    def gone(*args: object) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.set_exception(RedisDown())
        return answer

    house.edge.intake._stream._pipelined.run = gone  # type: ignore[method-assign]
    house.edge.redis.hget = away  # type: ignore[method-assign]
    house.edge.redis.hgetall = away  # type: ignore[method-assign]
    await send(house, grant, a_beat(film, seq=1, position_s=11))
    assert (await get(house, f"/progress/{film}", vera))["position_s"] == 11
    assert len(await get(house, "/me/continue-watching", vera)) == 1


async def test_a_beat_is_seen_by_whoever_asks_while_it_is_being_drained(house: House) -> None:
    """Redis is read before PostgreSQL, so a beat that moves from one to the other in between is seen."""
    vera = await house.sign_in(house.cast.vera)
    film = house.cast.free_film
    grant = await house.play(film, vera)
    for seq in range(1, 12):
        await send(house, grant, a_beat(film, seq=seq, position_s=seq, at=datetime.now(UTC).isoformat()))
        draining = asyncio.create_task(drained(house))
        while not draining.done():
            assert (await get(house, f"/progress/{film}", vera))["position_s"] == seq
        await draining
