"""How fast a backlog goes into PostgreSQL: the drain against bare upserts of the same beats into a bare table.

The backlog is what three minutes without PostgreSQL leave: everybody who watches sent a beat every five seconds. They had been
watching for a while, so their rows are there and their views are counted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from bench.peers import Runner
from bench.progress_stage import ProgressStage, Viewer, beat_of
from edge.progress.beat import Beat
from edge.progress.partitions import stream_key
from edge.progress.stream import IntakeStream
from edge.redis_client import Breaker

VIEWERS = 10_000
BEATS_EACH = 36
BEATS_BEFORE = 8
ENTRY = 250
BATCH = 1_000
EMPTY_S = 120

NOTED = "SELECT coalesce(sum(cardinality(event_ids)), 0) FROM beat_ledger"
RAW_TABLE = """
CREATE TABLE IF NOT EXISTS bench_progress (
    user_id uuid NOT NULL, content_id uuid NOT NULL, position_ms bigint NOT NULL, seq bigint NOT NULL,
    updated_at timestamptz NOT NULL, PRIMARY KEY (user_id, content_id)) WITH (fillfactor = 70);
GRANT ALL ON bench_progress TO PUBLIC
"""
RAW = """
INSERT INTO bench_progress AS p (user_id, content_id, position_ms, seq, updated_at)
SELECT *, now() FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS d (user_id, content_id, position_ms, seq)
ON CONFLICT (user_id, content_id) DO UPDATE SET position_ms = EXCLUDED.position_ms, seq = EXCLUDED.seq, updated_at = EXCLUDED.updated_at
WHERE p.seq <= EXCLUDED.seq
"""


async def drained_per_s(stage: ProgressStage, runner: Runner) -> dict[str, float]:
    """Beats a second, the drain's and the bare ones' (the better of before and after), over the same PostgreSQL."""
    viewers = await stage.viewers(VIEWERS)
    first, backlog = _beats(stage, viewers, 0, BEATS_BEFORE), _beats(stage, viewers, BEATS_BEFORE, BEATS_EACH)
    await stage.admin.execute(RAW_TABLE)
    await _raw(stage, first)
    raw = await _raw(stage, backlog)
    drain = await _drain(stage, runner, first, backlog)
    return {"drain": drain, "upserts": max(raw, await _raw(stage, backlog))}


def _beats(stage: ProgressStage, viewers: Sequence[Viewer], after: int, each: int) -> list[Beat]:
    """In order of time. Players make random ids, which a ledger in order of ids must be able to bear."""
    return [
        msgspec.structs.replace(beat_of(viewer, stage.film, seq), event_id=uuid4())
        for seq in range(after + 1, after + each + 1)
        for viewer in viewers
    ]


async def _drain(stage: ProgressStage, runner: Runner, first: Sequence[Beat], backlog: Sequence[Beat]) -> float:
    argv: list[str | Path] = [sys.executable, "-m", "edge", "drain"]
    before = await stage.admin.fetchval(NOTED)
    await _add(stage, first)
    async with runner.run(argv, stage.stage.folder / "drain.log", stage.stage.installation.environment()) as process:
        await _emptied(stage)
        # It stands still while the backlog grows; what it was waiting for in the streams comes with the rest.
        process.send_signal(signal.SIGSTOP)
        try:
            await _add(stage, backlog)
            began = time.perf_counter()
        finally:
            process.send_signal(signal.SIGCONT)
        await _emptied(stage)
        took_s = time.perf_counter() - began
    found = await stage.admin.fetchval(NOTED) - before
    if found != len(first) + len(backlog):
        raise RuntimeError(f"{found} of {len(first) + len(backlog)} beats were drained")
    return len(backlog) / took_s


async def _add(stage: ProgressStage, beats: Sequence[Beat]) -> None:
    parts = stage.stage.installation.settings.progress_partitions
    intake = IntakeStream(stage.redis, Breaker(), parts)
    for at in range(0, len(beats), ENTRY * parts):
        await intake.add(beats[at : at + ENTRY * parts])


async def _emptied(stage: ProgressStage) -> None:
    parts = stage.stage.installation.settings.progress_partitions
    async with asyncio.timeout(EMPTY_S):
        # A look takes the core that the servers have from them: 20 ms of two seconds are what it may be late by.
        while any(await asyncio.gather(*(stage.redis.xlen(stream_key(part)) for part in range(parts)))):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _raw(stage: ProgressStage, beats: Sequence[Beat]) -> float:
    began = time.perf_counter()
    for at in range(0, len(beats), BATCH):
        part = beats[at : at + BATCH]
        await stage.admin.execute(
            RAW,
            [beat.user_id for beat in part],
            [beat.content_id for beat in part],
            [beat.position_ms for beat in part],
            [beat.seq for beat in part],
        )
    return len(beats) / (time.perf_counter() - began)
