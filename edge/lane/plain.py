"""Which header blocks are plain: nothing in them bears on an answer, its framing or the connection, and nothing hides there."""

from __future__ import annotations

import re

MAX_BLOCK_BYTES = 2048

# A header that could change the answer, its framing or the connection keeps a request out of the lane.
NOT_PLAIN = frozenset(
    {
        b"accept-charset", b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect",
        b"forwarded", b"http2-settings", b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since",
        b"keep-alive", b"max-forwards", b"proxy-connection", b"range", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"via",
        b"x-request-id", b"cmcd-request", b"cmcd-object", b"cmcd-status", b"cmcd-session",
    }
)  # fmt: skip


_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def is_plain(block: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """Whether `block` is one canonical header section with nothing in it that bears on the answer.

    Canonical: `Name: value` lines, one after the other, exactly as parsed. So nothing was folded, trimmed or merged, no
    second request hides behind it, and the same bytes will always be parsed the same way.
    """
    if not headers or len(block) > MAX_BLOCK_BYTES:
        return False
    values = {name.lower(): value for name, value in headers}
    if len(values) != len(headers) or not NOT_PLAIN.isdisjoint(values):
        return False
    # Chromium says keep-alive in every request; in HTTP/1.1 that changes nothing. Any other value does.
    if values.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return False
    if not is_plain_host(values.get(b"host", b"")):
        return False
    return block == b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"


def is_plain_host(host: bytes) -> bool:
    """RFC 9112 section 3.2 asks 400 for a bad Host: only a name or address with an optional port is plain."""
    return _HOST.fullmatch(host) is not None
