"""Beats into PostgreSQL: one transaction for a batch, the same effect however often it is repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from core.database import Database, Row, Tx
from core.ids import DEFAULT_TENANT
from core.queries import load
from core.viewer import service
from edge.progress.beat import Beat
from edge.progress.fold import Played, Position, Rules, SessionKey, fold_positions, fold_sessions

SQL = load("edge.progress", "drain.sql")


async def write_beats(database: Database, rules: Rules, beats: Sequence[Beat]) -> int:
    """Writes what `beats` mean and returns how many of them were new. Raises DatabaseDown, Refusal."""
    async with database.transaction(service(DEFAULT_TENANT)) as tx:
        fresh_ids = {
            row["event_id"] for row in await tx.many(SQL["ledger_add_many"], [beat.event_id for beat in beats])
        }
        by_tenant: defaultdict[UUID, list[Beat]] = defaultdict(list)
        for beat in beats:
            if beat.event_id in fresh_ids:
                # A beat sent twice inside one batch: the first counts.
                fresh_ids.discard(beat.event_id)
                by_tenant[beat.tenant_id].append(beat)
        for tenant_id in sorted(by_tenant):
            if tenant_id != DEFAULT_TENANT or len(by_tenant) > 1:
                await tx.run(SQL["tenant_set"], tenant_id)
            await _write_tenant(tx, by_tenant[tenant_id], rules)
        return sum(map(len, by_tenant.values()))


async def _write_tenant(tx: Tx, beats: Sequence[Beat], rules: Rules) -> None:
    sessions = sorted(fold_sessions(beats).items(), key=lambda item: item[0][0])
    await tx.run(SQL["session_lock_many"], [session for (session, _, _), _ in sessions])
    stand = {row["id"]: row for row in await tx.many(SQL["session_play_many"], *_session_columns(sessions))}
    if counted := [row["id"] for row in stand.values() if row["counts"]]:
        await tx.run(SQL["view_upsert_many"], counted)
    positions = [position for _, position in sorted(fold_positions(beats, rules).items())]
    if positions:
        settled = settle(sessions, stand, rules)
        await tx.run(SQL["progress_upsert_many"], *_progress_columns(positions, settled))
        await _write_playlists(tx, positions)


def _session_columns(sessions: Sequence[tuple[SessionKey, Played]]) -> tuple[list[object], ...]:
    return (
        [key[0] for key, _ in sessions],
        [key[1] for key, _ in sessions],
        [key[2] for key, _ in sessions],
        [played.watched_ms for _, played in sessions],
        [played.last_at_ms for _, played in sessions],
        [played.newest.seq for _, played in sessions],
        [played.newest.position_ms for _, played in sessions],
        [played.view_ms for _, played in sessions],
        [played.stopped for _, played in sessions],
        [played.is_bot for _, played in sessions],
    )


Settled = tuple[int, int, int]
"""A session's start in Unix ms, its newest seq, its position there in ms."""


def settle(
    sessions: Sequence[tuple[SessionKey, Played]], stand: Mapping[UUID, Row], rules: Rules
) -> dict[tuple[UUID, UUID], Settled]:
    """By person and title, where the newest of those sessions stands that have played long enough to be meant.

    `stand` says where each session is with all that was written before; one that PostgreSQL does not know speaks for
    itself with what it has here.
    """
    found: dict[tuple[UUID, UUID], Settled] = {}
    for (session, user, content), played in sessions:
        if user is None:
            continue
        row = stand.get(session)
        if row is None:
            watched_ms, point = played.watched_ms, (played.newest.seq, played.newest.position_ms)
        else:
            watched_ms, point = row["watched_ms"], (row["seq"], row["position_ms"])
        if watched_ms < rules.short_play_ms:
            continue
        candidate = (played.newest.session_at_ms, *point)
        if candidate > found.get((user, content), (-1, -1, -1)):
            found[user, content] = candidate
    return found


def _progress_columns(
    positions: Sequence[Position], settled: Mapping[tuple[UUID, UUID], Settled]
) -> tuple[list[object], ...]:
    newest = [position.newest for position in positions]
    points = [settled.get((beat.user_id, beat.content_id)) if beat.user_id else None for beat in newest]
    return (
        [beat.user_id for beat in newest],
        [beat.content_id for beat in newest],
        [beat.playlist_id for beat in newest],
        [beat.position_ms for beat in newest],
        [beat.duration_ms for beat in newest],
        [position.watched_ms for position in positions],
        [position.completed for position in positions],
        [beat.device_type for beat in newest],
        [beat.session_id for beat in newest],
        [beat.session_at_ms for beat in newest],
        [beat.seq for beat in newest],
        [beat.at_ms for beat in newest],
        [point[2] if point else None for point in points],
        [point[0] if point else None for point in points],
        [point[1] if point else None for point in points],
    )


async def _write_playlists(tx: Tx, positions: Sequence[Position]) -> None:
    """Moves the resume mark of the series that were watched."""
    newest = [position.newest for position in positions]
    users = [beat.user_id for beat in newest]
    moved = await tx.run(
        SQL["playlist_watch_many"],
        users,
        [beat.content_id for beat in newest],
        [beat.playlist_id for beat in newest],
        [beat.session_at_ms for beat in newest],
    )
    if moved:
        people = sorted({user for user in users if user is not None})
        await tx.run(SQL["playlist_latest_clear"], people)
        await tx.run(SQL["playlist_latest_set"], people)
