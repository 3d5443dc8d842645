"""POST /progress: who sends, what they send, and the answer once it is on disk."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from aiohttp import hdrs, web

from core.errors import BAD_PLAYBACK_TOKEN, CONTENT_NOT_FOUND, UNSUPPORTED_TYPE, Fault, Refusal
from core.viewer import Viewer
from edge.api.access import Gate
from edge.api.beat_lane import BeatLane
from edge.api.bodies import read_body
from edge.api.observe import BEATS
from edge.progress.batcher import Batcher
from edge.progress.beat import MAX_BODY_BYTES, Beat, Source, WireBeat, check, decode
from edge.progress.bots import is_bot
from edge.tokens.grant import Claims, Grants

TYPES = frozenset({"application/json", "text/plain", "application/octet-stream"})

FindDuration = Callable[[UUID, UUID], Awaitable[int | None]]
"""A title's length in ms, by tenant and content; None when it cannot be played."""


@dataclass(slots=True)
class BeatFace:
    """The intake's HTTP side."""

    gate: Gate
    grants: Grants
    batcher: Batcher
    find_duration: FindDuration
    lane: BeatLane

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.post("/progress", self.post)]

    async def post(self, request: web.Request) -> web.Response:
        """204 when every beat is durable; 400, 401, 403, 413, 422 and nothing is taken; 503 to send again."""
        if request.content_type not in TYPES:
            raise Refusal(UNSUPPORTED_TYPE, hint="Send application/json.")
        body = await read_body(request, MAX_BODY_BYTES)
        token, wire, prefix = decode(body)
        try:
            bearer = _bearer(request)
            beats, claims = await self._checked(request, bearer if token is None else token, wire, prefix)
            await self.batcher.add(beats)
        except Refusal as refusal:
            BEATS.labels(refusal.code.code).inc(len(wire))
            raise
        BEATS.labels("taken").inc(len(beats))
        if claims is not None and bearer is not None and token in (None, bearer):
            self.lane.learn(request, bearer, _source(claims, beats[0].is_bot), claims.expires_at)
        return web.Response(status=204)

    async def _checked(
        self, request: web.Request, token: str | None, wire: list[WireBeat], prefix: str
    ) -> tuple[list[Beat], Claims | None]:
        """The beats, and the claims of the playback token if it is that which vouches for them."""
        now = time.time()
        crawls = is_bot(request.headers.get(hdrs.USER_AGENT, ""))
        if token is not None:
            claims = self._claims(token, now)
            return check(wire, _source(claims, crawls), prefix, now), claims
        viewer = (await self.gate.require_user(request)).viewer
        beats: list[Beat] = []
        for number, beat in enumerate(wire):
            at = f"{prefix}[{number}]" if prefix else ""
            beats += check([beat], await self._source_of(viewer, beat.content_id, at, crawls), "", now)
        return beats, None

    def _claims(self, token: str, now: float) -> Claims:
        """The token's claims. A beat that comes after the token's end, from a laptop opened again, still counts for a day."""
        try:
            return self.grants.verify(token, now - 24 * 3600)
        except Refusal as refusal:
            raise Refusal(BAD_PLAYBACK_TOKEN) from refusal

    async def _source_of(self, viewer: Viewer, content_id: UUID, at: str, crawls: bool) -> Source:
        duration_ms = await self.find_duration(viewer.tenant_id, content_id)
        if duration_ms is None:
            raise Refusal(
                CONTENT_NOT_FOUND,
                faults=(Fault(f"{at}.content_id".removeprefix("."), "is no title that can be played"),),
            )
        return Source(viewer.tenant_id, viewer.user_id, None, content_id, duration_ms, crawls)


def _bearer(request: web.Request) -> str | None:
    """The playback token in the head, if it is one."""
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    # A playback token starts with a key id and has two dots, as an access token (a JWT) does; only ours verifies.
    return value if scheme.lower() == "bearer" and not value.startswith("eyJ") else None


def _source(claims: Claims, crawls: bool) -> Source:
    return Source(claims.tenant_id, claims.user_id, claims.session_id, claims.content_id, claims.duration_ms, crawls)
