"""A beat as the drain reads it: its ids stay the text that the stream has.

To make five UUID objects takes 4.5 us of the 5.2 us that decoding a beat takes, and PostgreSQL's driver takes text as well.
"""

from __future__ import annotations

import re

import msgspec

from edge.progress.beat import Event

_IDS = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})*", re.ASCII)


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
    # One look at all of them: most are the same few, and the driver would take a bad one for its own failure.
    ids = {beat.session_id for beat in beats} | {beat.content_id for beat in beats} | {beat.tenant_id for beat in beats}
    ids |= {beat.user_id or "" for beat in beats} | {beat.playlist_id or "" for beat in beats}
    if not _IDS.fullmatch("".join([beat.event_id for beat in beats])) or not _IDS.fullmatch("".join(ids)):
        raise msgspec.ValidationError("an id is not a UUID in lower case")
    return beats
