"""Many beats into few rows: the newest position per person and title, the watched time per session. Pure.

Order is (session's start, seq): a later session beats an earlier one whatever arrived last, and within a session the
client's own count decides. A session's id is a UUIDv7 of ours, so it carries its start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from edge.progress.beat import Beat

COMPLETE_SHARE = 0.95
COMPLETE_TAIL_MS = 30_000
COMPLETE_TAIL_SHARE = 0.10


@dataclass(slots=True)
class Position:
    """Where one person stands in one title."""

    newest: Beat
    watched_ms: int
    completed: bool


@dataclass(slots=True)
class Watched:
    """What one session has played, and when it last said so."""

    beat: Beat
    watched_ms: int
    last_at_ms: int


def session_start_ms(session_id: UUID, at_ms: int) -> int:
    """When the session began, from its id; never later than the beat itself."""
    return min(session_id.int >> 80, at_ms)


def order_of(beat: Beat) -> tuple[int, int, int]:
    """What "newer" means."""
    return session_start_ms(beat.session_id, beat.at_ms), beat.seq, beat.at_ms


def is_complete(position_ms: int, duration_ms: int, event: str) -> bool:
    """Seen to the end: 95 %, or the last half minute of something of which that is less than a tenth."""
    if duration_ms <= 0:
        return False
    if event == "ended" or position_ms >= duration_ms * COMPLETE_SHARE:
        return True
    has_credits = duration_ms * COMPLETE_TAIL_SHARE >= COMPLETE_TAIL_MS
    return has_credits and position_ms >= duration_ms - COMPLETE_TAIL_MS


def fold_positions(beats: Iterable[Beat]) -> dict[tuple[UUID, UUID], Position]:
    """The newest point by (user, content); guests have none. Whatever the order of `beats`, the result is the same."""
    folded: dict[tuple[UUID, UUID], Position] = {}
    for beat in beats:
        if beat.user_id is None:
            continue
        key = (beat.user_id, beat.content_id)
        complete = is_complete(beat.position_ms, beat.duration_ms, beat.event)
        held = folded.get(key)
        if held is None:
            folded[key] = Position(beat, beat.watched_ms, complete)
            continue
        held.watched_ms += beat.watched_ms
        held.completed = held.completed or complete
        if order_of(beat) > order_of(held.newest):
            held.newest = beat
    return folded


def fold_watched(beats: Iterable[Beat]) -> dict[UUID, Watched]:
    """Watched time by session, guests too."""
    folded: dict[UUID, Watched] = {}
    for beat in beats:
        held = folded.get(beat.session_id)
        if held is None:
            folded[beat.session_id] = Watched(beat, beat.watched_ms, beat.at_ms)
        else:
            held.watched_ms += beat.watched_ms
            held.last_at_ms = max(held.last_at_ms, beat.at_ms)
    return folded
