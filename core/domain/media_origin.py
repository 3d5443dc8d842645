"""The generation that a repackaging starts from: what players are given now. Its pictures and sounds are taken over as they are."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from core.database import Tx
from core.domain.media_keys import SealedKey
from core.domain.media_results import Rendition
from core.queries import load

SQL = load("core.domain", "media_origin.sql")


@dataclass(frozen=True, slots=True)
class Origin:
    """A whole generation in the store; `renditions` without its subtitles, `key` of an encrypted one."""

    store_prefix: str
    checksum: str
    duration_ms: int
    width: int | None
    height: int | None
    has_audio: bool
    renditions: tuple[Rendition, ...]
    key: SealedKey | None


async def find_origin(tx: Tx, content_id: UUID) -> Origin | None:
    """What players are given of a title; None when that is nothing, still grows, or has no picture to put words on."""
    row = await tx.one(SQL["origin_get"], content_id)
    if row is None:
        return None
    renditions = tuple(Rendition(**dict(one)) for one in await tx.many(SQL["origin_renditions"], row["id"]))
    key = SealedKey(row["sealed"], row["ring_key_id"]) if row["sealed"] is not None else None
    return Origin(
        row["store_prefix"], row["checksum"], row["duration_ms"], row["width"], row["height"], row["has_audio"], renditions,
        key,
    )  # fmt: skip
