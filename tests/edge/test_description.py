"""/openapi.json is valid, true and complete; /docs shows it and asks nobody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, get_args

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator

from core.database import Database
from core.domain.commands import Commands
from core.domain.identity import PlatformRole
from core.domain.registry import CONTEXTS
from core.engine.schema import SchemaSource
from edge.api.description import PAGES, DescriptionFace
from edge.api.gotrue import AccountBody
from tests.edge.rest_shop import shop_database

__all__ = ["shop_database"]

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(database: Database) -> AsyncIterator[Client]:
    app = web.Application()
    face = DescriptionFace(SchemaSource(database, CONTEXTS), Commands(database, CONTEXTS), "1.2.3")
    app.add_routes(face.routes())
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def document_of(client: Client) -> Any:
    response = await client.get("/openapi.json")
    assert (response.status, response.content_type) == (200, "application/json")
    return orjson.loads(await response.read())


async def test_the_document_is_valid_openapi(client: Client) -> None:
    document = await document_of(client)
    errors = [
        f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in OpenAPIV31SpecValidator(document).iter_errors()
    ]
    assert errors == []
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", "1.2.3")
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


async def test_every_reference_leads_somewhere(client: Client) -> None:
    document = await document_of(client)
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(document).decode())):
        at: Any = document
        for key in reference.split("/"):
            assert key in at, reference
            at = at[key]


async def test_every_table_and_command_is_there_with_what_it_takes(client: Client) -> None:
    paths = (await document_of(client))["paths"]
    for context in CONTEXTS:
        for table in context.tables:
            assert ("read" in table.verbs) == ("get" in paths[f"/rest/v1/{table.name}"])
            assert ("insert" in table.verbs) == ("post" in paths[f"/rest/v1/{table.name}"])
        for name, command in context.commands.items():
            assert set(paths[f"/rest/v1/rpc/{name}"]) == ({"get", "post"} if command.is_read else {"post"})


async def test_accounts_by_the_service_key_are_there_with_what_is_read_of_them(client: Client) -> None:
    document = await document_of(client)
    paths, account = document["paths"], document["components"]["schemas"]["Account"]["properties"]
    assert set(paths["/auth/v1/admin/users"]) == {"get", "post"}
    assert set(paths["/auth/v1/admin/users/{user_id}"]) == {"get", "put", "delete"}
    # What is only read to be refused is not offered.
    assert set(account) == set(AccountBody.__struct_fields__) - {"phone", "id", "password_hash"}
    assert set(account["app_metadata"]["properties"]["role"]["enum"]) == set(get_args(PlatformRole))


async def test_schemas_say_what_columns_hold_and_which_are_open(client: Client) -> None:
    schemas = (await document_of(client))["components"]["schemas"]
    row = schemas["contents.row"]["properties"]
    assert row["id"] == {"type": "string", "format": "uuid"}
    assert row["content_type"]["enum"][:2] == ["MOVIE", "SERIES"]
    assert row["duration"]["type"] == ["integer", "null"]
    new = schemas["contents.insert"]
    assert set(new["required"]) == {"title", "content_type"}
    assert "is_published" not in new["properties"]
    assert "content_type" not in schemas["contents.update"]["properties"]
    assert "store_prefix" not in schemas["generations.row"]["properties"]


async def test_the_document_is_not_sent_twice_and_travels_small(client: Client) -> None:
    response = await client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    again = await client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304


async def test_the_page_asks_nobody_else(client: Client) -> None:
    page = await client.get("/docs")
    assert (page.status, page.content_type) == (200, "text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    wanted = re.findall(r'(?:src|href)="([^"]+)"', await page.text())
    assert {"/docs/docs.js", "/docs/docs.css", "/openapi.json"} <= set(wanted)
    for path in wanted:
        assert path.startswith("/"), path
        assert (await client.get(path)).status == 200
    for file in PAGES.iterdir():
        assert "://" not in file.read_text(), file.name
