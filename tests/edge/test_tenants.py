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

from core.database import Database, Tx
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.engine.schema import SchemaSource
from core.errors import UNAVAILABLE, Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import service
from edge.api import callers, tenants
from edge.api.access import DatabaseSessions, Gate
from edge.api.api_keys import ApiKeys, KeyUses
from edge.api.auth import routes
from edge.api.callers import Callers
from edge.api.rates import Rates
from edge.api.rest import REST, RestFace
from edge.api.rest import routes as rest_routes
from edge.api.rpc import RpcFace
from edge.api.tenants import HEADER, Tenants
from edge.redis_client import Redis
from tests.edge.test_auth import EMAIL, Door, boundary

BRANCH = UUID("00000000-0000-7000-8000-00000000b001")


class House(Door):
    """The door, with the whole API behind it and a second workspace beside the first."""

    def __init__(self, database: Database, redis: Redis) -> None:
        super().__init__(database, redis)
        self.seconds = 0.0
        self.tenants = Tenants(database, monotonic=lambda: self.seconds)
        self.gate = Gate(self.keys, DatabaseSessions(database), tenants=self.tenants, clock=self.clock)
        self.api_keys = ApiKeys(database, KeyUses(database), self.tenants, monotonic=lambda: self.seconds)
        self.callers = Callers(self.gate, self.api_keys, Rates({}, redis, self.breaker))

    async def open(self) -> None:
        app = web.Application(middlewares=[boundary])
        app.add_routes(
            routes(
                database=self.database, gate=self.gate, access_keys=self.keys, passwords=self.passwords,
                throttle=self.throttle, clock=self.clock,
            )
        )  # fmt: skip
        face = app[REST] = RestFace(self.database, SchemaSource(self.database, CONTEXTS), self.callers.viewer)
        app.add_routes(RpcFace(Commands(self.database, CONTEXTS), self.callers.viewer).routes())
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
        self.note(session)

    def note(self, session: dict[str, Any]) -> None:
        """What the listener does when the database announces a change of the person's memberships."""
        for remembers in (self.gate, self.api_keys):
            remembers.note_change({"t": "memberships", "u": session["user"]["id"]})

    async def made_key(self, session: dict[str, Any], tenant: str | None) -> str:
        body = {"name": "Reports", "scopes": ["*:*"]}
        status, said = await self.ask("/rpc/create_api_key", session["access_token"], tenant, "POST", body)
        assert status == 200, said
        return str(said["key"])


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
    house.note(mara)
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


async def test_a_member_just_taken_in_is_in_without_any_announcement(house: House) -> None:
    mara = await house.sign_up()
    assert (await house.ask("/contents", mara["access_token"], "branch"))[0] == 403
    await house.within(BRANCH, "INSERT INTO memberships (user_id) VALUES ($1)", UUID(mara["user"]["id"]))
    assert await house.titles(mara["access_token"], "branch") == ["There"]


async def test_a_workspace_just_made_is_known(house: House) -> None:
    assert (await house.ask("/contents", None, "late"))[0] == 404
    await house.run("INSERT INTO tenants (name, slug) VALUES ('Late', 'late')")
    assert await house.titles(None, "late") == []


async def test_what_changes_while_it_is_read_is_read_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mara is an Admin when the look-up begins, and a Member before it is over."""
    mara = await house.sign_up()
    user_id = UUID(mara["user"]["id"])
    await house.member(mara, "Admin")
    through = tenants.find_role

    async def overtaken(tx: Tx, user: UUID) -> str | None:
        found = await through(tx, user)
        house.note(mara)
        return found

    monkeypatch.setattr(tenants, "find_role", overtaken)
    assert await house.tenants.role(BRANCH, user_id) == "Admin"
    monkeypatch.undo()
    await house.within(BRANCH, "UPDATE memberships SET role = 'Member'")
    assert await house.tenants.role(BRANCH, user_id) == "Member"
    await house.within(BRANCH, "DELETE FROM memberships")
    assert await house.tenants.role(BRANCH, user_id) == "Member", "nobody has said so yet"
    house.gate.forget_all()
    assert await house.tenants.role(BRANCH, user_id) is None


async def test_a_request_that_names_no_workspace_asks_the_database_nothing_about_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    mara = await house.sign_up()
    await house.member(mara, "Member")
    looked_up: list[str] = []
    for name in ("find_tenant", "find_role"):
        through = getattr(tenants, name)

        async def counted(tx: Tx, asked: object, name: str = name, through: Any = through) -> object:
            looked_up.append(name)
            return await through(tx, asked)

        monkeypatch.setattr(tenants, name, counted)
    for token in (None, mara["access_token"], house.keys.service_key()):
        await house.titles(token, None)
    assert looked_up == []
    for _ in range(3):
        assert await house.titles(mara["access_token"], "branch") == ["There"]
    assert looked_up == ["find_tenant", "find_role"], "once, and remembered"


async def test_an_error_lets_nobody_into_another_workspace(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the one that was asked for, nor the default one in its stead."""
    mara = await house.sign_up()
    await house.member(mara, "Member")
    assert await house.titles(mara["access_token"], None) == ["Here"]

    async def away(*_: object) -> None:
        raise Refusal(UNAVAILABLE)

    monkeypatch.setattr(tenants, "find_tenant", away)
    for token in (None, mara["access_token"]):
        status, said = await house.ask("/contents", token, "branch")
        assert (status, said["code"]) == (503, UNAVAILABLE.code)
    monkeypatch.undo()
    assert await house.titles(None, "branch") == ["There"]
    monkeypatch.setattr(tenants, "find_role", away)
    status, said = await house.ask("/contents", mara["access_token"], "branch")
    assert (status, said["code"]) == (503, UNAVAILABLE.code)


