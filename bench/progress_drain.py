"""How fast the backlog goes into PostgreSQL: the drain against bare upserts of the same beats into a bare table."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers import Runner
from bench.progress_stage import ProgressStage, beat_of
from core.redis_client import Breaker
from edge.progress.beat import Beat
from edge.progress.partitions import stream_key
from edge.progress.stream import IntakeStream

VIEWERS = 10_000
BEATS_EACH = 4
ENTRY = 250
BATCH = 1_000

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
    """Beats a second, the drain's and the bare ones', over the same PostgreSQL one after the other."""
    viewers = await stage.viewers(VIEWERS)
    beats = [beat_of(viewer, stage.film, seq) for seq in range(1, BEATS_EACH + 1) for viewer in viewers]
    raw = await _raw(stage, beats)
    parts = stage.stage.installation.settings.progress_partitions
    intake = IntakeStream(stage.redis, Breaker(), parts)
    for at in range(0, len(beats), ENTRY * parts):
        await intake.add(beats[at : at + ENTRY * parts])
    before = await stage.admin.fetchval("SELECT count(*) FROM beat_ledger")
    log = stage.stage.folder / "drain.log"
    argv: list[str | Path] = [sys.executable, "-m", "edge", "drain"]
    async with runner.run(argv, log, stage.stage.installation.environment()):
        while await stage.admin.fetchval("SELECT count(*) FROM beat_ledger") == before:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)  # it is still starting
        began = time.perf_counter()
        begun_with = await stage.admin.fetchval("SELECT count(*) FROM beat_ledger") - before
        while any([await stage.redis.xlen(stream_key(part)) for part in range(parts)]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        took_s = time.perf_counter() - began
    found = await stage.admin.fetchval("SELECT count(*) FROM beat_ledger") - before
    if found != len(beats):
        raise RuntimeError(f"{found} of {len(beats)} beats were drained")
    return {"drain": (len(beats) - begun_with) / took_s, "upserts": raw}


async def _raw(stage: ProgressStage, beats: Sequence[Beat]) -> float:
    await stage.admin.execute(RAW_TABLE)
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
