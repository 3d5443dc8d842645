"""What lies under /hls/{token}/: the one canonical form of a media address, everything else refused before any look-up.

Pure. The raw path is matched, not the percent-decoded one: a name we made needs no decoding, so `%2e`, `%2f`, `%00`,
doubled slashes, backslashes and overlong UTF-8 have no form here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_ADDRESS = re.compile(
    r"/hls/([A-Za-z0-9_.\-]{1,400})/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/([1-9][0-9]{0,8})"
    r"/((?:[A-Za-z0-9_\-]{1,64}/){0,3}[A-Za-z0-9_\-]{1,64}\.(?:m3u8|mp4|m4s|vtt|jpg|mpd|key))"
)

CONTENT_TYPES = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mp4": "video/mp4",
    "m4s": "video/iso.segment",
    "vtt": "text/vtt; charset=utf-8",
    "jpg": "image/jpeg",
    "mpd": "application/dash+xml",
    "key": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Token, content, generation number and the object's name inside the generation."""

    token: str
    content_id: UUID
    generation: int
    name: str

    @property
    def suffix(self) -> str:
        """What kind of object it is: m3u8, mp4, m4s, vtt, jpg, mpd or key."""
        return self.name.rpartition(".")[2]


def parse(raw_path: str) -> Address | None:
    """The address in `raw_path` (no query), or None when it is not one of ours to the letter."""
    match = _ADDRESS.fullmatch(raw_path)
    if match is None:
        return None
    token, content, generation, name = match.groups()
    return Address(token, UUID(content), int(generation), name)
