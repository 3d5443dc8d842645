"""The shop of rest_shop.sql behind a RestFace, asked by whom a test says."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from core.database import Database, DatabaseDown
from core.domain.commands import Commands
from core.domain.context import EVERY_VERB, Context, Table
from core.domain.registry import CONTEXTS
from core.engine.schema import Schema, SchemaSource
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import GUEST, Viewer
from edge.api.rest import REST, RestFace, routes
from edge.api.rpc import RpcFace
from tests.conftest import SHOP_SQL, Servers, TestDatabase, clone, kept
from tests.patience import be_patient

OTHER_TENANT = UUID("00000000-0000-7000-8000-00000000b000")
MARA = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000301"), "authenticated")
STAFF = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000302"), "staff")
ELSEWHERE = Viewer(OTHER_TENANT, None, "anon")
_OPEN = frozenset({"id", "data", "plain", "tags", "span", "amount", 'odd name"x'})
SPECIMENS = Table("specimens", EVERY_VERB, hidden=frozenset({"secret"}), insertable=_OPEN, updatable=_OPEN)
WITH_SPECIMENS = (*CONTEXTS, Context("specimens", (SPECIMENS,), {}))

_schemas: list[Schema] = []
"""The schema of the shop, once a shop of this process has been opened."""


@web.middleware
async def boundary(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)
    except DatabaseDown as down:
        # A machine too busy to answer in time; the product's own boundary says the same.
        return web.json_response({"code": "PS902", "message": str(down)}, status=503)
    except Refusal as refusal:
        return web.Response(
            status=refusal.code.status, body=orjson.dumps(refusal.body()), content_type="application/json"
        )


@dataclass
class Shop:
    """`get` asks as `viewer`; its paths are sent as they are written."""

    client: TestClient[web.Request, web.Application]
    database: Database
    source: SchemaSource
    admin_url: str
    face: RestFace
    viewer: Viewer = GUEST

    async def send(self, method: str, path: str, data: bytes | None = None, **headers: str) -> ClientResponse:
        if method not in ("GET", "HEAD"):
            # Nobody listens to the announcements here; tests/edge/api/test_hot.py does.
            self.face.hot.forget_all()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(f"http://{self.client.host}:{self.client.port}/rest/v1{path}", encoded=True)
        return await self.client.session.request(method, url, headers=names, data=data and io.BytesIO(data))

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.send("GET", path, **headers)

    async def rows(self, path: str, **headers: str) -> Any:
        response = await self.get(path, **headers)
        body = await response.read()
        assert response.status in (200, 206), body
        return orjson.loads(body)

    async def refused(self, path: str, **headers: str) -> tuple[int, str, dict[str, Any]]:
        response = await self.get(path, **headers)
        body = orjson.loads(await response.read())
        assert {"code", "message", "details", "hint"} <= body.keys()
        return response.status, body["code"], body


@pytest.fixture(scope="session")
def shop_database(servers: Servers) -> Iterator[TestDatabase]:
    """One shop for all tests of a process that only read: cloning a database costs more than most of them."""
    with kept(servers, "shop", SHOP_SQL.read_text()) as (_, made):
        yield made


@pytest.fixture
async def shop(shop_database: TestDatabase) -> AsyncIterator[Shop]:
    """A guest at the door of the shop that all tests share."""
    async with opened(shop_database) as one:
        yield one


@pytest.fixture
async def own_shop(servers: Servers, shop_template: str) -> AsyncIterator[Shop]:
    """A shop of the test's own, to change."""
    async with clone(servers, shop_template) as made, opened(made) as one:
        yield one


@asynccontextmanager
async def opened(urls: TestDatabase) -> AsyncIterator[Shop]:
    """The API on a shop's database, asked by a guest at first."""
    database = await Database.connect(urls.app_url, name="test", max_size=2)
    source = SchemaSource(database, WITH_SPECIMENS)
    # Every shop is a copy of one, and reading its catalogue costs more than most tests.
    source._schema = _schemas[0] if _schemas else None
    _schemas[:] = [await source.current()]

    async def viewer_of(_: web.Request) -> Viewer:
        return made.viewer

    app = web.Application(middlewares=[boundary])
    face = app[REST] = RestFace(database, source, viewer_of)
    app.add_routes(RpcFace(Commands(database, WITH_SPECIMENS), viewer_of).routes())
    app.add_routes(routes(face))
    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch)
        async with TestClient(TestServer(app)) as client:
            made = Shop(client, database, source, urls.admin_url, face)
            yield made
        await database.close()
