"""Where a person stands: resume points, what to go on with, what was watched. What is on its way to the tables counts.

Knows no Redis: what is fresher than the rows is handed in. Its owner must have read that before it opens the transaction,
or a beat that is written in between is seen by neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from core.database import Row, Tx
from core.queries import load

SQL = load("core.domain", "playback_resume.sql")

NEAR_MS = 30_000
END_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class FreshPoint:
    """A position as a beat gave it, that may not be in the tables yet. Times are Unix milliseconds."""

    session_id: UUID
    session_at_ms: int
    seq: int
    at_ms: int
    position_ms: int
    duration_ms: int
    is_completed: bool
    playlist_id: UUID | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands in one title."""

    position_ms: int
    duration_ms: int
    is_completed: bool
    watched_at: datetime
    playlist_id: UUID | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the time and title of its last item. The next page begins behind it."""

    watched_at: datetime
    content_id: UUID


@dataclass(frozen=True, slots=True)
class Item:
    """A title in a list. `is_next`: not begun; it follows the episode that was finished then."""

    content_id: UUID
    title: str
    content_type: str
    thumbnail_image_id: UUID | None
    standing: Standing
    is_next: bool = False

    @property
    def cursor(self) -> Cursor:
        """Its place in the list."""
        return Cursor(self.standing.watched_at, self.content_id)


# RULES
def decide_standing(row: Mapping[str, Any] | Row | None, fresh: FreshPoint | None) -> Standing | None:
    """What is in the tables and what is on its way there, as the drain will join them (edge/progress/drain.sql).

    `row` has position_ms, duration_ms, is_completed, beat_at, playlist_id, session_at, seq, settled_ms, settled_at; its
    position_ms is None when there is no progress.
    """
    stored = _stored(row)
    if row is None or stored is None:
        return None if fresh is None else _of(fresh, fresh.position_ms, fresh.is_completed, fresh.playlist_id)
    if fresh is None:
        return stored
    done = stored.is_completed or fresh.is_completed
    order = (_ms(row["session_at"]), row["seq"], _ms(row["beat_at"]))
    if (fresh.session_at_ms, fresh.seq, fresh.at_ms) <= order:
        return Standing(stored.position_ms, stored.duration_ms, done, stored.watched_at, stored.playlist_id)
    settled_ms = row["settled_ms"]
    is_meant = (
        settled_ms is None
        or fresh.session_at_ms == _ms(row["settled_at"])
        or abs(fresh.position_ms - settled_ms) <= NEAR_MS
        or max(settled_ms, fresh.position_ms) >= fresh.duration_ms * END_SHARE
    )
    position_ms = fresh.position_ms if is_meant else min(settled_ms or 0, fresh.duration_ms)
    return _of(fresh, position_ms, done, fresh.playlist_id or stored.playlist_id)


def _stored(row: Mapping[str, Any] | Row | None) -> Standing | None:
    if row is None or row["position_ms"] is None:
        return None
    return Standing(
        row["position_ms"], row["duration_ms"], bool(row["is_completed"]), row["beat_at"], row["playlist_id"]
    )


def _of(fresh: FreshPoint, position_ms: int, is_completed: bool, playlist_id: UUID | None) -> Standing:
    watched_at = datetime.fromtimestamp(fresh.at_ms / 1000, UTC)
    return Standing(position_ms, fresh.duration_ms, is_completed, watched_at, playlist_id)


def _ms(moment: object) -> int:
    return round(moment.timestamp() * 1000) if isinstance(moment, datetime) else -1


async def standing(tx: Tx, user_id: UUID, content_id: UUID, fresh: FreshPoint | None) -> Standing | None:
    """Where the person stands in the title; None when it was never begun, or is not there."""
    row = await tx.one(SQL["standing_get"], user_id, content_id)
    return decide_standing(row, fresh) if row is not None else None


async def continue_watching(
    tx: Tx, user_id: UUID, fresh: Mapping[UUID, FreshPoint], after: Cursor | None, limit: int
) -> list[Item]:
    """What is begun and not finished, and the next episode where one was finished; the latest first, `limit` at most."""
    items = [item for item in await _watched(tx, user_id, fresh, after, limit, True) if not item.standing.is_completed]
    rows = await tx.many(SQL["up_next_list"], user_id, *_after(after), list(fresh), limit)
    items += [
        Item(
            row["content_id"],
            row["title"],
            row["content_type"],
            row["thumbnail_image_id"],
            Standing(0, row["duration_ms"], False, row["beat_at"], row["playlist_id"]),
            is_next=True,
        )
        for row in rows
    ]
    return _page(items, after, limit)


async def history(
    tx: Tx, user_id: UUID, fresh: Mapping[UUID, FreshPoint], after: Cursor | None, limit: int
) -> list[Item]:
    """All that was ever watched, the latest first, `limit` at most."""
    return _page(await _watched(tx, user_id, fresh, after, limit, False), after, limit)


async def next_episodes(tx: Tx, items: Sequence[Item]) -> dict[UUID, Row]:
    """By title, what follows it in the series it is watched in: content_id, title, playlist_id, season_number, episode_number."""
    rows = await tx.many(
        SQL["next_episode_many"],
        [item.content_id for item in items],
        [item.standing.playlist_id for item in items],
    )
    return {row["here_id"]: row for row in rows}


async def _watched(
    tx: Tx,
    user_id: UUID,
    fresh: Mapping[UUID, FreshPoint],
    after: Cursor | None,
    limit: int,
    unfinished: bool,
) -> list[Item]:
    # What is fresh is read apart: it may belong on another page than its row says.
    rows = await tx.many(SQL["watched_list"], user_id, *_after(after), list(fresh), unfinished, limit)
    if fresh:
        rows += await tx.many(SQL["watched_get_many"], user_id, list(fresh))
    found = []
    for row in rows:
        stands = decide_standing(row, fresh.get(row["content_id"]))
        if stands is not None:
            found.append(Item(row["content_id"], row["title"], row["content_type"], row["thumbnail_image_id"], stands))
    return found


def _after(after: Cursor | None) -> tuple[datetime | None, UUID | None]:
    return (None, None) if after is None else (after.watched_at, after.content_id)


def _page(items: Sequence[Item], after: Cursor | None, limit: int) -> list[Item]:
    ordered = sorted(items, key=lambda item: (item.standing.watched_at, item.content_id), reverse=True)
    place = None if after is None else (after.watched_at, after.content_id)
    return [i for i in ordered if place is None or (i.standing.watched_at, i.content_id) < place][:limit]
