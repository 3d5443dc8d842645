"""Behind nginx: once a viewer may have a segment, nginx sends the store's file itself (X-Accel-Redirect).

Decides which objects are handed over and what nginx is told about them. Playlists stay ours: they are small, gzipped ahead,
and the master is cut to the viewer's ceiling. Ranges, validators and HEAD of what is handed over are nginx's business.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from edge.hls.address import CONTENT_TYPES
from edge.hls.stored import CACHING

HANDED_OVER = frozenset({"mp4", "m4s", "jpg"})


def hand_over(prefix: str, key: str, suffix: str) -> web.Response:
    """The answer that has nginx send the file `key` of the store from its internal location `prefix`.

    nginx keeps Content-Type and Cache-Control of it and takes the rest from its own configuration.
    """
    return web.Response(
        headers={
            "X-Accel-Redirect": f"{prefix}/{quote(key)}",
            "Content-Type": CONTENT_TYPES[suffix],
            "Cache-Control": CACHING[suffix],
        }
    )
