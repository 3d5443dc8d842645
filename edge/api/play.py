"""POST /play/{content_id}: from a person and a title to a playback token. Joins entitlement, session, lease and signature."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import orjson
from aiohttp import hdrs, web

from core.database import Database, Tx
from core.domain import playback
from core.errors import CONTENT_NOT_READY, TOO_MANY_STREAMS, Refusal
from core.ids import uuid7
from core.keys import KeyRing
from core.viewer import Viewer, service
from edge.api.access import Gate
from edge.api.bodies import read_struct
from edge.api.observe import PLAYS
from edge.api.proxies import COUNTRY
from edge.api.target import parse_id
from edge.listeners import listener_id
from edge.progress.newest import NewestPositions
from edge.redis_client import RedisDown
from edge.tokens.checking import DEFAULT_STREAMS
from edge.tokens.entitlements import Entitlement, Entitlements, Subject
from edge.tokens.grant import FIRST_USE_S, MAX_LIFE_S, Claims, Grants, device_mark, digest
from edge.tokens.leases import Leases
from edge.tokens.sessions import Sessions

HEARTBEAT_S = 5


class PlayRequest(msgspec.Struct, frozen=True):
    """The optional body of /play."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    device_type: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    playlist_id: UUID | None = None
    kick_oldest: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from, and what it says it is."""

    address: str | None
    country: str | None
    user_agent: str

    @classmethod
    def of(cls, request: web.Request) -> Caller:
        """Of this request, behind the proxies that are trusted."""
        return cls(request.remote, request.get(COUNTRY), request.headers.get(hdrs.USER_AGENT, ""))


@dataclass(slots=True)
class PlayFace:
    """Handlers around a grant."""

    database: Database
    gate: Gate
    grants: Grants
    leases: Leases
    entitlements: Entitlements
    newest: NewestPositions
    sessions: Sessions
    ring: KeyRing

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.post("/play/{content_id}", self.play)]

    async def play(self, request: web.Request) -> web.Response:
        """Answers as docs/http-api.md says. 401, 403 with `reason`, 404, 409."""
        content_id = parse_id(request.match_info["content_id"], "content_id")
        viewer = await self.gate.viewer(request)
        asked = await read_struct(request, PlayRequest, optional=True)
        try:
            answer = await self._grant(viewer, content_id, asked, Caller.of(request))
        except Refusal as refusal:
            PLAYS.labels(str(refusal.data.get("reason", refusal.code.code))).inc()
            raise
        PLAYS.labels("granted").inc()
        return web.Response(
            body=orjson.dumps(answer, default=str),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _grant(
        self,
        viewer: Viewer,
        content_id: UUID,
        asked: PlayRequest,
        caller: Caller,
    ) -> dict[str, object]:
        now = time.time()
        entitlement = await self.entitlements.of(Subject(viewer.tenant_id, viewer.user_id, content_id))
        if not entitlement.holds_at(now):
            raise entitlement.refusal()
        session_id = uuid7()
        # Without a device of its own every press of play is a device: a guest's, or a bare HTTP client's.
        device_id = asked.device_id or f"unnamed-{session_id.hex[-12:]}"
        limit = entitlement.max_streams or DEFAULT_STREAMS
        await self._take_place(viewer, device_id, limit, now, kick_oldest=asked.kick_oldest)
        moment = datetime.fromtimestamp(int(now), UTC)
        # Before the transaction: what is drained in between is then in the rows.
        fresh = await self.newest.of_title(viewer.user_id, content_id) if viewer.user_id else None
        async with self.database.transaction(service(viewer.tenant_id)) as tx:
            title = await playback.playable(tx, content_id, viewer.user_id, fresh)
            if title is None:
                raise Refusal(CONTENT_NOT_READY, data={"reason": "not_ready"})
            claims = Claims(
                session_id=session_id,
                tenant_id=viewer.tenant_id,
                content_id=content_id,
                user_id=viewer.user_id,
                device=device_mark(device_id),
                expires_at=_end(now, entitlement),
                first_use_by=min(int(now) + FIRST_USE_S, _end(now, entitlement)),
                duration_ms=title.duration_ms,
                max_height=entitlement.max_height,
                country=caller.country if self.sessions.by_country else None,
            )
            token = self.grants.issue(claims)
            await playback.open_session(
                tx,
                playback.OpenSession(
                    session_id,
                    viewer.user_id,
                    content_id,
                    asked.playlist_id,
                    device_id,
                    asked.device_type,
                    caller.address,
                    moment,
                    datetime.fromtimestamp(claims.expires_at, UTC),
                    digest(token),
                    listener_id(self.ring, viewer.tenant_id, caller.address, caller.user_agent),
                ),
            )
            following = await playback.next_episode(tx, content_id, asked.playlist_id)
        # Redis away: the row just written vouches for the session (edge/tokens/sessions.py).
        with suppress(RedisDown):
            await self.leases.grant(
                claims, FIRST_USE_S, place=self.sessions.place_of(caller.address, caller.country), now=now
            )
        base = f"/hls/{token}/{content_id}/{title.generation}"
        return {
            "session_id": session_id,
            "content_id": content_id,
            "title": title.title,
            "content_type": title.content_type,
            "token": token,
            "manifest_url": f"{base}/master.m3u8",
            "expires_at": datetime.fromtimestamp(claims.expires_at, UTC),
            "first_use_by": datetime.fromtimestamp(claims.first_use_by, UTC),
            "resume_position_s": title.resume_ms / 1000,
            "duration_s": title.duration_ms / 1000,
            "is_completed": title.is_completed,
            "heartbeat": {"url": "/progress", "interval_s": HEARTBEAT_S},
            "thumbnails_url": f"{base}/thumbnails/sprite.vtt" if title.has_thumbnails else None,
            "next_episode": dict(following) if following else None,
            "limits": {"max_height": entitlement.max_height, "max_streams": limit},
        }

    async def _take_place(self, viewer: Viewer, device_id: str, limit: int, now: float, *, kick_oldest: bool) -> None:
        """A place among the person's streams. Raises Refusal 403 with the devices that hold them all."""
        if viewer.user_id is None:
            return
        try:
            place = await self.leases.take_place(
                viewer.user_id, device_mark(device_id).hex(), limit=limit, now=now, kick_oldest=kick_oldest
            )
        except RedisDown:
            return
        if place.taken and not place.devices:
            return
        async with self.database.transaction(service(viewer.tenant_id)) as tx:
            devices = await _devices_of(tx, viewer.user_id, set(place.devices), now)
            if not place.taken:
                raise Refusal(
                    TOO_MANY_STREAMS,
                    f"{limit} streams are running at once already.",
                    hint="Stop one of them, or send `kick_oldest: true`.",
                    data={"reason": "too_many_streams", "devices": devices},
                )
            await tx.run(
                playback.SQL["sessions_end_on_devices"],
                viewer.user_id,
                [str(d["device_id"]) for d in devices],
                datetime.fromtimestamp(now, UTC),
                "kicked",
            )


async def _devices_of(tx: Tx, user_id: UUID, marks: set[str], now: float) -> list[dict[str, object]]:
    rows = await tx.many(playback.SQL["sessions_on_devices"], user_id, datetime.fromtimestamp(now, UTC))
    return [
        {
            "device_id": row["device_id"],
            "device_type": row["device_type"],
            "title": row["title"],
            "since": row["created_at"].isoformat(),
        }
        for row in rows
        if device_mark(row["device_id"]).hex() in marks
    ]


def _end(now: float, entitlement: Entitlement) -> int:
    end = now + MAX_LIFE_S
    return int(min(end, entitlement.until) if entitlement.until is not None else end)
