"""Secrets at rest: sealed with a key that the database does not have, bound to the row they belong to.

AES-256-GCM under a key derived (HKDF-SHA256) from the newest of the sealing ring; a sealed text is `key id.nonce and ciphertext`, so any
key of the ring opens what it once sealed. The ring is apart from the one that signs: signing keys come and go within days.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.keys import Key, KeyRing

NONCE_BYTES = 12


class Unsealable(Exception):  # noqa: N818 - states the fact
    """A sealed text is not of this ring, not of this row, or damaged."""


class Sealer:
    """Seals and opens with one ring."""

    def __init__(self, ring: KeyRing) -> None:
        self._newest = ring.newest.id
        self._ciphers = {key.id: _cipher(key) for key in ring.keys}

    def seal(self, plain: str, *, bound_to: str) -> str:
        """`plain`, to be opened only where the same `bound_to` (such as `webhooks.secret:<id>`) is named."""
        nonce = os.urandom(NONCE_BYTES)
        body = nonce + self._ciphers[self._newest].encrypt(nonce, plain.encode(), bound_to.encode())
        return f"{self._newest}.{base64.urlsafe_b64encode(body).decode()}"

    def open(self, sealed: str, *, bound_to: str) -> str:
        """What was sealed. Raises Unsealable."""
        key_id, _, text = sealed.partition(".")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unsealable(f"it was sealed with the key {key_id[:8]!r}, which is not in the ring")
        try:
            body = base64.b64decode(text, altchars=b"-_", validate=True)
            return cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], bound_to.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise Unsealable("it is damaged, or belongs to another row") from error


def _cipher(key: Key) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"penstock sealing v1").derive(key.secret))
