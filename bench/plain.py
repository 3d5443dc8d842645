"""The peer that shows what the fast lane adds: aiohttp and uvloop, a signed token, a small cache, bytes from memory.

Run as `python -m bench.plain PORT FOLDER SECRET`; FOLDER/{content}/{generation}/{name} are the objects.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from uuid import UUID

import uvloop
from aiohttp import web
from itsdangerous import BadData, URLSafeTimedSerializer

from edge.hls.delivery import respond
from edge.hls.stored import StoredObject, prepare

LIFE_S = 6 * 3600
CACHED_S = 20


def token_for(secret: str, content: UUID) -> str:
    """A token for one title."""
    return str(URLSafeTimedSerializer(secret).dumps(str(content)))


class Handler:
    """Verifies, remembers for a while that it did, and answers from memory."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.folder = folder
        self.serializer = URLSafeTimedSerializer(secret)
        self.verified: dict[str, tuple[str, float]] = {}
        self.objects: dict[str, StoredObject] = {}

    async def get(self, request: web.Request) -> web.Response:
        """403 without a good token, 404, else the object as the edge would send it."""
        token, content, rest = (request.match_info[part] for part in ("token", "content", "rest"))
        known = self.verified.get(token)
        if known is None or time.time() > known[1]:
            try:
                known = (self.serializer.loads(token, max_age=LIFE_S), time.time() + CACHED_S)
            except BadData:
                return web.Response(status=403)
            self.verified[token] = known
        if known[0] != content:
            return web.Response(status=403)
        key = f"{content}/{rest}"
        stored = self.objects.get(key)
        if stored is None:
            path = (self.folder / key).resolve()
            if not path.is_relative_to(self.folder) or not path.is_file():
                return web.Response(status=404)
            stored = self.objects[key] = prepare(key, path.read_bytes())
        return respond(request, stored)

    async def ready(self, request: web.Request) -> web.Response:
        """200."""
        return web.Response(text="ready")


async def _serve(port: int, handler: Handler) -> None:
    app = web.Application()
    app.add_routes([web.get("/ready", handler.ready), web.get("/hls/{token}/{content}/{rest:.+}", handler.get)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Handler(Path(sys.argv[2]).resolve(), sys.argv[3])))
