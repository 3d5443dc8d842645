"""GET /rest/v1/{table}: the HTTP face of the domain engine's reads.

Decides which bytes of a request the engine sees and which headers it answers with. Knows no SQL and no table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import hdrs, web

from core.database import Database, SchemaChanged
from core.engine.read import Prepared, answer_read, prepare
from core.engine.respond import Answer, refused
from core.engine.schema import Schema, SchemaSource, near
from core.errors import READ_ONLY, UNKNOWN_TABLE, Refusal
from core.viewer import Viewer

ALLOWED = "OPTIONS, GET, HEAD"


class RestFace:
    """Answers for the tables that `schema_source` serves, to whoever `viewer_of` says is asking."""

    def __init__(
        self, database: Database, schema_source: SchemaSource, viewer_of: Callable[[web.Request], Awaitable[Viewer]]
    ) -> None:
        self._database = database
        self._schema_source = schema_source
        self._viewer_of = viewer_of

    async def read(self, request: web.Request) -> web.Response:
        """GET and HEAD of a table. Raises Refusal or DatabaseDown."""
        prepared = _prepare(request, await self._schema_source.current())
        viewer = await self._viewer_of(request)
        if_none_match = request.headers.get(hdrs.IF_NONE_MATCH, "")
        try:
            answer = await answer_read(self._database, viewer, prepared, if_none_match=if_none_match)
        except SchemaChanged:
            # A migration ran while we did: what the schema says now decides, once.
            self._schema_source.forget()
            prepared = _prepare(request, await self._schema_source.current())
            answer = await answer_read(self._database, viewer, prepared, if_none_match=if_none_match)
        return _response(answer)

    async def describe(self, request: web.Request) -> web.Response:
        """GET /rest/v1/: the tables served, with their columns."""
        schema = await self._schema_source.current()
        await self._viewer_of(request)
        tables = [
            {
                "name": table.name,
                "description": table.comment,
                "columns": [
                    {"name": c.name, "type": c.type, "nullable": c.nullable, "description": c.comment}
                    for c in table.columns.values()
                ],
            }
            for table in schema.tables.values()
        ]
        return web.Response(body=orjson.dumps({"tables": tables}), content_type="application/json")

    async def options(self, request: web.Request) -> web.Response:
        """OPTIONS of a table: which methods it takes."""
        _known(request, await self._schema_source.current())
        return web.Response(headers={hdrs.ALLOW: ALLOWED})

    async def refuse_write(self, request: web.Request) -> web.Response:
        """Every method that is not served."""
        _known(request, await self._schema_source.current())
        return _response(refused(Refusal(READ_ONLY), {hdrs.ALLOW: ALLOWED}))


REST = web.AppKey("rest", RestFace)


def routes(face: RestFace) -> list[web.RouteDef]:
    """The routes of `face`, the catch-all last."""
    return [
        web.get("/rest/v1/", face.describe),
        web.get("/rest/v1/{table}", face.read),
        web.options("/rest/v1/{table}", face.options),
        web.route(hdrs.METH_ANY, "/rest/v1/{table}", face.refuse_write),
    ]


def _prepare(request: web.Request, schema: Schema) -> Prepared:
    # The query as it came: yarl would decode `%2C` and `%28`, which tell a value from the grammar around it.
    _, _, query = request.raw_path.partition("?")
    headers = request.headers
    range_ = headers.get(hdrs.RANGE, "") if headers.get("Range-Unit", "items").strip().lower() == "items" else ""
    return prepare(
        schema,
        request.match_info["table"],
        query,
        ", ".join(headers.getall(hdrs.ACCEPT, ())),
        ", ".join(headers.getall("Prefer", ())),
        range_,
    )


def _known(request: web.Request, schema: Schema) -> None:
    name = request.match_info["table"]
    if name not in schema.tables:
        meant = near(name, schema.tables)
        raise Refusal(UNKNOWN_TABLE, hint=f"Perhaps you meant {meant}." if meant else None)


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
