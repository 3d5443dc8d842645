"""Beats into PostgreSQL: one transaction for a batch, the same effect however often it is repeated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from core.database import Database, Tx
from core.ids import DEFAULT_TENANT
from core.queries import load
from core.viewer import service
from edge.progress.beat import Beat
from edge.progress.fold import Position, fold_positions, fold_watched, session_start_ms

SQL = load("edge.progress", "drain.sql")


async def write_beats(database: Database, beats: Sequence[Beat]) -> int:
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
            await tx.run(SQL["tenant_set"], tenant_id)
            await _write_tenant(tx, by_tenant[tenant_id])
        return sum(map(len, by_tenant.values()))


async def _write_tenant(tx: Tx, beats: Sequence[Beat]) -> None:
    sessions = fold_watched(beats)
    ids = sorted(sessions)
    await tx.many(SQL["session_lock_many"], ids)
    await tx.many(
        SQL["session_add_watched"],
        ids,
        [sessions[key].watched_ms for key in ids],
        [sessions[key].last_at_ms for key in ids],
    )
    await tx.run(SQL["view_upsert_many"], ids)
    positions = [position for _, position in sorted(fold_positions(beats).items())]
    if positions:
        await tx.run(SQL["progress_upsert_many"], *_progress_columns(positions))
        await _write_playlists(tx, positions)


def _progress_columns(positions: Sequence[Position]) -> tuple[list[object], ...]:
    newest = [position.newest for position in positions]
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
        [session_start_ms(beat.session_id, beat.at_ms) for beat in newest],
        [beat.seq for beat in newest],
        [beat.at_ms for beat in newest],
    )


async def _write_playlists(tx: Tx, positions: Sequence[Position]) -> None:
    latest: dict[tuple[UUID, UUID], Beat] = {}
    for position in positions:
        beat = position.newest
        if beat.user_id is None or beat.playlist_id is None:
            continue
        key = (beat.user_id, beat.playlist_id)
        if key not in latest or beat.at_ms > latest[key].at_ms:
            latest[key] = beat
    if latest:
        rows = [(user, playlist, beat.content_id) for (user, playlist), beat in sorted(latest.items())]
        columns = [list(column) for column in zip(*rows, strict=True)]
        await tx.run(SQL["playlist_latest_clear"], *columns)
        await tx.run(SQL["playlist_latest_set"], *columns)
