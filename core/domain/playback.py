"""Playback: pressing play and coming back. What a grant needs to know, and what it leaves behind.

Knows no token format and no Redis. Resume points and views are written by the drain, never by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from core.database import Database, Row, Tx, as_read
from core.domain.context import Context, Table
from core.domain.playback_resume import END_SHARE, FreshPoint, decide_standing
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain", "playback.sql")
_ENTITLEMENT = as_read(SQL["entitlement_get"])

# TABLES
# Which session wrote last, and its order, is the fold's own bookkeeping.
TABLES = (
    Table(
        "watch_progress",
        hidden=frozenset(
            {"session_id", "session_at", "seq", "beat_at", "newest_ms", "settled_ms", "settled_at", "settled_seq"}
        ),
    ),
    Table("playlist_progress", hidden=frozenset({"watched_at"})),
    Table("content_views"),
    Table("content_view_hours"),
    Table("content_view_days"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})

# RULES
# Reopening something seen to its end starts over; so does one left within its first seconds.
RESUME_FROM_MS = 1_000


def decide_resume_ms(position_ms: int | None, duration_ms: int, *, is_completed: bool) -> int:
    """Where to begin: the last point, or the start when there is none, it is trivial, or all has been seen."""
    if position_ms is None or position_ms < RESUME_FROM_MS:
        return 0
    if is_completed and position_ms >= duration_ms * END_SHARE:
        return 0
    return min(position_ms, max(0, duration_ms - 1_000))


# COMMANDS
COMMANDS: Mapping[str, type] = MappingProxyType({})

# HANDLERS
HANDLERS: Mapping[type, object] = MappingProxyType({})

CONTEXT = Context("playback", TABLES, STATES)


@dataclass(frozen=True, slots=True)
class Playable:
    """A title that can be played now, and where the viewer stands in it."""

    title: str
    content_type: str
    generation: int
    duration_ms: int
    has_thumbnails: bool
    resume_ms: int
    is_completed: bool


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One press of play, as stored."""

    session_id: UUID
    user_id: UUID | None
    content_id: UUID
    playlist_id: UUID | None
    device_id: str
    device_type: str | None
    ip_address: str | None
    created_at: datetime
    expires_at: datetime
    token_digest: bytes
    listener_id: str | None = None
    """Kept of a podcast's episode alone."""


async def entitlement(database: Database, viewer: Viewer, user_id: UUID | None, content_id: UUID, now: datetime) -> Row:
    """allowed, reason, until, max_height, max_streams. One round trip: playing asks it once a minute for every session."""
    row = await database.read(viewer, _ENTITLEMENT, (user_id, content_id, now))
    assert row is not None
    return row


async def playable(tx: Tx, content_id: UUID, user_id: UUID | None, fresh: FreshPoint | None = None) -> Playable | None:
    """The title, if it has a published generation. `fresh`: where the person is known to be besides the tables."""
    row = await tx.one(SQL["playable_get"], content_id, user_id)
    if row is None:
        return None
    stands = decide_standing(row, fresh)
    return Playable(
        title=row["title"],
        content_type=row["content_type"],
        generation=row["generation"],
        duration_ms=row["duration_ms"],
        has_thumbnails=row["has_thumbnails"],
        resume_ms=decide_resume_ms(
            stands.position_ms if stands else None,
            row["duration_ms"],
            is_completed=stands is not None and stands.is_completed,
        ),
        is_completed=stands is not None and stands.is_completed,
    )


async def open_session(tx: Tx, session: OpenSession) -> None:
    """Stores the session and its token's digest."""
    await tx.run(
        SQL["session_open"],
        session.session_id,
        session.user_id,
        session.content_id,
        session.playlist_id,
        session.device_id,
        session.device_type,
        session.ip_address,
        session.created_at,
        session.expires_at,
        session.token_digest,
        session.listener_id,
    )


async def next_episode(tx: Tx, content_id: UUID, playlist_id: UUID | None) -> Row | None:
    """content_id, title, playlist_id, season_number, episode_number of what follows."""
    return await tx.one(SQL["next_episode_get"], content_id, playlist_id)
