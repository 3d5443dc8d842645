"""GET and HEAD under /hls/: from an address to the answer. What may be fetched, and by whom, is decided before."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from aiohttp import hdrs, web

from edge.hls import ranges
from edge.hls.address import Address
from edge.hls.cache import ByteCache
from edge.hls.playlist_filter import below_ceiling, manifest_below_ceiling
from edge.hls.stored import GROWING, NO_STORE, StoredObject, base_headers, prepare

_NO_WEIGHT = re.compile(r"\s*q\s*=\s*0(?:\.0{0,3})?\s*")

ReadObject = Callable[[str], Awaitable[bytes]]
"""All bytes of a stored object, by key. Raises LookupError when there is none."""

FindPrefix = Callable[[UUID, UUID, int], Awaitable[str]]
"""Where a generation's objects lie, by tenant, content and number. Raises LookupError when there is no such generation."""


@dataclass(slots=True)
class Delivery:
    """Serves the objects of published generations out of memory, reading each cold one once."""

    read: ReadObject
    find_prefix: FindPrefix
    cache: ByteCache[StoredObject]

    async def fetch(self, address: Address, tenant_id: UUID, max_height: int | None) -> tuple[str, StoredObject]:
        """What the cache calls the object, and the object, from memory or the store. Raises LookupError."""
        prefix = await self.find_prefix(tenant_id, address.content_id, address.generation)
        key = f"{prefix}/{address.name}"
        if address.name in ("master.m3u8", "manifest.mpd") and max_height is not None:
            ceiling = max_height
            key = f"{key}?{ceiling}"
            return key, await self.cache.get_or_load(key, lambda: self._cut_master(key.rpartition("?")[0], ceiling))
        if address.name.endswith(GROWING):
            # It changes under its name: read anew, tagged by its bytes, kept by nobody.
            body = await self.read(key)
            return key, prepare(f"{key}?{blake2b(body, digest_size=12).hexdigest()}", body, NO_STORE)
        return key, await self.cache.get_or_load(key, lambda: self._load(key))

    async def _load(self, key: str) -> StoredObject:
        return prepare(key, await self.read(key))

    async def _cut_master(self, key: str, max_height: int) -> StoredObject:
        whole = await self.cache.get_or_load(key, lambda: self._load(key))
        cut = manifest_below_ceiling if key.endswith(".mpd") else below_ceiling
        return prepare(f"{key}?{max_height}", cut(whole.body.decode(), max_height).encode())


def respond(request: web.BaseRequest, stored: StoredObject) -> web.Response:
    """200, 206, 304 or 416 for `stored`, as the request's conditions ask. aiohttp drops the body of a HEAD itself."""
    asked = request.headers
    headers = base_headers(stored)
    decision = ranges.decide(
        len(stored.body),
        stored.etag,
        if_none_match=",".join(asked.getall(hdrs.IF_NONE_MATCH, ())) or None,
        if_range=asked.get(hdrs.IF_RANGE),
        range_=asked.get(hdrs.RANGE) if stored.ranged else None,
    )
    match decision:
        case ranges.NotModified():
            headers.popall("Content-Type")
            return web.Response(status=304, headers=headers)
        case ranges.Unsatisfiable():
            headers["Content-Range"] = f"bytes */{len(stored.body)}"
            return web.Response(status=416, headers=headers)
        case ranges.Part(first, end):
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(stored.body)}"
            return web.Response(status=206, headers=headers, body=memoryview(stored.body)[first:end])
        case ranges.Whole():
            if stored.gzipped is not None and accepts_gzip(asked.get(hdrs.ACCEPT_ENCODING, "")):
                headers["Content-Encoding"] = "gzip"
                return web.Response(headers=headers, body=stored.gzipped)
            return web.Response(headers=headers, body=stored.body)


def accepts_gzip(header: str) -> bool:
    """Whether Accept-Encoding takes gzip (RFC 9110 section 12.5.3); `*` speaks for what is not named."""
    by_star = False
    for item in header.lower().split(","):
        coding, _, parameters = item.partition(";")
        taken = _NO_WEIGHT.fullmatch(parameters) is None
        match coding.strip():
            case "gzip" | "x-gzip":
                return taken
            case "*":
                by_star = taken
    return by_star
