"""A failure of ours leaves a row for the operator: where, whose, and nothing secret."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from core.database import Database, DatabaseDown
from core.errors import ENCODE_FAILED, NOT_FOUND, TIMEOUT, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import service
from edge.api.access import AccessKeys
from edge.api.error_log import MOST_WAITING, ErrorLog, failure_of
from edge.app import open_edge
from edge.progress.keeper import Keeper
from edge.settings import Settings
from tests.edge.api.conftest import RING, House
from tests.waiting import until

PATIENCE_S = 60
SECRET = "very-secret-token"


async def rows(database: Database) -> list[Any]:
    async with database.transaction(service()) as tx:
        return list(await tx.connection.fetch("SELECT * FROM error_logs ORDER BY id"))


async def fails(request: web.Request) -> web.Response:
    value = SECRET
    raise RuntimeError(f"what failed was {value}")


async def refuses(request: web.Request) -> web.Response:
    raise {
        "TIMEOUT": Refusal(TIMEOUT),
        "ENCODE": Refusal(ENCODE_FAILED),
        "GONE": Refusal(NOT_FOUND),
        "DOWN": DatabaseDown("away"),
    }[request.match_info["how"]]


@pytest.fixture
async def client(edge_settings: Settings, aiohttp_client: AiohttpClient) -> Any:
    edge = await open_edge(edge_settings)
    edge.faces.append([web.get("/rest/v1/fails/{name}", fails), web.get("/rest/v1/refuses/{how}", refuses)])
    return await aiohttp_client(edge.app())


@pytest.mark.rule("edupeak-290")
async def test_a_failure_is_written_down_without_what_it_held(client: Any, database: Database) -> None:
    response = await client.get(f"/rest/v1/fails/{SECRET}?token={SECRET}", headers={"X-Request-Id": "abcdefgh1234"})
    assert response.status == 500
    assert SECRET not in await response.text()
    (row,) = await until(lambda: rows(database), PATIENCE_S, "the row")
    assert (row["error_type"], row["status_code"], row["method"]) == ("RuntimeError", 500, "GET")
    assert row["endpoint"] == "/rest/v1/fails/{name}"
    assert "in fails" in row["message"]
    assert "test_error_log.py" in row["stack"]
    assert "abcdefgh1234" in row["metadata"]
    assert SECRET not in str(dict(row))
    assert "/site-packages/" not in row["stack"]


@pytest.mark.rule("edupeak-291")
async def test_a_failure_is_linked_to_who_asked_or_to_nobody(client: Any, house: House, database: Database) -> None:
    async with database.transaction(service()) as tx:
        user_id = await tx.connection.fetchval(
            "INSERT INTO users (name, email) VALUES ('Vera', 'vera-errs@example.com') RETURNING id"
        )
    assert (await client.get("/rest/v1/fails/a", headers=await house.sign_in(user_id))).status == 500
    assert (await client.get("/rest/v1/fails/a")).status == 500
    assert (await client.get("/rest/v1/fails/a", headers={"Authorization": "Bearer nonsense"})).status == 500
    assert (await client.get("/rest/v1/fails/a", headers={"apikey": AccessKeys(RING).anon_key()})).status == 500

    async def all_four() -> list[Any] | None:
        found = await rows(database)
        return found if len(found) == 4 else None

    found = await until(all_four, PATIENCE_S, "the rows")
    assert found is not None
    assert [row["user_id"] for row in found] == [user_id, None, None, None]


async def test_only_what_we_are_to_blame_for_is_written_down(client: Any, database: Database) -> None:
    for how, status in (("GONE", 404), ("DOWN", 503), ("TIMEOUT", 504), ("ENCODE", 500)):
        assert (await client.get(f"/rest/v1/refuses/{how}")).status == status
    assert (await client.get("/nowhere/at/all")).status in (200, 404)

    async def both() -> list[Any] | None:
        found = await rows(database)
        return found if len(found) >= 2 else None

    found = await until(both, PATIENCE_S, "the rows")
    assert found is not None
    assert [row["error_type"] for row in found] == ["PS903", "PS608"]


async def test_a_storm_of_failures_is_bounded(database: Database) -> None:
    """Nobody writes them down here: what does not fit is let go."""
    errors = ErrorLog(database)
    for _ in range(MOST_WAITING):
        errors._waiting.put_nowait(failure_of(RuntimeError(), None, "/x", "GET", "r"))

    class Route:
        resource = None

    class Match:
        route = Route()

    class Request(dict[str, str]):
        match_info = Match()
        method = "GET"

    async def viewer_of(_: Any) -> Any:
        raise Refusal(NOT_FOUND)

    layer = errors.layer(viewer_of)
    with pytest.raises(RuntimeError):
        await layer(Request(), fails)
    assert errors._waiting.qsize() == MOST_WAITING


async def test_failures_are_forgotten_after_so_many_days_in_every_tenant_and_never_when_none_are_said(
    database: Database,
) -> None:
    other = uuid4()
    async with database.transaction(service()) as tx:
        await tx.connection.execute("INSERT INTO tenants (id, slug) VALUES ($1, 'next-door')", other)
    old_and_new = (
        "INSERT INTO error_logs (tenant_id, error_type, message, created_at)"
        " SELECT {}, 'E', days::text, now() - days * interval '1 day' FROM unnest(ARRAY[89, 91]) AS days"
    )
    for tenant, column in ((DEFAULT_TENANT, "app_tenant_id()"), (other, "app_tenant_id()"), (DEFAULT_TENANT, "NULL")):
        async with database.transaction(service(tenant)) as tx:
            await tx.connection.execute(old_and_new.format(column))

    async def left() -> list[str]:
        found = []
        for tenant in (DEFAULT_TENANT, other):
            async with database.transaction(service(tenant)) as tx:
                found += await tx.connection.fetch(
                    "SELECT message FROM error_logs WHERE tenant_id = app_tenant_id() OR app_tenant_id() = $1",
                    DEFAULT_TENANT,
                )
        return sorted(row["message"] for row in found)

    assert await Keeper(database, 0, errors_keep_days=0).keep()
    assert await left() == ["89"] * 3 + ["91"] * 3
    assert await Keeper(database, 0, errors_keep_days=90).keep()
    assert await left() == ["89"] * 3
