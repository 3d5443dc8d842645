"""Beats into PostgreSQL: one transaction for a batch, the same effect however often it is repeated."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from itertools import groupby

from core.database import Database, Row, Tx
from core.ids import DEFAULT_TENANT
from core.queries import load
from core.viewer import service
from edge.progress.fold import LISTEN_MS, LISTEN_SHARE, B, Batch, Played, PointKey, Position, Rules, SessionKey
from edge.progress.ledger import Ledger

SQL = load("edge.progress", "drain.sql")


async def write_beats(database: Database, rules: Rules, beats: Iterable[B]) -> int:
    """Writes what `beats` mean and returns how many of them were new. Raises DatabaseDown, Refusal."""
    return await write_batch(database, Ledger(), Batch.of(beats, rules))


async def write_batch(database: Database, ledger: Ledger, batch: Batch[B]) -> int:
    """The same of beats that are folded."""
    async with AsyncExitStack() as turn:
        await turn.enter_async_context(ledger.turn)
        async with database.transaction(service(DEFAULT_TENANT)) as tx:
            fresh = await ledger.take(tx, batch)
            await turn.aclose()
            await _write(tx, fresh)
            return len(fresh.beats)


async def _write(tx: Tx, batch: Batch[B]) -> None:
    sessions = sorted(batch.sessions.items(), key=lambda item: item[0][:2])
    positions = sorted(batch.positions.items())
    by_tenant = {tenant: list(these) for tenant, these in groupby(sessions, lambda item: item[0][0])}
    for tenant, these in by_tenant.items():
        if str(tenant) != str(DEFAULT_TENANT) or len(by_tenant) > 1:
            await tx.run(SQL["tenant_set"], str(tenant))
        await _write_tenant(tx, these, [point for key, point in positions if key[0] == tenant], batch.rules)


async def _write_tenant(
    tx: Tx, sessions: Sequence[tuple[SessionKey, Played[B]]], positions: Sequence[Position[B]], rules: Rules
) -> None:
    await tx.run(SQL["session_lock_many"], [session for (_, session, _, _), _ in sessions])
    stand = {
        sessions[row["n"] - 1][0]: row for row in await tx.many(SQL["session_play_many"], *_session_columns(sessions))
    }
    if positions:
        await _write_positions(tx, positions, settle(sessions, stand, rules))
    if counted := [session for (_, session, _, _), row in stand.items() if row["counts"]]:
        await tx.run(SQL["view_upsert_many"], counted)
    if listened := [session for (_, session, _, _), row in stand.items() if row["listens"]]:
        await tx.run(SQL["listens_lock_many"], listened)
        await tx.run(SQL["listens_add_many"], listened, LISTEN_MS, LISTEN_SHARE)
    if positions:
        await _write_followers(tx, positions)


async def _write_positions(tx: Tx, positions: Sequence[Position[B]], settled: Mapping[PointKey, Settled]) -> None:
    """Moves the resume points; of those that came late, all the rest."""
    columns = _progress_columns(positions, settled)
    if await tx.run(SQL["progress_upsert_many"], *columns) == len(positions):
        return
    rows = await tx.many(SQL["progress_moved_many"], *columns[:2])
    moved = {(str(row["user_id"]), str(row["content_id"])) for row in rows}
    late = [one for one in positions if (str(one.newest.user_id), str(one.newest.content_id)) not in moved]
    columns = _progress_columns(late, settled)
    await tx.run(SQL["progress_add_many"], *(columns[place] for place in (0, 1, 5, 6, 11, 12, 13, 14)))


def _session_columns(sessions: Sequence[tuple[SessionKey, Played[B]]]) -> tuple[list[object], ...]:
    return (
        [key[1] for key, _ in sessions],
        [key[2] for key, _ in sessions],
        [key[3] for key, _ in sessions],
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
    sessions: Sequence[tuple[SessionKey, Played[B]]], stand: Mapping[SessionKey, Row], rules: Rules
) -> dict[PointKey, Settled]:
    """By person and title, where the newest of those sessions stands that have played long enough to be meant.

    `stand` says where each session is with all that was written before; one that PostgreSQL does not know, or knows to be
    somebody else's, speaks for itself with what it has here.
    """
    found: dict[PointKey, Settled] = {}
    for key, played in sessions:
        tenant, _, user, content = key
        if user is None:
            continue
        row, newest = stand.get(key), played.newest
        if (played.watched_ms if row is None else row["watched_ms"]) < rules.short_play_ms:
            continue
        seq, position_ms = (newest.seq, newest.position_ms) if row is None else (row["seq"], row["position_ms"])
        candidate = (newest.session_at_ms, seq, position_ms)
        if candidate > found.get((tenant, user, content), (-1, -1, -1)):
            found[tenant, user, content] = candidate
    return found


def _progress_columns(
    positions: Sequence[Position[B]], settled: Mapping[PointKey, Settled]
) -> tuple[list[object], ...]:
    newest = [position.newest for position in positions]
    points = [settled.get((beat.tenant_id, beat.user_id, beat.content_id)) for beat in newest]
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


async def _write_followers(tx: Tx, positions: Sequence[Position[B]]) -> None:
    """What else depends on these points: series and courses. Most titles are in neither, which costs one look at each title."""
    titles = sorted({position.newest.content_id for position in positions})
    kinds = await tx.many(SQL["contents_of_series_or_course_many"], titles)
    if episodes := {str(row["content_id"]) for row in kinds if row["is_episode"]}:
        await _write_playlists(tx, _of(positions, episodes))
    if lessons := {str(row["content_id"]) for row in kinds if row["is_lesson"]}:
        newest = _of(positions, lessons)
        await tx.run(SQL["lessons_watched"], [beat.user_id for beat in newest], [beat.content_id for beat in newest])


def _of(positions: Sequence[Position[B]], titles: Container[str]) -> list[B]:
    return [position.newest for position in positions if str(position.newest.content_id) in titles]


async def _write_playlists(tx: Tx, newest: Sequence[B]) -> None:
    """Moves the resume mark of the series that were watched."""
    users = [beat.user_id for beat in newest]
    moved = await tx.run(
        SQL["playlist_watch_many"],
        users,
        [beat.content_id for beat in newest],
        [beat.playlist_id for beat in newest],
        [beat.session_at_ms for beat in newest],
    )
    if moved:
        people = sorted({str(user) for user in users})
        await tx.run(SQL["playlist_latest_clear"], people)
        await tx.run(SQL["playlist_latest_set"], people)
