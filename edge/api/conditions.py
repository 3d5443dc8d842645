"""Conditions of a request that ask for a refusal: `If-Match` (RFC 9110 section 13.1.1)."""

from __future__ import annotations

from aiohttp import hdrs, web

from core.errors import PRECONDITION_FAILED, Fault, Refusal


def check_if_match(request: web.BaseRequest, etag: str = "", hint: str | None = None) -> None:
    """Passes when the request has no If-Match, or one that `*` or the tag of what is there fulfils.

    The comparison is the strong one: a weak tag, or none at all (""), is matched by `*` alone. Raises Refusal PS112.
    """
    lines = request.headers.getall(hdrs.IF_MATCH, ())
    if not lines:
        return
    tags = {tag.strip() for tag in ",".join(lines).split(",")}
    if "*" in tags or (etag and not etag.startswith("W/") and etag in tags):
        return
    raise Refusal(PRECONDITION_FAILED, None, hint, faults=(Fault("If-Match", "names another state"),))
