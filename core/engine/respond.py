"""From what came back to what is answered: status, headers, body.

Decides 200, 206, 304, 406 and 416 by PostgREST's rules, and the entity tag. Knows no HTTP library and no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import quote

import orjson

from core.engine.request import EVERYTHING, Format, ReadRequest
from core.errors import NOT_SINGULAR, RANGE_UNSATISFIABLE, Refusal

CONTENT_TYPES: Mapping[Format, str] = {
    "array": "application/json; charset=utf-8",
    "object": "application/vnd.pgrst.object+json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
# A row depends on who asks: only the asker's own cache may keep it, and asks again each time.
_CACHING = {
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization, apikey, X-Penstock-Tenant, Accept, Accept-Encoding, Prefer, Range",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def respond(
    request: ReadRequest, body: bytes, row_count: int, total: int | None, *, cursor: str | None = None
) -> Answer:
    """The answer to a read that gave `row_count` rows, of `total` if that was asked for.

    Raises Refusal NOT_SINGULAR when one object was wanted and there is none, or more.
    """
    if request.format == "object" and row_count != 1:
        raise Refusal(NOT_SINGULAR, details=f"The result contains {row_count} rows")
    window = request.windows.get((), EVERYTHING)
    rows = content_range(window.offset, row_count, total)
    if total is not None and window.offset > total:
        details = f"An offset of {window.offset} was requested, but there are only {total} rows."
        refusal = Refusal(RANGE_UNSATISFIABLE, details=details)
        headers = {"Content-Type": CONTENT_TYPES["array"], "Content-Range": rows}
        return Answer(refusal.code.status, headers, orjson.dumps(refusal.body()))
    headers = {"Content-Range": rows, **_CACHING}
    if request.applied:
        headers["Preference-Applied"] = ", ".join(request.applied)
    if cursor is not None:
        headers["Next-Cursor"] = cursor
    # Weak: the same rows may travel compressed.
    tag = blake2b(body, digest_size=16, key=f"{request.format} {rows}".encode()[:64]).hexdigest()
    headers["ETag"] = f'W/"{tag}"'
    headers["Content-Type"] = CONTENT_TYPES[request.format]
    return Answer(206 if total is not None and row_count < total else 200, headers, body)


def conditional(answer: Answer, if_none_match: str) -> Answer:
    """The answer, or 304 for who has it already (RFC 9110 section 13.1.2)."""
    tag = answer.headers.get("ETag", "")[-33:-1]
    if not tag or (if_none_match.strip() != "*" and tag not in {t.strip()[-33:-1] for t in if_none_match.split(",")}):
        return answer
    return Answer(304, {name: value for name, value in answer.headers.items() if name != "Content-Type"}, b"")


def content_range(offset: int, row_count: int, total: int | None) -> str:
    """The Content-Range of `row_count` rows from `offset` on."""
    rows = f"{offset}-{offset + row_count - 1}" if row_count else "*"
    return f"{rows}/{'*' if total is None else total}"


def key_filter(key: Mapping[str, str]) -> str:
    """The query that names one row by its primary key."""
    return "&".join(f"{quote(name)}=eq.{quote(value, safe='')}" for name, value in key.items())
