"""The peer that somebody would write by hand: aiohttp, asyncpg and orjson, one statement, no row-level security.

Run as `python -m bench.api_plain PORT DATABASE_URL`.
"""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import orjson
import uvloop
from aiohttp import web

LIST = """
SELECT c.id, c.title, c.content_type::text AS content_type, c.duration, c.is_free, coalesce(g.genres, '[]') AS genres
FROM contents c
LEFT JOIN LATERAL (SELECT json_agg(json_build_object('title', g.title)) AS genres
                   FROM content_genres cg JOIN genres g ON g.id = cg.genre_id WHERE cg.content_id = c.id) AS g ON true
WHERE c.is_published AND c.is_available
ORDER BY c.published_at DESC LIMIT $1
"""


async def serve(port: int, url: str) -> None:
    """Until it is ended."""
    # By default a pool sends RESET ALL after every statement, a sixth of what the list costs: this peer does without.
    pool = await asyncpg.create_pool(url, min_size=8, max_size=8, reset=_keep_as_is)

    async def titles(_: web.Request) -> web.Response:
        rows = await pool.fetch(LIST, 20)
        body = orjson.dumps([{**row, "genres": orjson.Fragment(row["genres"])} for row in rows], default=str)
        return web.Response(body=body, content_type="application/json")

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ready")

    app = web.Application()
    app.add_routes([web.get("/titles", titles), web.get("/ready", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


async def _keep_as_is(_: asyncpg.Connection[asyncpg.Record]) -> None:
    pass


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
