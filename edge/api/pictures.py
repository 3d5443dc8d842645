"""GET /storage/v1/object/public/{file_id}: posters, out of the same byte cache as media."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from aiohttp import web

from core.database import Database
from core.domain import playback
from core.errors import NOT_FOUND, Refusal
from core.ids import DEFAULT_TENANT
from core.objects import ObjectMissing, ObjectStore
from core.viewer import service
from edge.api.conditions import check_if_match
from edge.api.target import parse_id
from edge.hls.cache import ByteCache
from edge.hls.delivery import respond
from edge.hls.stored import SHARED, StoredObject, prepare

MAX_KEYS = 10_000


@dataclass(slots=True)
class PictureFace:
    """Pictures of visible titles; a picture's bytes never change, whether it may be seen is asked again every time it is not known."""

    database: Database
    objects: ObjectStore
    cache: ByteCache[StoredObject]
    _keys: OrderedDict[UUID, str] = field(default_factory=OrderedDict)

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.get("/storage/v1/object/public/{file_id}", self.get)]

    async def get(self, request: web.Request) -> web.Response:
        """The picture, cacheable for ever; 404 for anything that is no visible title's picture."""
        key = await self._key(parse_id(request.match_info["file_id"], "file_id"))
        try:
            stored = await self.cache.get_or_load(f"picture:{key}", lambda: self._load(key))
        except ObjectMissing as error:
            raise Refusal(NOT_FOUND) from error
        check_if_match(request, stored.etag)
        return respond(request, stored)

    async def _load(self, key: str) -> StoredObject:
        return prepare(key, await self.objects.get(key), SHARED)

    async def _key(self, file_id: UUID) -> str:
        if (known := self._keys.get(file_id)) is not None:
            return known
        async with self.database.transaction(service(DEFAULT_TENANT)) as tx:
            row = await tx.one(playback.SQL["public_picture_get"], file_id)
        if row is None:
            raise Refusal(NOT_FOUND)
        self._keys[file_id] = row["storage_key"]
        while len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return str(row["storage_key"])
