"""Cuts a multivariant playlist down to a quality ceiling. Pure text in, pure text out (RFC 8216 section 4.3.4)."""

from __future__ import annotations

import re

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
