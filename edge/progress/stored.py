"""A beat as the drain reads it: its ids stay the text that the stream has.

To make five UUID objects takes 4.5 us of the 5.2 us that decoding a beat takes, and PostgreSQL's driver takes text as well.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from edge.progress.beat import Event

_ID_CHARS = 36
_DASHES_AT = (8, 13, 18, 23)


class StoredBeat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Field by field a `Beat`, packed alike. Nothing in it can refer back to it, so the collector need not look."""

    event_id: str
    session_id: str
    tenant_id: str
    user_id: str | None
    content_id: str
    playlist_id: str | None
    position_ms: int
    duration_ms: int
    watched_ms: int
    event: Event
    seq: int
    at_ms: int
    device_type: str | None
    session_at_ms: int
    is_bot: bool


_decoder = msgspec.msgpack.Decoder(list[StoredBeat])


def read_stored(packed: bytes) -> list[StoredBeat]:
    """A batch as packed into the stream. Raises msgspec.DecodeError or ValidationError, so also for an id that is none."""
    beats = _decoder.decode(packed)
    # Most of them are the same few, and the driver would take a bad one for its own failure.
    ids = {beat.session_id for beat in beats} | {beat.content_id for beat in beats} | {beat.tenant_id for beat in beats}
    perhaps = {beat.user_id for beat in beats} | {beat.playlist_id for beat in beats}
    ids |= {one for one in perhaps if one is not None}
    if not are_ids([beat.event_id for beat in beats]) or not are_ids(ids):
        raise msgspec.ValidationError("an id is not a UUID in lower case")
    return beats


def are_ids(texts: Collection[str]) -> bool:
    """Whether each is a UUID as PostgreSQL writes it. One look at all of them: a regular expression takes 0.4 us for each."""
    joined, count = "".join(texts), len(texts)
    return (
        {len(text) for text in texts} <= {_ID_CHARS}
        and joined.isascii()
        and not joined.encode().translate(None, b"0123456789abcdef-")
        and joined.count("-") == len(_DASHES_AT) * count
        and all(joined[at::_ID_CHARS] == "-" * count for at in _DASHES_AT)
    )
