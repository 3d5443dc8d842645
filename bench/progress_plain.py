"""The peer that shows what batching adds: aiohttp, asyncpg, and one upsert for each heartbeat, as most services begin.

Run as `python -m bench.progress_plain PORT DATABASE_URL`. It takes any token and keeps no ledger, no session and no view.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from uuid import UUID

import msgspec
import uvloop
from aiohttp import web

from core.database import dedicated
from edge.progress.beat import WireBeat

CONNECTIONS = 8
UPSERT = """
INSERT INTO bench_progress AS p (user_id, content_id, position_ms, seq, updated_at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (user_id, content_id) DO UPDATE SET position_ms = EXCLUDED.position_ms, seq = EXCLUDED.seq, updated_at = EXCLUDED.updated_at
WHERE p.seq <= EXCLUDED.seq
"""


class Handler:
    """Decodes, upserts, answers."""

    def __init__(self, idle: asyncio.Queue[Any]) -> None:
        self.idle = idle
        self.decoder = msgspec.json.Decoder(WireBeat)

    async def post(self, request: web.Request) -> web.Response:
        """204 when PostgreSQL has it."""
        beat = self.decoder.decode(await request.read())
        user = UUID(request.headers["Authorization"][-36:])
        connection = await self.idle.get()
        try:
            await connection.execute(UPSERT, user, beat.content_id, int(beat.position_s * 1000), beat.seq)
        finally:
            self.idle.put_nowait(connection)
        return web.Response(status=204)

    async def ready(self, request: web.Request) -> web.Response:
        """200."""
        return web.Response(text="ready")


async def _serve(port: int, url: str) -> None:
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        connection = await dedicated(url)
        # Said, although it is the default: the answer waits for the disk, as a 204 of the edge does.
        await connection.execute("SET synchronous_commit = on")
        idle.put_nowait(connection)
    handler = Handler(idle)
    app = web.Application()
    app.add_routes([web.get("/ready", handler.ready), web.post("/progress", handler.post)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2]))
