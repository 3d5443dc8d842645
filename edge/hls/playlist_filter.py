"""Cuts a multivariant playlist or a DASH manifest down to a quality ceiling. Pure text in, pure text out (RFC 8216, 4.3.4)."""

from __future__ import annotations

import re

_MPD_HEIGHT = re.compile(r'<Representation .*height="(\d+)"')
_HEIGHT = re.compile(r"RESOLUTION=\d+x(\d+)")


def below_ceiling(playlist: str, max_height: int) -> str:
    """`playlist` without variants taller than `max_height`; the smallest stays when all are taller."""
    lines = playlist.splitlines()
    heights = [
        int(match.group(1))
        for line in lines
        if line.startswith("#EXT-X-STREAM-INF:") and (match := _HEIGHT.search(line))
    ]
    ceiling = max(max_height, min(heights, default=0))
    kept: list[str] = []
    skip_uri = False
    for line in lines:
        if skip_uri and not line.startswith("#"):
            skip_uri = False
            continue
        match = _HEIGHT.search(line)
        if (
            match
            and int(match.group(1)) > ceiling
            and line.startswith(("#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:"))
        ):
            skip_uri = line.startswith("#EXT-X-STREAM-INF:")
            continue
        kept.append(line)
    return "\n".join(kept) + "\n"


def manifest_below_ceiling(manifest: str, max_height: int) -> str:
    """`manifest` without taller Representations, each of which is one line; the smallest stays when all are taller."""
    lines = manifest.splitlines()
    found = [(_MPD_HEIGHT.search(line), line) for line in lines]
    ceiling = max(max_height, min((int(match.group(1)) for match, _ in found if match), default=0))
    return "\n".join(line for match, line in found if match is None or int(match.group(1)) <= ceiling) + "\n"
