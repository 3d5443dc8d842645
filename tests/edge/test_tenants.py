"""Which workspace a request is for, and what a person is there: decided at the gate, for every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from core.database import Database
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.engine.schema import SchemaSource
from core.ids import DEFAULT_TENANT
from core.redis_client import Redis
from core.viewer import service
from edge.api.access import DatabaseSessions, Gate
from edge.api.auth import routes
from edge.api.rest import REST, RestFace
from edge.api.rest import routes as rest_routes
from edge.api.rpc import RpcFace
from edge.api.tenants import HEADER, Tenants
from tests.edge.test_auth import EMAIL, Door, boundary

BRANCH = UUID("00000000-0000-7000-8000-00000000b001")


class House(Door):
    """The door, with the whole API behind it and a second workspace beside the first."""

    async def open(self) -> None:
        self.seconds = 0.0
        self.gate = Gate(
            self.keys,
            DatabaseSessions(self.database),
            tenants=Tenants(self.database, monotonic=lambda: self.seconds),
            clock=self.clock,
        )
        app = web.Application(middlewares=[boundary])
        app.add_routes(
            routes(
                database=self.database, gate=self.gate, access_keys=self.keys, passwords=self.passwords,
                throttle=self.throttle, clock=self.clock,
            )
        )  # fmt: skip
        face = app[REST] = RestFace(self.database, SchemaSource(self.database, CONTEXTS), self.gate.viewer)
        app.add_routes(RpcFace(Commands(self.database, CONTEXTS), self.gate.viewer).routes())
        app.add_routes(rest_routes(face))
        self.client = TestClient(TestServer(app))
        await self.client.start_server()
        await self.run("INSERT INTO tenants (id, name, slug) VALUES ($1, 'Branch', 'branch')", BRANCH)
        for tenant_id, title in ((DEFAULT_TENANT, "Here"), (BRANCH, "There")):
            await self.within(
                tenant_id,
                "INSERT INTO contents (title, content_type, is_published, published_at) VALUES ($1, 'MOVIE', true, now())",
                title,
            )

    async def within(self, tenant_id: UUID, sql: str, *args: object) -> list[dict[str, Any]]:
        async with self.database.transaction(service(tenant_id)) as tx:
            return [dict(row) for row in await tx.connection.fetch(sql, *args)]

    async def ask(
        self, path: str, token: str | None, tenant: str | None, method: str = "GET", body: object = None
    ) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if tenant is not None:
            headers[HEADER] = tenant
        async with self.client.request(method, "/rest/v1" + path, headers=headers, json=body) as answer:
            raw = await answer.read()
            return answer.status, orjson.loads(raw) if raw else None

    async def titles(self, token: str | None, tenant: str | None) -> list[str]:
        status, rows = await self.ask("/contents?select=title", token, tenant)
        assert status == 200, rows
        return [row["title"] for row in rows]

    async def member(self, session: dict[str, Any], role: str, tenant_id: UUID = BRANCH) -> None:
        await self.within(
            tenant_id,
            "INSERT INTO memberships (user_id, role) VALUES ($1, $2::text::tenant_role)",
            UUID(session["user"]["id"]),
            role,
        )
        self.gate.note_change({"t": "memberships", "u": session["user"]["id"]})


@pytest.fixture
async def house(database: Database, redis: Redis) -> AsyncIterator[House]:
    """The house being served."""
    served = House(database, redis)
    await served.open()
    yield served
    await served.close()


@pytest.mark.rule("podcast-012")
async def test_nobody_reads_or_changes_another_workspaces_rows(house: House) -> None:
    """Mara is an administrator here, and nobody there."""
    mara = await house.sign_up()
    await house.member(mara, "Admin", DEFAULT_TENANT)
    token = mara["access_token"]
    (there,) = await house.within(BRANCH, "SELECT id FROM contents")
    path = f"/contents?id=eq.{there['id']}"
    assert await house.ask(path, token, None) == (200, [])
    assert (await house.ask(path, token, None, "PATCH", {"title": "Mine"}))[0] in (200, 204)
    assert (await house.ask("/rpc/publish_content", token, None, "POST", {"content_id": str(there["id"])}))[0] == 404
    for method, body in (("GET", None), ("PATCH", {"title": "Mine"}), ("DELETE", None)):
        status, said = await house.ask(path, token, "branch", method, body)
        assert (status, said["code"]) == (403, "PS570")
    assert await house.within(BRANCH, "SELECT title FROM contents") == [{"title": "There"}]


async def test_a_request_names_its_workspace_by_slug_or_id(house: House) -> None:
    assert await house.titles(None, None) == ["Here"]
    for named in ("branch", "BRANCH", str(BRANCH)):
        assert await house.titles(None, named) == ["There"]
    assert await house.titles(None, "default") == ["Here"]
    assert await house.titles(house.keys.anon_key(), "branch") == ["There"]
    assert await house.titles(house.keys.service_key(), "branch") == ["There"]
    for named in ("nowhere", "", "x" * 64, "branch;drop", "\u00e4"):
        status, said = await house.ask("/contents", None, named)
        assert (status, said["code"]) == (404, "PS571"), named


async def test_two_names_are_none(house: House) -> None:
    headers = [(HEADER, "default"), (HEADER, "branch")]
    async with house.client.get("/rest/v1/contents", headers=headers) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(("role", "may"), [("Member", 403), ("Admin", 201), ("SuperAdmin", 201)])
async def test_a_membership_decides_what_a_person_is_there_and_there_alone(house: House, role: str, may: int) -> None:
    mara = await house.sign_up()
    await house.member(mara, role)
    token = mara["access_token"]
    assert await house.titles(token, "branch") == ["There"]
    new = {"title": "New", "content_type": "MOVIE"}
    assert (await house.ask("/contents", token, "branch", "POST", new))[0] == may
    assert (await house.ask("/contents", token, None, "POST", new))[0] == 403


async def test_a_membership_of_the_default_workspace_counts_like_any_other(house: House) -> None:
    mara = await house.sign_up()
    new = {"title": "New", "content_type": "MOVIE"}
    assert (await house.ask("/contents", mara["access_token"], None, "POST", new))[0] == 403
    await house.member(mara, "Admin", DEFAULT_TENANT)
    assert (await house.ask("/contents", mara["access_token"], None, "POST", new))[0] == 201


async def test_administrators_of_the_installation_are_staff_everywhere(house: House) -> None:
    mara = await house.sign_up()
    await house.run("UPDATE users SET role = 'admin' WHERE email = $1", EMAIL)
    house.gate.forget_all()
    new = {"title": "New", "content_type": "MOVIE"}
    for named in (None, "branch"):
        assert (await house.ask("/contents", mara["access_token"], named, "POST", new))[0] == 201


async def test_who_is_taken_out_is_out_with_the_announcement_or_soon_after(house: House) -> None:
    mara = await house.sign_up()
    await house.member(mara, "Member")
    assert await house.titles(mara["access_token"], "branch") == ["There"]
    await house.within(BRANCH, "DELETE FROM memberships")
    assert await house.titles(mara["access_token"], "branch") == ["There"], "nobody has said so yet"
    house.gate.note_change({"t": "memberships", "u": mara["user"]["id"]})
    assert (await house.ask("/contents", mara["access_token"], "branch"))[0] == 403
    await house.member(mara, "Member")
    assert await house.titles(mara["access_token"], "branch") == ["There"]
    await house.within(BRANCH, "DELETE FROM memberships")
    house.seconds += 31
    assert (await house.ask("/contents", mara["access_token"], "branch"))[0] == 403


async def test_an_expired_session_is_one_everywhere(house: House) -> None:
    mara = await house.sign_up()
    await house.member(mara, "Member")
    house.at += timedelta(hours=2)
    assert (await house.ask("/contents", mara["access_token"], "branch"))[0] == 401
