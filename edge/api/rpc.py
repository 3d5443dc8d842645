"""/rest/v1/rpc/{command}: the HTTP face of the commands.

Decides how a command is asked for: a JSON body, or for one that only reads the parameters of the address. Knows no command.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from aiohttp import hdrs, web

from core.domain.commands import Commands
from core.domain.context import Command
from core.engine.request import split_query
from core.errors import METHOD_NOT_ALLOWED, Refusal, bad_field
from core.viewer import Viewer
from edge.api.bodies import read_struct, struct_of


class RpcFace:
    """Runs `commands` for whoever `viewer_of` says is asking."""

    def __init__(self, commands: Commands, viewer_of: Callable[[web.Request], Awaitable[Viewer]]) -> None:
        self._commands = commands
        self._viewer_of = viewer_of

    def routes(self) -> list[web.RouteDef]:
        """Its routes."""
        path = "/rest/v1/rpc/{command}"
        return [web.post(path, self.run), web.get(path, self.run), web.options(path, self.options)]

    async def run(self, request: web.Request) -> web.Response:
        """POST of any command; GET and HEAD of one that only reads. Raises Refusal or DatabaseDown."""
        viewer = await self._viewer_of(request)
        name = request.match_info["command"]
        command = self._commands.find(name, viewer)
        keys = request.headers.getall("Idempotency-Key", [])
        if len(keys) > 1:
            raise bad_field("Idempotency-Key", "is given twice")
        asked = await self._asked(request, command)
        done = await self._commands.run(viewer, name, asked, now=datetime.now(UTC), key=keys[0] if keys else None)
        headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store", hdrs.CONTENT_TYPE: "application/json; charset=utf-8"}
        if done.is_replay:
            headers["Idempotent-Replayed"] = "true"
        return web.Response(body=done.body, headers=headers)

    async def options(self, request: web.Request) -> web.Response:
        """OPTIONS: which methods a command takes."""
        viewer = await self._viewer_of(request)
        return web.Response(headers={hdrs.ALLOW: _allowed(self._commands.find(request.match_info["command"], viewer))})

    async def _asked(self, request: web.Request, command: Command) -> msgspec.Struct:
        asked = split_query(request.raw_path.partition("?")[2])
        pairs = [(key, value) for key, value in asked if key != "apikey"]
        texts = dict(pairs)
        if request.method != hdrs.METH_POST:
            if not command.is_read:
                raise Refusal(METHOD_NOT_ALLOWED, data={"allowed": _allowed(command).split(", ")})
            if twice := next((key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at])), None):
                raise bad_field(twice[:63], "is given twice")
            return struct_of(texts, command.request)
        if texts:
            raise bad_field(next(iter(texts))[:63], "a command is asked for by its body alone")
        return await read_struct(request, command.request, optional=True)


def _allowed(command: Command) -> str:
    return "OPTIONS, GET, HEAD, POST" if command.is_read else "OPTIONS, POST"
