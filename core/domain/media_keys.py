"""The keys of encrypted generations: kept sealed, handed out by the edge alone, sealed anew when the key ring turns.

A generation has one key for as long as it exists. Knows no cipher of segments and no playlists.
"""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_bytes
from uuid import UUID

from core.database import Tx
from core.domain.sealing import Unsealable, seal, unseal
from core.keys import KeyRing
from core.queries import load

SQL = load("core.domain", "media_keys.sql")
KEY_BYTES = 16
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A generation's key as it is stored; `ring_key_id` names what it was sealed with."""

    sealed: bytes
    ring_key_id: str


def new_key() -> bytes:
    """A fresh AES-128 key."""
    return token_bytes(KEY_BYTES)


def seal_key(ring: KeyRing, key: bytes, store_prefix: str) -> SealedKey:
    """Seals a generation's key for where its objects lie."""
    return SealedKey(seal(ring.newest, key, store_prefix), ring.newest.id)


def open_key(ring: KeyRing, stored: SealedKey, store_prefix: str) -> bytes:
    """The key itself. Raises Unsealable."""
    return unseal(ring, stored.ring_key_id, stored.sealed, store_prefix)


async def store_key(tx: Tx, generation_id: UUID, stored: SealedKey) -> None:
    """Keeps the key of a generation that is being published."""
    await tx.run(SQL["generation_key_insert"], generation_id, stored.sealed, stored.ring_key_id)


async def find_key(tx: Tx, content_id: UUID, number: int) -> tuple[SealedKey, str] | None:
    """The sealed key of a generation that may be played, and its prefix; None when it has none."""
    row = await tx.one(SQL["generation_key_get"], content_id, number)
    return None if row is None else (SealedKey(row["sealed"], row["ring_key_id"]), row["store_prefix"])


async def renew_seals(tx: Tx, ring: KeyRing) -> tuple[int, list[UUID]]:
    """Seals with the newest key what others sealed, so that those may be retired; how many, and which cannot be opened."""
    renewed, lost = 0, list[UUID]()
    for row in await tx.many(SQL["generation_keys_older"], ring.newest.id, _AT_ONCE):
        try:
            key = open_key(ring, SealedKey(row["sealed"], row["ring_key_id"]), row["store_prefix"])
        except Unsealable:
            lost.append(row["generation_id"])
            continue
        fresh = seal_key(ring, key, row["store_prefix"])
        await tx.run(
            SQL["generation_key_renew"], row["generation_id"], row["ring_key_id"], fresh.sealed, fresh.ring_key_id
        )
        renewed += 1
    return renewed, lost
