"""What /openapi.json promises, the application as it is joined together takes to a handler."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.engine.schema import SchemaSource
from edge.api.openapi import describe
from tests.edge.api.conftest import House


async def test_every_path_and_method_that_is_described_is_routed(house: House) -> None:
    schema = await SchemaSource(house.edge.database, CONTEXTS).current()
    document = describe(schema, Commands(house.edge.database, CONTEXTS).known, "0")
    router = house.client.app.router
    for path, methods in document["paths"].items():
        for method in methods:
            found = await router.resolve(make_mocked_request(method.upper(), path.replace("{", "").replace("}", "")))
            assert found.http_exception is None, (method, path)
