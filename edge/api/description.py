"""/openapi.json and /docs: what is served, for programs and for people, without a word from outside this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from aiohttp import hdrs, web

from core.domain.commands import Commands
from core.engine.schema import Schema, SchemaSource
from edge.api.openapi import describe
from edge.api.site import CSP, Asset, asset_of, send_asset

PAGES = Path(__file__).with_name("docs")


class DescriptionFace:
    """Serves the description of `schema_source` and `commands`, made anew when the schema was read anew."""

    def __init__(self, schema_source: SchemaSource, commands: Commands, version: str) -> None:
        self._schema_source = schema_source
        self._commands = commands
        self._version = version
        self._made: tuple[Schema, Asset] | None = None
        self._pages = {f"/docs/{path.name}": asset_of(path.name, path.read_bytes()) for path in PAGES.iterdir()}

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [
            web.get("/openapi.json", self.openapi),
            web.get("/docs", self.page),
            *(web.get(path, self.asset) for path in self._pages if not path.endswith(".html")),
        ]

    async def openapi(self, request: web.Request) -> web.Response:
        """The OpenAPI document. Raises DatabaseDown when the schema was never read."""
        schema = await self._schema_source.current()
        if self._made is None or self._made[0] is not schema:
            # Tens of milliseconds of work for a whole schema: not on the loop.
            self._made = (schema, await asyncio.to_thread(self._make, schema))
        return send_asset(request, self._made[1], "no-cache")

    def _make(self, schema: Schema) -> Asset:
        return asset_of("openapi.json", orjson.dumps(describe(schema, self._commands.known, self._version)))

    async def page(self, request: web.Request) -> web.Response:
        """The reading page."""
        return self._send(request, "/docs/docs.html")

    async def asset(self, request: web.Request) -> web.Response:
        """What the page needs."""
        return self._send(request, request.path)

    def _send(self, request: web.Request, path: str) -> web.Response:
        response = send_asset(request, self._pages[path], "no-cache")
        response.headers[hdrs.CONTENT_SECURITY_POLICY] = CSP
        return response
