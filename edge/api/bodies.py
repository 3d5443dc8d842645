"""Request bodies: read within a bound, decoded to the field, refused with the field's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from core.errors import BAD_FIELD, BAD_JSON, BODY_TOO_LARGE, UNSUPPORTED_TYPE, Fault, Refusal

T = TypeVar("T", bound=msgspec.Struct)

MAX_JSON_BYTES = 64 * 1024
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The whole body, which arriving.py has received already when it was to be. Raises Refusal 413 when it is larger."""
    if (request.content_length or 0) > limit_bytes:
        raise Refusal(BODY_TOO_LARGE, f"At most {limit_bytes} bytes.")
    body = await request.read()
    if len(body) > limit_bytes:
        raise Refusal(BODY_TOO_LARGE, f"At most {limit_bytes} bytes.")
    return body


async def read_struct(request: web.Request, kind: type[T], *, optional: bool = False) -> T:
    """The JSON body as `kind`; an absent one is `{}` when `optional`. Raises Refusal 400, 413, 415, 422."""
    body = await read_body(request, MAX_JSON_BYTES)
    if optional and not body.strip():
        body = b"{}"
    elif request.content_type not in ("application/json", "text/plain", "application/octet-stream"):
        raise Refusal(UNSUPPORTED_TYPE, hint="Send application/json.")
    return decode_struct(body, kind)


def decode_struct(body: bytes, kind: type[T]) -> T:
    """`body` as `kind`. Raises Refusal: PS101 for no JSON, PS102 naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong_field(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(BAD_JSON) from error


def struct_of(texts: Mapping[str, str], kind: type[T]) -> T:
    """The parameters of an address as `kind`, each text read as its field's type. Raises Refusal PS102."""
    try:
        return msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong_field(error, "query") from error


def _wrong_field(error: msgspec.ValidationError, whole: str) -> Refusal:
    text = str(error)
    match = _PATH.search(text)
    why = _PATH.sub("", text)
    path = match.group(1) if match else ""
    if missing := _MISSING.search(why):
        path = f"{path}.{missing.group(1)}".removeprefix(".")
    return Refusal(BAD_FIELD, f"{path or whole}: {why}", faults=(Fault(path or whole, why),))
