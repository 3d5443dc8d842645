"""The key ring: secrets oldest to newest, checked once, handed to every signer.

A key's text is `id:secret`; the id is visible in what it signs, so a verifier knows at once whether it holds the key.
Signing uses the newest, verifying takes any: add a key everywhere, let it sign, retire the old one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MIN_SECRET_BYTES = 32
_KEY_ID = re.compile(r"^[a-z0-9]{1,8}$")


@dataclass(frozen=True, slots=True)
class Key:
    """One secret and the short id it is known by."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class KeyRing:
    """At least one key, oldest first, ids unique."""

    keys: tuple[Key, ...]

    @property
    def newest(self) -> Key:
        """The key that signs."""
        return self.keys[-1]

    def get(self, key_id: str) -> Key | None:
        """The key known by `key_id`, if it has not been retired."""
        return next((key for key in self.keys if key.id == key_id), None)


def parse_ring(text: str) -> KeyRing:
    """A ring from `id:secret,id:secret`, oldest first. Raises ValueError saying what is wrong, never the secret."""
    keys: list[Key] = []
    for number, part in enumerate(text.split(","), 1):
        key_id, colon, secret = part.strip().partition(":")
        if not colon or not _KEY_ID.match(key_id):
            raise ValueError(f"key {number} is not `id:secret` with an id of 1 to 8 lower-case letters or digits")
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"key {number} ({key_id}) is shorter than {MIN_SECRET_BYTES} bytes")
        if any(key.id == key_id for key in keys):
            raise ValueError(f"key id {key_id} is there twice")
        keys.append(Key(key_id, secret.encode()))
    return KeyRing(tuple(keys))
