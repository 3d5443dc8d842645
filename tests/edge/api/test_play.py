"""Pressing play: who gets a token, what it opens, what ends it."""

from __future__ import annotations

import asyncio
import hashlib
from uuid import UUID

import pytest

from core.database import dedicated
from core.ids import DEFAULT_TENANT
from tests.edge.api.conftest import MASTER, SEGMENT, House, refused


async def test_a_guest_plays_what_is_free_and_every_object_under_the_token_opens(house: House) -> None:
    grant = await house.play(house.cast.free_film)
    master = await house.client.get(grant["manifest_url"])
    assert (master.status, await master.read()) == (200, MASTER)
    segment = await house.client.get(grant["manifest_url"].replace("master.m3u8", "video/720p/1.m4s"))
    assert (segment.status, await segment.read()) == (200, SEGMENT)
    assert (await house.client.get(grant["manifest_url"].replace("master", "other"))).status == 404
    assert (grant["resume_position_s"], grant["duration_s"], grant["heartbeat"]) == (
        0,
        60,
        {"url": "/progress", "interval_s": 5},
    )


@pytest.mark.rule("streaming-096")
async def test_paid_is_for_those_who_own_it(house: House) -> None:
    await refused(await house.client.post(f"/play/{house.cast.paid_film}"), 401, "PS301")
    otto, vera = await house.sign_in(house.cast.otto), await house.sign_in(house.cast.vera)
    body = await refused(await house.client.post(f"/play/{house.cast.paid_film}", headers=otto), 403, "PS403")
    assert body["reason"] == "not_entitled"
    assert (await house.client.get((await house.play(house.cast.paid_film, vera))["manifest_url"])).status == 200


@pytest.mark.parametrize(
    ("content", "status", "code"), [("x", 400, "PS107"), ("01a1fa0f-bcc7-7ba6-a307-89477a7baf19", 404, "PS405")]
)
async def test_what_is_no_title_is_refused(house: House, content: str, status: int, code: str) -> None:
    await refused(await house.client.post(f"/play/{content}"), status, code)


async def test_what_is_not_encoded_yet_says_so(house: House) -> None:
    body = await refused(await house.client.post(f"/play/{house.cast.unready_film}"), 409, "PS406")
    assert body["reason"] == "not_ready"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"device_id": ""}, "device_id"),
        ({"device_id": "x" * 65}, "device_id"),
        ({"playlist_id": 3}, "playlist_id"),
        ({"kick_oldest": "yes"}, "kick_oldest"),
    ],
)
async def test_a_bad_body_names_its_field(house: House, body: object, field: str) -> None:
    answer = await refused(await house.client.post(f"/play/{house.cast.free_film}", json=body), 422, "PS102")
    assert answer["fields"][0]["path"] == field


@pytest.mark.rule("streaming-095")
async def test_a_token_opens_its_own_title_only(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    free, paid = await house.play(house.cast.free_film, vera), await house.play(house.cast.paid_film, vera)
    foreign = paid["manifest_url"].replace(paid["token"], free["token"])
    await refused(await house.client.get(foreign), 403, "PS410")
    await refused(await house.client.get(paid["manifest_url"].replace("/hls/k1.", "/hls/k9.")), 401, "PS401")


@pytest.mark.rule("streaming-092")
@pytest.mark.rule("streaming-093")
async def test_the_database_keeps_a_digest_and_never_the_token(house: House) -> None:
    grant = await house.play(house.cast.free_film, device_type="tv")
    connection = await dedicated(house.cast.admin_url)
    try:
        (row,) = await connection.fetch("SELECT * FROM streaming_tokens")
        assert row["token_digest"] == hashlib.sha256(grant["token"].encode()).digest()
        for table in ("streaming_tokens", "playback_sessions"):
            stored = await connection.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} AS t")
            assert grant["token"] not in stored
        with pytest.raises(Exception, match="streaming_tokens__at_most_a_day"):
            await connection.execute(
                "UPDATE streaming_tokens SET expires_at = created_at + interval '24 hours 1 second'"
            )
        with pytest.raises(Exception, match="streaming_tokens__token_unique"):
            await connection.execute(
                "INSERT INTO streaming_tokens (session_id, content_id, token_digest, expires_at) "
                "SELECT session_id, content_id, token_digest, expires_at FROM streaming_tokens"
            )
    finally:
        await connection.close()


CHANGES = {
    "a refund": "DELETE FROM user_library",
    "a ban": "UPDATE users SET banned = true WHERE name = 'Vera'",
    "an unpublish": "UPDATE contents SET is_published = false",
    "an ended session": "UPDATE playback_sessions SET ended_at = now(), end_reason = 'signed out'",
}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_ends_access_stops_the_next_segment(house: House, what: str) -> None:
    grant = await house.play(house.cast.paid_film, await house.sign_in(house.cast.vera))
    assert (await house.client.get(grant["manifest_url"])).status == 200
    await house.cast.change(CHANGES[what])
    async with asyncio.timeout(60):
        while (answer := await house.client.get(grant["manifest_url"])).status == 200:
            await asyncio.sleep(0)
    body = await refused(answer, 403, "PS404")
    assert body["reason"]


async def test_more_devices_than_the_plan_allows_are_named_and_can_be_put_off(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    grants = [await house.play(house.cast.paid_film, vera, device_id=f"tv{n}", device_type="tv") for n in range(4)]
    body = await refused(
        await house.client.post(f"/play/{house.cast.paid_film}", json={"device_id": "tv4"}, headers=vera), 403, "PS407"
    )
    assert {device["device_id"] for device in body["devices"]} == {"tv0", "tv1", "tv2", "tv3"}
    await house.play(house.cast.paid_film, vera, device_id="tv0")
    await house.play(house.cast.paid_film, vera, device_id="tv4", kick_oldest=True)
    ended = 0
    async with asyncio.timeout(60):
        while not ended:
            statuses = [(await house.client.get(grant["manifest_url"])).status for grant in grants]
            ended = statuses.count(403)
    assert ended == 1


async def test_who_listens_is_known_of_an_episode_by_address_and_player_and_of_a_film_not(house: House) -> None:
    await house.cast.change(
        """WITH made AS (INSERT INTO podcasts (tenant_id, name) VALUES ($1, 'Talk') RETURNING id)
           INSERT INTO podcast_episodes (tenant_id, podcast_id, content_id, title, published_at) SELECT $1, id, $2, 'One', now() FROM made""",
        DEFAULT_TENANT,
        house.cast.free_film,
    )
    for agent in ("Pod/1.0", "Pod/1.0", "Cast/2.0"):
        await house.play(house.cast.free_film, {"User-Agent": agent})
    await house.play(house.cast.paid_film, await house.sign_in(house.cast.vera))
    connection = await dedicated(house.cast.admin_url)
    try:
        found = await connection.fetch("SELECT content_id, listener_id FROM playback_sessions ORDER BY id")
    finally:
        await connection.close()
    by_title: dict[UUID, list[str | None]] = {house.cast.free_film: [], house.cast.paid_film: []}
    for row in found:
        by_title[row["content_id"]].append(row["listener_id"])
    assert by_title[house.cast.paid_film] == [None]
    heard = by_title[house.cast.free_film]
    assert None not in heard
    assert sorted(heard.count(listener) for listener in set(heard)) == [1, 2]
