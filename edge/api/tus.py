"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): headers in and out, and the metadata's grammar. No IO."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from core.errors import BAD_REQUEST, BODY_TOO_LARGE, PRECONDITION_FAILED, Fault, Refusal, bad_field

Headers = CIMultiDictProxy[str]

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination,checksum"
MAX_SIZE_BYTES = 64 * 1024**3
CHUNK_TYPE = "application/offset+octet-stream"
CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "md5": hashlib.md5}

_METADATA_KEY = re.compile(r"[A-Za-z0-9_\-]{1,64}")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a chunk's bytes must hash to."""

    algorithm: str
    digest: bytes


def require_version(headers: Headers) -> None:
    """412 unless the client speaks our version (section "Tus-Resumable")."""
    if headers.getall("Tus-Resumable", []) != [VERSION]:
        raise Refusal(PRECONDITION_FAILED, f"Send `Tus-Resumable: {VERSION}`.", data={"supported": [VERSION]})


def number(headers: Headers, name: str) -> int:
    """A whole number from a header that comes once, 0 to 2^53."""
    texts = headers.getall(name, [])
    if len(texts) != 1 or not (texts[0].isascii() and texts[0].isdigit() and len(texts[0]) <= 16):
        why = "must be given once" if len(texts) > 1 else "must be a whole number"
        raise Refusal(BAD_REQUEST, f"{name} {why}.", faults=(Fault(name, why),))
    return int(texts[0])


def upload_length(headers: Headers) -> int:
    """The size of the whole file. 413 when it is more than we take."""
    length = number(headers, "Upload-Length")
    if length > MAX_SIZE_BYTES:
        raise Refusal(
            BODY_TOO_LARGE, f"At most {MAX_SIZE_BYTES} bytes.", faults=(Fault("Upload-Length", "is too large"),)
        )
    return length


def metadata(header: str) -> dict[str, str]:
    """Upload-Metadata: `key base64,key base64`; a key alone has an empty value."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        if not _METADATA_KEY.fullmatch(key) or key in found:
            raise bad_field("Upload-Metadata", f"{key[:64]!r} is not a key, or is there twice")
        try:
            found[key] = b64decode(value, validate=True).decode("utf-8")
        except ValueError as error:  # also for what is not ASCII, and so no base64
            raise bad_field(f"Upload-Metadata.{key}", "is not base64 of UTF-8") from error
    return found


def checksum(header: str | None) -> Checksum | None:
    """Upload-Checksum: `sha256 base64`. 400 for an algorithm that is not known (section "Checksum")."""
    if header is None:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in CHECKSUMS:
        raise Refusal(
            BAD_REQUEST,
            "Upload-Checksum names an unknown algorithm.",
            f"Known are {', '.join(CHECKSUMS)}.",
            faults=(Fault("Upload-Checksum", "unknown algorithm"),),
        )
    try:
        return Checksum(algorithm, b64decode(value, validate=True))
    except ValueError as error:
        raise bad_field("Upload-Checksum", "is not base64") from error