@pytest.mark.parametrize("role", ["Admin", "SuperAdmin"])
async def test_staff_of_a_workspace_see_the_accounts_of_its_members_alone(house: House, role: str) -> None:
    mara, noa, pia = [await house.sign_up(f"{name}@example.org") for name in ("mara", "noa", "pia")]
    await house.member(mara, role)
    await house.member(noa, "Member")
    seen = "/users?select=email&order=email"
    token = mara["access_token"]
    assert await house.ask(seen, token, "branch") == (
        200,
        [{"email": "mara@example.org"}, {"email": "noa@example.org"}],
    )
    assert await house.ask(seen, token, None) == (200, [{"email": "mara@example.org"}])
    assert await house.ask(seen, noa["access_token"], "branch") == (200, [{"email": "noa@example.org"}])
    for command, more in (("ban_user", {"reason": "x"}), ("set_platform_role", {"role": "admin"}), ("erase_user", {})):
        for subject in (noa, pia, mara):
            body = {"user_id": subject["user"]["id"], **more}
            status, said = await house.ask(f"/rpc/{command}", token, "branch", "POST", body)
            assert (status, said["code"]) == (403, "PS575"), command
    await house.run("UPDATE users SET role = 'admin' WHERE email = 'pia@example.org'")
    house.gate.forget_all()
    assert len((await house.ask(seen + "&email=like.*example.org", pia["access_token"], None))[1]) == 3


async def test_an_account_is_at_home_in_no_workspace(house: House) -> None:
    """A shop's proxy names its workspace always; whoever is not in yet signs in there all the same."""
    mara = await house.sign_up()
    headers = {"Authorization": f"Bearer {mara['access_token']}", HEADER: "branch"}
    async with house.client.get("/auth/v1/user", headers=headers) as answer:
        assert (answer.status, (await answer.json())["email"]) == (200, EMAIL)


async def test_a_key_is_good_in_its_own_workspace_and_unknown_in_any_other(house: House) -> None:
    mara = await house.sign_up()
    await house.member(mara, "Member")
    here, there = await house.made_key(mara, None), await house.made_key(mara, "branch")
    for _ in range(2):
        assert await house.titles(here, None) == ["Here"]
        assert await house.titles(there, "branch") == ["There"]
        for key, named in ((here, "branch"), (there, None), (there, "default")):
            status, said = await house.ask("/contents", key, named)
            assert (status, said["code"]) == (401, "PS302"), named
    assert (await house.ask("/contents", there, "nowhere"))[1]["code"] == "PS571"


async def test_a_key_may_no_more_than_its_person_there(house: House) -> None:
    mara = await house.sign_up()
    await house.member(mara, "Admin")
    here, there = await house.made_key(mara, None), await house.made_key(mara, "branch")
    new = {"title": "New", "content_type": "MOVIE"}
    assert (await house.ask("/contents", here, None, "POST", new))[0] == 403
    assert (await house.ask("/contents", there, "branch", "POST", new))[0] == 201
    await house.within(BRANCH, "UPDATE memberships SET role = 'Member'")
    house.note(mara)
    assert (await house.ask("/contents", there, "branch", "POST", new))[0] == 403
    assert await house.titles(there, "branch") == ["There"], "what is not published is for staff"
    await house.within(BRANCH, "DELETE FROM memberships")
    house.note(mara)
    status, said = await house.ask("/contents", there, "branch")
    assert (status, said["code"]) == (403, "PS570")


async def test_what_is_not_to_be_had_is_counted_against_the_address(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []

    async def count(kind: str, subject: object) -> None:
        counted.append((kind, subject))

    monkeypatch.setattr(callers, "is_local", lambda _: False)
    monkeypatch.setattr(Rates, "admit", lambda _, kind, subject: count(kind, subject))
    mara = await house.sign_up()
    assert (await house.ask("/contents", None, "nowhere"))[0] == 404
    assert (await house.ask("/contents", mara["access_token"], "branch"))[0] == 403
    assert [kind for kind, _ in counted] == ["address", "address"]
