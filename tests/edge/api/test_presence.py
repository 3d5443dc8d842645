"""Who is there now, as signed-in requests leave it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from core.connections import Row
from core.database import Database, dedicated
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from edge.api.access import AccessKeys
from edge.api.presence import MOST_NOTED, WRITE_EVERY_S, Presence
from edge.progress.keeper import Keeper
from tests.edge.api.conftest import RING, House


async def online(house: House) -> list[Row]:
    await house.edge.presence.flush()
    connection = await dedicated(house.cast.admin_url)
    try:
        return await connection.fetch("SELECT * FROM online_sessions ORDER BY created_at, id")
    finally:
        await connection.close()


@pytest.mark.rule("edupeak-284")
async def test_a_request_says_that_its_session_is_there_and_a_later_one_moves_it_on(house: House) -> None:
    vera = await house.sign_in(house.cast.vera)
    assert await online(house) == []
    for _ in range(2):
        assert (await house.client.get("/rest/v1/contents", headers=vera)).status == 200
    (row,) = await online(house)
    assert row["user_id"] == house.cast.vera
    assert UUID(row["session_id"])
    # Two minutes later, as far as this process and the row know.
    await house.cast.change("UPDATE online_sessions SET last_activity_at = last_activity_at - interval '2 minutes'")
    house.edge.presence._written.clear()
    assert (await house.client.get("/rest/v1/contents", headers=vera)).status == 200
    (moved,) = await online(house)
    assert moved["id"] == row["id"]
    assert moved["last_activity_at"] > row["last_activity_at"] - timedelta(minutes=1)


async def test_guests_and_who_acts_in_anothers_name_are_not_there(house: House) -> None:
    assert (await house.client.get("/rest/v1/contents")).status == 200
    otto = await house.sign_in(house.cast.otto)
    await house.cast.change("UPDATE sessions SET impersonated_by = $1", house.cast.vera)
    await house.client.get("/rest/v1/contents", headers=otto)
    assert await online(house) == []


async def test_a_session_is_written_once_a_minute_whoever_sees_it(house: House, database: Database) -> None:
    """Two processes see it; what each remembers keeps it from asking, and the row from being written again."""
    await house.client.get("/rest/v1/contents", headers=await house.sign_in(house.cast.vera))
    (row,) = await online(house)
    now_s = 0.0
    other = Presence(database, lambda: now_s)
    session = UUID(row["session_id"])
    other.note(session)
    await other.flush()
    assert [dict(found) for found in await online(house)] == [dict(row)]
    now_s = WRITE_EVERY_S - 1
    other.note(session)
    assert other._waiting == set()
    now_s = WRITE_EVERY_S
    other.note(session)
    assert other._waiting == {session}


async def test_what_is_remembered_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.api.presence.MOST_NOTED", 3)
    assert MOST_NOTED > 3
    presence = Presence(database)
    for _ in range(3):
        for _ in range(5):
            presence.note(uuid4())
        assert len(presence._waiting) == 3
        await presence.flush()
        assert len(presence._written) == 3


@pytest.mark.rule("edupeak-282")
async def test_staff_list_who_is_online_and_a_person_sees_themselves_alone(house: House, database: Database) -> None:
    headers = {person: await house.sign_in(person) for person in (house.cast.vera, house.cast.otto)}
    for shown in headers.values():
        await house.client.get("/rest/v1/contents", headers=shown)
    rows = await online(house)
    await house.cast.change(
        "UPDATE online_sessions SET last_activity_at = now() - interval '1 hour' WHERE user_id = $1", house.cast.otto
    )
    mine = await (
        await house.client.get("/rest/v1/online_sessions?select=user_id", headers=headers[house.cast.otto])
    ).json()
    assert mine == [{"user_id": str(house.cast.otto)}]
    lately = (rows[0]["created_at"] - timedelta(minutes=30)).isoformat().replace("+", "%2B")
    await house.cast.change("UPDATE users SET role = 'admin' WHERE id = $1", house.cast.vera)
    async with database.transaction(Viewer(DEFAULT_TENANT, house.cast.vera, "staff")) as tx:
        seen = await tx.connection.fetch("SELECT user_id FROM online_sessions")
    assert {row["user_id"] for row in seen} == {house.cast.vera, house.cast.otto}
    key = {"Authorization": f"Bearer {AccessKeys(RING).service_key()}"}
    answer = await house.client.get(
        f"/rest/v1/online_sessions?select=user_id&last_activity_at=gte.{lately}&order=last_activity_at.desc",
        headers=key,
    )
    assert await answer.json() == [{"user_id": str(house.cast.vera)}]


async def test_who_is_long_gone_is_swept(house: House, database: Database) -> None:
    await house.client.get("/rest/v1/contents", headers=await house.sign_in(house.cast.vera))
    await online(house)
    await house.cast.change("UPDATE online_sessions SET last_activity_at = now() - interval '25 hours'")
    assert await Keeper(database, 0).keep()
    async with database.transaction(service()) as tx:
        assert await tx.connection.fetchval("SELECT count(*) FROM online_sessions") == 0
