"""Secrets at rest: sealed with the key ring, so that whoever copies the database has none of them.

AES-256-GCM under a key derived from one of the ring's. What it is sealed for is authenticated with it: a sealed text that
is moved to another row opens nothing.
"""

from __future__ import annotations

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
        raise Unsealable(f"key {key_id} is not in the ring")
    try:
        return _cipher(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        raise Unsealable(f"it does not open with key {key_id}") from None


def _cipher(key: Key) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key.secret))
