"""One object as it is sent: body, gzip twin where it pays, validators and headers, all made once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from types import MappingProxyType

from multidict import CIMultiDict

from edge.hls.address import CONTENT_TYPES

# A URL with a token in it is one viewer's: a shared cache could serve nobody else from it, and would outlive a revocation.
PRIVATE = "private, max-age=300"
IMMUTABLE = "private, max-age=31536000, immutable"
SHARED = "public, max-age=31536000, immutable"
NO_STORE = "no-store"
GROWING = "/event.m3u8"
"""How the name of the only objects that change ends: playlists of a generation that is still being encoded."""

CACHING = MappingProxyType(
    {
        "m3u8": PRIVATE,
        "mpd": PRIVATE,
        "mp4": IMMUTABLE,
        "m4s": IMMUTABLE,
        "vtt": IMMUTABLE,
        "jpg": IMMUTABLE,
        "key": NO_STORE,
    }
)
TEXT = frozenset({"m3u8", "mpd", "vtt"})
OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Immutable; shared by every viewer."""

    body: bytes
    gzipped: bytes | None
    etag: str
    content_type: str
    cache_control: str
    ranged: bool

    @property
    def size_bytes(self) -> int:
        """What it costs to keep."""
        return len(self.body) + len(self.gzipped or b"") + OVERHEAD_BYTES


def prepare(name: str, body: bytes, caching: str | None = None) -> StoredObject:
    """The object called `name`, ready to send. Playlists are gzipped once (Apple's authoring rule 10.1).

    What lies under a name never changes, so the tag is the name's: hashing a 200 kB body took longer than reading it.
    """
    suffix = name.partition("?")[0].rpartition(".")[2]
    text = suffix in TEXT
    tag = f'"{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}"'
    return StoredObject(
        body=body,
        gzipped=gzip.compress(body, 9, mtime=0) if text else None,
        # Plain and gzipped are two forms of one thing: only a weak tag may name both (RFC 9110 section 8.8.3.3).
        etag=f"W/{tag}" if text else tag,
        content_type=CONTENT_TYPES[suffix],
        cache_control=caching or CACHING[suffix],
        # gzip and byte ranges together are ill-defined (RFC 9110 section 14.2): text is sent whole.
        ranged=not text,
    )


def base_headers(stored: StoredObject) -> CIMultiDict[str]:
    """The headers every answer with this object carries, whatever its status."""
    headers = CIMultiDict(
        {
            "Content-Type": stored.content_type,
            "Cache-Control": stored.cache_control,
            "ETag": stored.etag,
            "Accept-Ranges": "bytes" if stored.ranged else "none",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Content-Length, Content-Range, Date, ETag",
            "Timing-Allow-Origin": "*",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
    )
    if stored.gzipped is not None:
        headers["Vary"] = "Accept-Encoding"
    return headers
