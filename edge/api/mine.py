"""GET /me/continue-watching and /progress/{content_id}: where a person stands."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from aiohttp import web

from core.database import Database
from core.domain import playback
from core.errors import BAD_QUERY, NOT_FOUND, Fault, Refusal
from core.ids import parse_id
from edge.api.access import Gate

MAX_ITEMS = 100


@dataclass(slots=True)
class MineFace:
    """What belongs to whoever asks."""

    database: Database
    gate: Gate

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [
            web.get("/me/continue-watching", self.continue_watching),
            web.get("/progress/{content_id}", self.progress),
        ]

    async def continue_watching(self, request: web.Request) -> web.Response:
        """Begun and not finished, the latest first; `limit` (20) and `offset` (0)."""
        viewer = (await self.gate.require_user(request)).viewer
        limit, offset = _number(request, "limit", 20, 1, MAX_ITEMS), _number(request, "offset", 0, 0, 100_000)
        async with self.database.transaction(viewer) as tx:
            rows = await tx.many(playback.SQL["continue_watching_list"], viewer.user_id, limit, offset)
        return _json(
            [
                {
                    "content_id": row["content_id"],
                    "title": row["title"],
                    "content_type": row["content_type"],
                    "position_s": row["position_ms"] / 1000,
                    "duration_s": row["duration"],
                    "updated_at": row["updated_at"],
                    "playlist_id": row["playlist_id"],
                    "thumbnail_image_id": row["thumbnail_image_id"],
                }
                for row in rows
            ]
        )

    async def progress(self, request: web.Request) -> web.Response:
        """One title's resume point; 404 when it was never begun."""
        viewer = (await self.gate.require_user(request)).viewer
        content_id = parse_id(request.match_info["content_id"], "content_id")
        async with self.database.transaction(viewer) as tx:
            row = await tx.one(playback.SQL["progress_get"], viewer.user_id, content_id)
        if row is None:
            raise Refusal(NOT_FOUND, "This title has not been begun.")
        return _json(
            {
                "content_id": row["content_id"],
                "position_s": row["position_ms"] / 1000,
                "duration_s": row["duration"],
                "is_completed": row["is_completed"],
                "updated_at": row["updated_at"],
            }
        )


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise Refusal(
            BAD_QUERY,
            f"{name} must be a number from {least} to {most}.",
            faults=(Fault(name, f"must be {least} to {most}"),),
        )
    return int(text)


def _json(value: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, default=str),
        content_type="application/json",
        headers={"Cache-Control": "private, no-store"},
    )
