"""How many bytes of a request are still to come, as far as we can vouch for it: counted beside aiohttp's parser, never guessed."""

from __future__ import annotations

import re

UNKNOWN = -1
"""From here on, for good: the connection stays in the slow lane."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]{1,15})(?=\r\n)", re.IGNORECASE)
_ODD_FRAMING = re.compile(
    rb"\r\n(?:transfer-encoding|upgrade|expect)[^a-z0-9-]|\r\ncontent-length(?!: [0-9]{1,15}\r\n)"
    rb"|\r\n[ \t]|[^\r]\n|\r[^\n]",
    re.IGNORECASE,
)


def _is_bare(head: bytes) -> bool:
    """Whether `head` has nothing that either pattern could find: 1 us, where the patterns take 17."""
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        return False
    lower = head.lower()
    return not (
        b"\r\ncontent-length" in lower
        or b"\r\ntransfer-encoding" in lower
        or b"\r\nupgrade" in lower
        or b"\r\nexpect" in lower
        or b"\r\n " in lower
        or b"\r\n\t" in lower
    )


def after(owed: int, data: bytes, *, between: bool) -> tuple[int, bytes | None, bytes | None]:
    """What is owed after one more chunk; if that was one whole request without a body, its header block; and if it began, or was,
    a post with one, its head.

    `owed`: what was owed before it. `between`: aiohttp is between two requests.
    """
    if owed < 0:
        return UNKNOWN, None, None
    if owed > 0:
        # Between requests, with a body owed: the parser sees the body elsewhere than we do.
        return (owed - len(data) if len(data) <= owed and not between else UNKNOWN), None, None
    end = data.find(_HEAD_END)
    if end < 0:
        return UNKNOWN, None, None
    lengths: list[bytes] = []
    if not _is_bare(data[: end + 4]):
        lengths = _LENGTH.findall(data, 0, end + 2)
        if len(lengths) > 1 or _ODD_FRAMING.search(data, 0, end + 4):
            return UNKNOWN, None, None
    body_bytes = int(lengths[0]) if lengths else 0
    rest = end + 4 + body_bytes - len(data)
    if rest < 0:
        return UNKNOWN, None, None
    if body_bytes == 0:
        return 0, data[data.find(b"\r\n") + 2 :], None
    return rest, None, data[: end + 4] if data.startswith(b"POST ") else None
