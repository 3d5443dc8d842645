"""GET /hls/...: the join of address, session and delivery. The one place where media leaves the house by the slow lane."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from aiohttp import hdrs, web

from core.errors import NOT_FOUND, WRONG_CONTENT, Refusal
from edge.api import cmcd
from edge.api.accel import HANDED_OVER, hand_over
from edge.api.conditions import check_if_match
from edge.api.observe import MEDIA_BYTES, SEALED
from edge.api.proxies import COUNTRY
from edge.api.target import path_of
from edge.hls.address import Address, parse
from edge.hls.delivery import Delivery, accepts_gzip, respond
from edge.hls.stored import StoredObject, prepare
from edge.lane.learned import Learned, takes_part
from edge.lane.protocol import LaneProtocol
from edge.tokens.sessions import Sessions

KEY_NAME = "content.key"
"""Where the playlists of an encrypted generation say that its key is."""

FindKey = Callable[[UUID, UUID, int], Awaitable[bytes]]
"""An encrypted generation's key, by tenant, content and number. Raises LookupError when there is none."""


async def no_keys(tenant_id: UUID, content_id: UUID, number: int) -> bytes:
    """For an installation that has no encrypted titles."""
    raise LookupError(f"no key for generation {number} of {content_id}")


@dataclass(slots=True)
class MediaFace:
    """Handlers for everything under /hls/; what they answer, the lane learns."""

    sessions: Sessions
    delivery: Delivery
    learned: Learned
    file_of: Callable[[str], str | None] = lambda key: None
    """The file that an object lies in, if the lane may send from it."""
    find_key: FindKey = no_keys
    """The key of an encrypted generation."""
    accel: str | None = None
    """nginx's internal location of the store, when nginx sends the segments."""

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.get("/hls/{tail:.*}", self.get), web.options("/hls/{tail:.*}", self.options)]

    async def get(self, request: web.Request) -> web.Response:
        """200, 206, 304, 416 with the object; 401, 403, 410 by the token; 404."""
        # The path as it came: what yarl makes of `%2e` is not asked for.
        path = path_of(request.raw_path)
        address = parse(path)
        if address is None:
            raise Refusal(NOT_FOUND)
        now = time.time()
        country = request.get(COUNTRY)
        session = self.sessions.known(address.token, now, request.remote, country)
        if session is None:
            session = await self.sessions.admit(address.token, now, request.remote, country)
        if session.claims.content_id != address.content_id:
            raise Refusal(WRONG_CONTENT)
        cmcd.observe(request)
        if address.name == KEY_NAME:
            return await self._give_key(request, address, session.claims.tenant_id)
        try:
            if self.accel is not None and address.suffix in HANDED_OVER:
                claims = session.claims
                prefix = await self.delivery.find_prefix(claims.tenant_id, claims.content_id, address.generation)
                return hand_over(self.accel, f"{prefix}/{address.name}", address.suffix)
            key, stored = await self.delivery.fetch(address, session.claims.tenant_id, session.max_height)
        except LookupError as error:
            raise Refusal(NOT_FOUND) from error
        check_if_match(request, stored.etag)
        response = respond(request, stored)
        request[SEALED] = True
        if request.method == "GET" and response.status in (200, 206):
            MEDIA_BYTES.labels(address.suffix).inc(response.content_length or 0)
        # The lane knows tokens and no addresses: it cannot see that a bound session moved.
        if response.status == 200 and "?" not in key and not self.sessions.is_bound and takes_part(request):
            self._teach(request, address, path, key, stored)
        return response

    async def _give_key(self, request: web.Request, address: Address, tenant_id: UUID) -> web.Response:
        """The key itself, to be kept by nobody: neither by the lane nor by a cache. 404 when nothing is encrypted."""
        try:
            key = await self.find_key(tenant_id, address.content_id, address.generation)
        except LookupError as error:
            raise Refusal(NOT_FOUND) from error
        response = respond(request, prepare(f"{address.content_id}/{address.generation}/{KEY_NAME}", key))
        request[SEALED] = True
        return response

    def _teach(self, request: web.Request, address: Address, path: str, key: str, stored: StoredObject) -> None:
        """What was just answered in full may be answered by heart next time."""
        connection = request.transport.get_protocol() if request.transport is not None else None
        if not isinstance(connection, LaneProtocol) or connection.block is None:
            return
        is_cached, file = key in self.delivery.cache, self.file_of(key)
        if not is_cached and (file is None or stored.gzipped is not None):
            return
        takes_gzip = accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        if self.learned.learn_block(connection.block, request.raw_headers, takes_gzip=takes_gzip):
            below = path[len("/hls/") + len(address.token) + 1 :]
            self.learned.learn_answer(key, below, address.content_id, address.suffix, stored, file)
            if not is_cached:
                self.learned.forget_answer(key)

    async def options(self, request: web.Request) -> web.Response:
        """What may be asked here."""
        return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})
