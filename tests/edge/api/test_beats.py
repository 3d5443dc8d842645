"""Heartbeats over HTTP: who may send them, what is answered, where they end up."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from edge.progress.drain import Drain
from edge.progress.partitions import stream_key
from edge.redis_client import connect
from tests.edge.api.conftest import House, refused
from tests.edge.progress.conftest import patient as patient

pytestmark = pytest.mark.usefixtures("patient")


def a_beat(content: UUID, **changes: object) -> dict[str, Any]:
    return {
        "content_id": str(content), "position_s": 12.5, "duration_s": 60, "event": "beat", "seq": 1, "watched_s": 5,
        "at": datetime.now(UTC).isoformat(), "event_id": str(uuid4()), **changes,
    }  # fmt: skip


async def backlog(house: House) -> int:
    """How many entries wait in all parts of the stream."""
    parts = range(house.edge.settings.progress_partitions)
    return sum([await house.edge.redis.xlen(stream_key(part)) for part in parts])


async def drained(house: House) -> None:
    """Runs a drain until nothing is left in the stream."""
    assert house.edge.settings.redis_url is not None
    client = connect(house.edge.settings.redis_url, blocking=True)
    worker = Drain(house.edge.database, client, partitions=house.edge.settings.progress_partitions)
    with pytest.MonkeyPatch.context() as patch:
        # It ends with its last wait for more.
        patch.setattr("edge.progress.drain.BLOCK_MS", 20)
        task = asyncio.create_task(worker.run())
        async with asyncio.timeout(120):
            while await backlog(house) or not worker.beats:
                await house.edge.redis.ping()
        worker.stop()
        await task
    await client.aclose()


@pytest.mark.rule("streaming-100")
@pytest.mark.rule("streaming-101")
async def test_a_film_goes_on_where_it_was_left_until_it_is_finished(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    grant = await house.play(house.cast.free_film, vera)
    bearer = {"Authorization": f"Bearer {grant['token']}"}
    film = house.cast.free_film
    assert (await house.client.post("/progress", json=a_beat(film), headers=bearer)).status == 204
    assert (
        await house.client.post("/progress", json=[a_beat(film, seq=2, position_s=20.5)], headers=bearer)
    ).status == 204
    await drained(house)
    assert (await house.play(film, vera))["resume_position_s"] == 20.5
    (item,) = await (await house.client.get("/me/continue-watching", headers=vera)).json()
    assert (item["content_id"], item["position_s"], item["duration_s"]) == (str(film), 20.5, 60)
    one = await (await house.client.get(f"/progress/{film}", headers=vera)).json()
    assert (one["position_s"], one["is_completed"]) == (20.5, False)

    again = await house.play(film, vera)
    ended = {"token": again["token"], "beats": [a_beat(film, event="ended", position_s=60)]}
    beacon = await house.client.post(
        "/progress", data=json.dumps(ended), headers={"Content-Type": "text/plain;charset=UTF-8"}
    )
    assert beacon.status == 204
    await drained(house)
    assert await (await house.client.get("/me/continue-watching", headers=vera)).json() == []
    fresh = await house.play(film, vera)
    assert (fresh["resume_position_s"], fresh["is_completed"]) == (0, True)


async def test_an_access_token_may_send_for_a_session_it_names(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    grant = await house.play(house.cast.free_film, vera)
    beat = a_beat(house.cast.free_film, session_id=grant["session_id"])
    assert (await house.client.post("/progress", json=beat, headers=vera)).status == 204
    body = await refused(
        await house.client.post(
            "/progress", json=[beat, a_beat(uuid4(), session_id=grant["session_id"])], headers=vera
        ),
        404,
        "PS405",
    )
    assert body["fields"][0]["path"] == "beats[1].content_id"
    del beat["session_id"]
    body = await refused(await house.client.post("/progress", json=beat, headers=vera), 422, "PS408")
    assert body["fields"][0]["path"] == "session_id"


async def test_nobody_unknown_may_send(house: House) -> None:
    beat = a_beat(house.cast.free_film)
    await refused(await house.client.post("/progress", json=beat), 401, "PS301")
    await refused(
        await house.client.post("/progress", json=beat, headers={"Authorization": "Bearer k1.x.y"}), 401, "PS401"
    )
    await refused(await house.client.post("/progress", json={"token": "k1.x.y", "beats": [beat]}), 401, "PS401")
    assert await backlog(house) == 0


async def test_one_bad_beat_refuses_all_of_them(house: House) -> None:
    grant = await house.play(house.cast.free_film)
    bearer = {"Authorization": f"Bearer {grant['token']}"}
    film = house.cast.free_film
    body = await refused(
        await house.client.post("/progress", json=[a_beat(film), a_beat(film, position_s=999)], headers=bearer),
        422,
        "PS408",
    )
    assert body["fields"][0]["path"] == "beats[1].position_s"
    await refused(await house.client.post("/progress", json=a_beat(house.cast.paid_film), headers=bearer), 403, "PS410")
    await refused(await house.client.post("/progress", data=b"x" * 70_000, headers=bearer), 413, "PS103")
    await refused(
        await house.client.post(
            "/progress", data=b"a=b", headers={**bearer, "Content-Type": "application/x-www-form-urlencoded"}
        ),
        415,
        "PS108",
    )
    assert await backlog(house) == 0


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=-1", "cursor"),
        ("limit=١", "limit"),
        ("cursor=é", "cursor"),
    ],
)
async def test_a_bad_page_of_the_list_is_refused(house: House, query: str, path: str) -> None:
    vera = await house.sign_in(house.cast.vera)
    body = await refused(await house.client.get(f"/me/continue-watching?{query}", headers=vera), 400, "PS104")
    assert body["fields"][0]["path"] == path


async def test_what_is_mine_is_asked_with_a_sign_in(house: House) -> None:
    await refused(await house.client.get("/me/continue-watching"), 401, "PS301")
    await refused(await house.client.get(f"/progress/{house.cast.free_film}"), 401, "PS301")
    vera = await house.sign_in(house.cast.vera)
    await refused(await house.client.get(f"/progress/{house.cast.free_film}", headers=vera), 404, "PS105")
