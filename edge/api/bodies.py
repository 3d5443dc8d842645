"""Request bodies: read within a bound, decoded to the field, refused with the field's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from aiohttp import web

from core.errors import BAD_FIELD, BAD_JSON, BODY_TOO_LARGE, UNSUPPORTED_TYPE, Fault, Refusal, bad_field

T = TypeVar("T", bound=msgspec.Struct)

MAX_JSON_BYTES = 64 * 1024
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED = re.compile(r"(?:missing required|contains unknown) field `([^`]{1,100})`")


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
        return storable(msgspec.json.decode(body, type=kind))
    except msgspec.ValidationError as error:
        raise _wrong_field(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(BAD_JSON) from error


def struct_of(texts: Mapping[str, str], kind: type[T]) -> T:
    """The parameters of an address as `kind`, each text read as its field's type. Raises Refusal PS102."""
    try:
        return storable(msgspec.convert(texts, kind, strict=False))
    except msgspec.ValidationError as error:
        raise _wrong_field(error, "query") from error


def storable(asked: T) -> T:
    """`asked` itself. Raises Refusal PS102 naming the field whose value no database of ours can hold."""
    for path, value in _leaves("", asked):
        if isinstance(value, str) and "\0" in value:
            raise bad_field(path, "must not contain NUL")
        if isinstance(value, datetime) and value.tzinfo is not None:
            try:
                value.astimezone(UTC)
            except OverflowError:
                raise bad_field(path, "lies outside the years 1 to 9999 of UTC") from None
    return asked


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Everything inside `value` that has nothing inside it, and the keys of objects, each with its path."""
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield path, name
            yield from _leaves(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for at, inner in enumerate(value):
            yield from _leaves(f"{path}[{at}]", inner)
    else:
        yield path, value


def _wrong_field(error: msgspec.ValidationError, whole: str) -> Refusal:
    text = str(error)
    match = _PATH.search(text)
    why = _PATH.sub("", text)
    path = match.group(1) if match else ""
    if named := _NAMED.search(why):
        path = f"{path}.{named.group(1)}".removeprefix(".")
    return Refusal(BAD_FIELD, f"{path or whole}: {why}", faults=(Fault(path or whole, why),))
