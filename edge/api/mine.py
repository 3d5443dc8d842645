"""GET /me/continue-watching, /me/history and /progress/{content_id}: where a person stands, a second after the beat."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from aiohttp import hdrs, web

from core.database import Database, Row
from core.domain import playback_resume as resume
from core.domain.playback_resume import Cursor, Item
from core.errors import BAD_QUERY, NOT_FOUND, Fault, Refusal
from edge.api.access import Gate
from edge.api.target import parse_id
from edge.progress.newest import NewestPositions

MAX_ITEMS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class MineFace:
    """What belongs to whoever asks."""

    database: Database
    gate: Gate
    newest: NewestPositions

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [
            web.get("/me/continue-watching", self.continue_watching),
            web.get("/me/history", self.history),
            web.get("/progress/{content_id}", self.progress),
        ]

    async def continue_watching(self, request: web.Request) -> web.Response:
        """Begun and not finished, and next episodes, the latest first; `limit` (20), `cursor` from the `Link` of a page."""
        signed_in = await self.gate.require_user(request)
        limit, after = _number(request, "limit", 20, 1, MAX_ITEMS), _cursor(request)
        # Before the transaction: what is drained in between is then in the rows.
        fresh = await self.newest.of(signed_in.user_id)
        async with self.database.transaction(signed_in.viewer) as tx:
            items = await resume.continue_watching(tx, signed_in.user_id, fresh, after, limit + 1)
            following = await resume.next_episodes(tx, items[:limit])
        listed = [
            {
                **_shown(item),
                "is_next": item.is_next,
                "next_episode": _episode(following.get(item.content_id)),
            }
            for item in items[:limit]
        ]
        return _paged(request, listed, items, limit)

    async def history(self, request: web.Request) -> web.Response:
        """All that was watched, the latest first, in pages as of `continue_watching`."""
        signed_in = await self.gate.require_user(request)
        limit, after = _number(request, "limit", 50, 1, MAX_ITEMS), _cursor(request)
        fresh = await self.newest.of(signed_in.user_id)
        async with self.database.transaction(signed_in.viewer) as tx:
            items = await resume.history(tx, signed_in.user_id, fresh, after, limit + 1)
        listed = [{**_shown(item), "is_completed": item.standing.is_completed} for item in items[:limit]]
        return _paged(request, listed, items, limit)

    async def progress(self, request: web.Request) -> web.Response:
        """One title's resume point; 404 when it was never begun."""
        signed_in = await self.gate.require_user(request)
        content_id = parse_id(request.match_info["content_id"], "content_id")
        fresh = await self.newest.of_title(signed_in.user_id, content_id)
        async with self.database.transaction(signed_in.viewer) as tx:
            stands = await resume.standing(tx, signed_in.user_id, content_id, fresh)
        if stands is None:
            raise Refusal(NOT_FOUND, "This title has not been begun.")
        return _json(
            {
                "content_id": content_id,
                "position_s": stands.position_ms / 1000,
                "duration_s": stands.duration_ms / 1000,
                "is_completed": stands.is_completed,
                "updated_at": stands.watched_at,
            }
        )


def _shown(item: Item) -> dict[str, object]:
    return {
        "content_id": item.content_id,
        "title": item.title,
        "content_type": item.content_type,
        "position_s": item.standing.position_ms / 1000,
        "duration_s": item.standing.duration_ms / 1000,
        "updated_at": item.standing.watched_at,
        "playlist_id": item.standing.playlist_id,
        "thumbnail_image_id": item.thumbnail_image_id,
    }


def _episode(row: Row | None) -> dict[str, object] | None:
    return None if row is None else {name: value for name, value in row.items() if name != "here_id"}


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


def _cursor(request: web.Request) -> Cursor | None:
    text = request.query.get("cursor")
    if text is None:
        return None
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        moment = _EPOCH + int.from_bytes(raw[:8], "big") * _MICROSECOND
        return Cursor(moment, UUID(bytes=raw[8:]))
    except (ValueError, OverflowError) as error:  # what is no base64 is a ValueError, too
        raise Refusal(
            BAD_QUERY,
            "cursor is not one that a page has given.",
            faults=(Fault("cursor", "must come from a page"),),
        ) from error


def _paged(request: web.Request, listed: list[dict[str, object]], items: Sequence[Item], limit: int) -> web.Response:
    """A page; when more follow, `Link: <...>; rel="next"` (RFC 8288) says where."""
    response = _json(listed)
    if len(items) > limit:
        last = items[limit - 1].cursor
        stamp = (last.watched_at - _EPOCH) // _MICROSECOND
        cursor = urlsafe_b64encode(stamp.to_bytes(8, "big") + last.content_id.bytes).rstrip(b"=").decode()
        response.headers[hdrs.LINK] = f'<{request.path}?limit={limit}&cursor={cursor}>; rel="next"'
    return response


def _json(value: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, default=str),
        content_type="application/json",
        headers={"Cache-Control": "private, no-store"},
    )
