"""The playback token: what it says, how it is signed, when it is refused. No IO and no clock of its own.

    k1.<claims, base64url>.<HMAC-SHA256, base64url>

itsdangerous signs; one algorithm, no knobs. Its texts are malleable (a signature decodes the same with its spare bits
changed or `=` appended), so a signature is compared as text with the one text we would have written.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from uuid import UUID

import msgspec
from itsdangerous import Signer

from core.errors import BAD_PLAYBACK_TOKEN, PLAYBACK_EXPIRED, Refusal
from core.keys import Key, KeyRing

FIRST_USE_S = 300
MAX_LIFE_S = 24 * 3600
CLOCK_LEEWAY_S = 5
MAX_TOKEN_CHARS = 400

_SALT = b"penstock playback grant"
_LAYOUT = struct.Struct(">B16s16s16s16s8sIIIH")
_ANYWHERE, _IN_COUNTRY = 1, 2
"""Versions: the second ends in the two letters of a country, the first has none."""
_NOBODY = bytes(16)


class Claims(msgspec.Struct, frozen=True):
    """What a playback token says. Times are whole Unix seconds."""

    session_id: UUID
    tenant_id: UUID
    content_id: UUID
    user_id: UUID | None
    device: bytes
    """First 8 bytes of SHA-256 of the device id."""
    expires_at: int
    first_use_by: int
    duration_ms: int
    max_height: int | None = None
    country: str | None = None
    """Where /play was pressed, as two ASCII letters or digits; only where sessions are bound to it."""


def device_mark(device_id: str) -> bytes:
    """The device as a token carries it."""
    return hashlib.sha256(device_id.encode()).digest()[:8]


def _signer(key: Key) -> Signer:
    derived = Signer(key.secret, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256).derive_key()
    # Derived once: itsdangerous would do it again, a second HMAC, for every token.
    return Signer(derived, salt=_SALT, key_derivation="none", digest_method=hashlib.sha256)


# One title has many viewers.
_uuid_of_many = lru_cache(4096)(lambda raw: UUID(bytes=raw))


class Grants:
    """Issues and verifies playback tokens with a key ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._newest = ring.newest.id
        self._signers = {key.id: _signer(key) for key in ring.keys}

    def issue(self, claims: Claims) -> str:
        """The token that says `claims`. Raises ValueError when they break the contract (more than a day, say)."""
        if not claims.first_use_by <= claims.expires_at:
            raise ValueError("first use must come before the end")
        packed = _LAYOUT.pack(
            _ANYWHERE if claims.country is None else _IN_COUNTRY,
            claims.session_id.bytes,
            claims.tenant_id.bytes,
            claims.content_id.bytes,
            claims.user_id.bytes if claims.user_id else _NOBODY,
            claims.device,
            claims.expires_at,
            claims.first_use_by,
            min(claims.duration_ms, 0xFFFFFFFF),
            claims.max_height or 0,
        )
        if claims.country is not None:
            if len(claims.country) != 2:
                raise ValueError("a country has two letters")
            packed += claims.country.encode("ascii")
        value = f"{self._newest}.{urlsafe_b64encode(packed).rstrip(b'=').decode()}"
        return f"{value}.{self._signers[self._newest].get_signature(value).decode()}"

    def verify(self, token: str, now: float) -> Claims:
        """The claims of `token`, if we signed it and it has not ended.

        Raises Refusal: 401 PS401 when it is not ours to the letter, 410 PS402 when it is past its end. That the first use
        came in time is for the session to say: a token in use outlives its first-use window.
        """
        key_id, _, rest = token.partition(".")
        signer = self._signers.get(key_id)
        if signer is None or len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Refusal(BAD_PLAYBACK_TOKEN)
        value, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), signer.get_signature(value)):
            raise Refusal(BAD_PLAYBACK_TOKEN)
        claims = _unpack(rest[: -len(signature) - 1])
        if now > claims.expires_at + CLOCK_LEEWAY_S:
            raise Refusal(PLAYBACK_EXPIRED)
        return claims


def _unpack(payload: str) -> Claims:
    try:
        packed = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        country = packed[_LAYOUT.size :].decode("ascii") if packed[:1] == bytes([_IN_COUNTRY]) else None
        version, session, tenant, content, user, device, expires_at, first_use_by, duration_ms, height = _LAYOUT.unpack(
            packed if country is None else packed[: _LAYOUT.size]
        )
    except (struct.error, ValueError) as error:  # what is no base64 is a ValueError, too
        raise Refusal(BAD_PLAYBACK_TOKEN) from error
    if version not in (_ANYWHERE, _IN_COUNTRY):
        raise Refusal(BAD_PLAYBACK_TOKEN)
    return Claims(
        UUID(bytes=session),
        _uuid_of_many(tenant),
        _uuid_of_many(content),
        None if user == _NOBODY else UUID(bytes=user),
        device,
        expires_at,
        first_use_by,
        duration_ms,
        height or None,
        country,
    )


def digest(token: str) -> bytes:
    """What `streaming_tokens` keeps instead of the token."""
    return hashlib.sha256(token.encode()).digest()
