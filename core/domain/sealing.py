"""Secrets at rest: sealed with a key that the database does not have, bound to what they belong to.

AES-256-GCM under a key derived (HKDF-SHA256) from one of a ring's. What a secret is sealed for is authenticated with it: a
sealed text that is moved to another row opens nothing.
"""

from __future__ import annotations

import base64
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.keys import Key, KeyRing

_PURPOSE = b"penstock sealed at rest"
_NONCE_BYTES = 12


class Unsealable(Exception):  # noqa: N818 - states the fact
    """It was sealed with a key that is no longer in the ring, for something else, or is damaged."""


def seal(key: Key, secret: bytes, purpose: str) -> bytes:
    """`secret`, to be opened for `purpose` alone by whoever has `key`."""
    nonce = token_bytes(_NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, secret, purpose.encode())


def unseal(ring: KeyRing, key_id: str, sealed: bytes, purpose: str) -> bytes:
    """What was sealed with the ring's key `key_id`. Raises Unsealable."""
    key = ring.get(key_id)
    if key is None:
        raise Unsealable(f"it was sealed with the key {key_id[:8]!r}, which is not in the ring")
    try:
        return _cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        raise Unsealable("it is damaged, or belongs to another row") from None


class Sealer:
    """Texts that carry the name of their key, `key id.nonce and ciphertext`: any key of the ring opens what it once sealed."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, plain: str, *, bound_to: str) -> str:
        """`plain`, to be opened only where the same `bound_to` (such as `webhooks.secret:<id>`) is named."""
        newest = self._ring.newest
        return f"{newest.id}.{base64.urlsafe_b64encode(seal(newest, plain.encode(), bound_to)).decode()}"

    def open(self, sealed: str, *, bound_to: str) -> str:
        """What was sealed. Raises Unsealable."""
        key_id, _, text = sealed.partition(".")
        try:
            body = base64.urlsafe_b64decode(text)
        except ValueError as error:
            raise Unsealable("it is damaged") from error
        # The decoder takes "+" for "-", skips what it does not know and overlooks bits at the end.
        if base64.urlsafe_b64encode(body).decode() != text:
            raise Unsealable("it is damaged")
        return unseal(self._ring, key_id, body, bound_to).decode()


def _cipher(key: Key) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key.secret))
