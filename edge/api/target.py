"""The request target and its forms (RFC 9112 section 3.2): which host is asked, for what path, and the ids in it."""

from __future__ import annotations

import re
from uuid import UUID

from core.errors import BAD_ID, Fault, Refusal

_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def host_of(target: str) -> str | None:
    """The host that an absolute form names, which stands in place of the Host header's (section 3.2.2); None in other forms."""
    match = _ABSOLUTE.match(target)
    return None if match is None else match[1]


def path_of(target: str) -> str:
    """The path as it came, not decoded and without a query: `/` when an absolute form has none."""
    if target[:1] == "/":
        return target.partition("?")[0]
    return _ABSOLUTE.sub("", target, count=1).partition("?")[0] or "/"


def parse_id(text: str, path: str) -> UUID:
    """`text` as a UUID in its usual 36-character form; refuses everything else, naming `path`."""
    if len(text) == 36:
        try:
            return UUID(text)
        except ValueError:
            pass
    raise Refusal(BAD_ID, f"{path} is not a UUID.", faults=(Fault(path, "must be a UUID"),))
