"""The built pages: a closed list of files, read once at start, so no request ever names a path on disk."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import hdrs, web

from edge.api.conditions import check_if_match
from edge.hls.delivery import accepts_gzip
from edge.hls.ranges import matches

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob: data:; "
    "worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
PAGES = (
    "/",
    "/watch/{content_id}",
    "/studio",
    "/studio/jobs",
    "/studio/jobs/{job_id}",
    "/sign-in",
    "/recover",
    "/new-password",
    "/account",
    "/invitations",
    "/families/invitations",
)
_MACHINES = re.compile(r"/(?:assets|auth|docs|healthz|hls|me|metrics|play|progress|readyz|rest|storage)(?:/|$)")
"""Below these nothing is a page: a wrong address there is told in JSON, to a browser too."""
NOT_BUILT = b"<!doctype html><title>Penstock</title><p>The pages are not built. Run <code>./penstock up</code> once from the checkout."


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to send."""

    body: bytes
    gzipped: bytes | None
    content_type: str
    etag: str


class SiteFace:
    """Serves web/dist and /config.json."""

    def __init__(self, dist: Path, config: dict[str, str]) -> None:
        self._config = orjson.dumps(config)
        self._assets = {
            f"/{path.relative_to(dist).as_posix()}": asset_of(path.name, path.read_bytes())
            for path in sorted(dist.rglob("*"))
            if path.is_file() and path.name[0] != "."
        }
        # Its name holds the digest of what is in it. Whatever asks unasked (old browsers, readers of feeds) asks at the root.
        icons = (asset for path, asset in self._assets.items() if fnmatch(path, "/assets/favicon-*.svg"))
        self._icon = next(icons, None)
        self._index = self._assets.get("/index.html") or Asset(NOT_BUILT, None, "text/html; charset=utf-8", '"unbuilt"')

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes of this face."""
        return [
            _Elsewhere(self.lost),
            *(web.get(page, self.page) for page in PAGES),
            web.get("/config.json", self.config),
            *([] if self._icon is None else [web.get("/favicon.ico", self.icon)]),
            *(web.get(path, self.asset) for path in self._assets if path != "/index.html"),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """The one document that every client-side route starts from."""
        response = send_asset(request, self._index, "no-cache")
        response.headers["Content-Security-Policy"] = CSP
        return response

    async def lost(self, _: web.Request) -> web.Response:
        """The document for an address that is none: the page says so, and so does the status."""
        response = web.Response(
            status=404, body=self._index.body, headers={hdrs.CONTENT_TYPE: self._index.content_type}
        )
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.headers["Content-Security-Policy"] = CSP
        return response

    async def asset(self, request: web.Request) -> web.Response:
        """A hashed file is immutable; another is revalidated."""
        return send_asset(
            request,
            self._assets[request.path],
            "public, max-age=31536000, immutable" if request.path.startswith("/assets/") else "no-cache",
        )

    async def icon(self, request: web.Request) -> web.Response:
        """The site's icon, where it is looked for without a page."""
        assert self._icon is not None
        return send_asset(request, self._icon, "public, max-age=86400")

    async def config(self, request: web.Request) -> web.Response:
        """What the pages need to know of this installation."""
        return web.Response(
            body=self._config, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-cache"}
        )


class _Wherever(web.DynamicResource):
    """Every path, for a person's browser: whoever else errs, or errs where machines talk, is told in JSON."""

    async def resolve(self, request: web.Request) -> Any:
        is_visit = request.method == hdrs.METH_GET and "text/html" in request.headers.get(hdrs.ACCEPT, "")
        return await super().resolve(request) if is_visit and not _MACHINES.match(request.path) else (None, set())


@dataclass(frozen=True)
class _Elsewhere(web.AbstractRouteDef):
    """Asked after every route with a first part of its own, wherever it is named; `/` is none of its paths."""

    handler: Any

    def register(self, router: web.UrlDispatcher) -> list[web.AbstractRoute]:
        resource = _Wherever("/{path:.+}")
        router.register_resource(resource)
        return [resource.add_route(hdrs.METH_GET, self.handler)]


def asset_of(name: str, body: bytes) -> Asset:
    """`body` ready to send, its type told by its name."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in ("application/javascript", "application/json", "image/svg+xml"):
        kind += "; charset=utf-8"
        small = _gzipped(body)
    else:
        small = None
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    # Plain and gzipped are two forms of one thing: only a weak tag may name both (RFC 9110 section 8.8.3.3).
    return Asset(body, small, kind, tag if small is None else f"W/{tag}")


@lru_cache(maxsize=64)
def _gzipped(body: bytes) -> bytes:
    """Once a process, however many edges it opens: 40 ms for all pages."""
    return gzip.compress(body, 9, mtime=0)


def send_asset(request: web.Request, asset: Asset, caching: str) -> web.Response:
    """`asset` as an answer, or 304."""
    headers = {
        hdrs.CACHE_CONTROL: caching,
        hdrs.ETAG: asset.etag,
        hdrs.VARY: "Accept-Encoding",
        # Said to everybody: a shared cache gives one site what it was given for another, or for none.
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    }
    check_if_match(request, asset.etag)
    if matches(",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ())), asset.etag):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = asset.content_type
    if asset.gzipped is not None and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=asset.gzipped, headers=headers)
    return web.Response(body=asset.body, headers=headers)
