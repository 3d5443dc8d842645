"""/rest/v1/{table}: the HTTP face of the domain engine's reads and writes.

Decides which bytes of a request the engine sees and which headers it answers with. Knows no SQL and no table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import get_args

import orjson
from aiohttp import hdrs, web

from core.database import Database, SchemaChanged
from core.engine.change import Method, allowed_methods, plan_change
from core.engine.payload import Payload, parse_payload
from core.engine.plan import find_table
from core.engine.read import Prepared, answer_read, prepare
from core.engine.respond import Answer, conditional
from core.engine.schema import Schema, SchemaSource
from core.engine.write import answer_change
from core.viewer import GUEST, Viewer
from edge.api.arriving import LARGEST_ROWS_BYTES
from edge.api.bodies import read_body
from edge.api.conditions import check_if_match
from edge.api.hot import KEPT, HotReads, Kept
from edge.hls.delivery import accepts_gzip

LONG_BYTES = 64 * 1024
"""Above this compressing takes a millisecond, and a thread."""
METHODS: tuple[Method, ...] = get_args(Method)


class RestFace:
    """Answers for the tables that `schema_source` serves, to whoever `viewer_of` says is asking."""

    def __init__(
        self,
        database: Database,
        schema_source: SchemaSource,
        viewer_of: Callable[[web.Request], Awaitable[Viewer]],
        *,
        may_roll_back: bool = False,
    ) -> None:
        self._database = database
        self._schema_source = schema_source
        self._viewer_of = viewer_of
        self._may_roll_back = may_roll_back
        self.hot = HotReads()

    async def read(self, request: web.Request) -> web.Response:
        """GET and HEAD of a table. Raises Refusal or DatabaseDown."""
        viewer = await self._viewer_of(request)
        try:
            kept = await self._read(request, viewer)
        except SchemaChanged:
            # A migration ran while we did: what the schema says now decides, once.
            self._schema_source.forget()
            self.hot.forget_all()
            kept = await self._read(request, viewer)
        request[KEPT] = kept
        check_if_match(request, kept.answer.headers.get(hdrs.ETAG, ""))
        answer = conditional(kept.answer, ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ())))
        if answer.status != 304 and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            answer = kept.gzipped() if len(answer.body) < LONG_BYTES else await asyncio.to_thread(kept.gzipped)
        return _response(answer)

    async def _read(self, request: web.Request, viewer: Viewer) -> Kept:
        prepared = _prepare(request, await self._schema_source.current())
        if viewer == GUEST and prepared.is_announced:
            return await self.hot.get(prepared, lambda: answer_read(self._database, GUEST, prepared))
        return Kept(await answer_read(self._database, viewer, prepared))

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
        table = find_table(await self._schema_source.current(), request.match_info["table"])
        return web.Response(headers={hdrs.ALLOW: allowed_methods(table)})

    async def write(self, request: web.Request) -> web.Response:
        """POST, PATCH, PUT and DELETE of a table. Raises Refusal or DatabaseDown."""
        find_table(await self._schema_source.current(), request.match_info["table"])
        viewer = await self._viewer_of(request)
        # Tags are weak here, so they cannot vouch that nobody else has changed a row. To pass over the wish would lose a change.
        check_if_match(request, hint="Say which state is meant by a filter: `updated_at=eq....`.")
        payload = Payload((), ())
        if request.method != hdrs.METH_DELETE:
            body = await read_body(request, LARGEST_ROWS_BYTES)
            payload = parse_payload(body, request.headers.get(hdrs.CONTENT_TYPE, ""))
        try:
            answer = await self._change(request, viewer, payload)
        except SchemaChanged:
            self._schema_source.forget()
            answer = await self._change(request, viewer, payload)
        return _response(answer)

    async def _change(self, request: web.Request, viewer: Viewer, payload: Payload) -> Answer:
        method = next(method for method in METHODS if method == request.method)
        change = plan_change(
            await self._schema_source.current(),
            viewer,
            method,
            request.match_info["table"],
            _query(request),
            payload=payload,
            accept=", ".join(request.headers.getall(hdrs.ACCEPT, ())),
            prefer=", ".join(request.headers.getall("Prefer", ())),
            may_roll_back=self._may_roll_back,
        )
        return await answer_change(self._database, viewer, change)


REST = web.AppKey("rest", RestFace)


def routes(face: RestFace) -> list[web.RouteDef]:
    """The routes of `face`, the catch-all last."""
    return [
        web.get("/rest/v1/", face.describe),
        web.get("/rest/v1/{table}", face.read),
        web.options("/rest/v1/{table}", face.options),
        *(web.route(method, "/rest/v1/{table}", face.write) for method in METHODS),
    ]


def _prepare(request: web.Request, schema: Schema) -> Prepared:
    headers = request.headers
    range_ = headers.get(hdrs.RANGE, "") if headers.get("Range-Unit", "items").strip().lower() == "items" else ""
    return prepare(
        schema,
        request.match_info["table"],
        _query(request),
        ", ".join(headers.getall(hdrs.ACCEPT, ())),
        ", ".join(headers.getall("Prefer", ())),
        range_,
    )


def _query(request: web.Request) -> str:
    """The query as it came: yarl would decode `%2C` and `%28`, which tell a value from the grammar around it."""
    return request.raw_path.partition("?")[2]


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
