"""kill -9 of a worker in the middle of an encode: the next one makes a correct video, and the dead one leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.local.ffmpeg import ffmpeg_path
from edge.settings import read_settings
from tests.clips import make_clip
from tests.faults.conftest import Box
from tests.inside import inside
from tests.running import Penstock
from tests.waiting import until

pytestmark = [pytest.mark.timeout(1200)]

FILM_S = 30
DONE_S = 180


async def job_of(box: Box, title: str) -> dict[str, Any] | None:
    """The newest job of this title."""
    async with inside(box.database_url) as tx:
        row = await tx.connection.fetchrow(
            "SELECT j.id, j.content_id, j.state::text AS state, j.progress::float8 AS progress, j.error_message"
            " FROM transcode_jobs AS j JOIN contents AS c ON c.id = j.content_id WHERE c.title = $1"
            " ORDER BY j.created_at DESC LIMIT 1",
            title,
        )
    return dict(row) if row else None


async def test_a_worker_killed_in_the_middle_still_ends_in_a_correct_video(box: Box, tmp_path: Path) -> None:
    await box.ready()
    film = await make_clip(tmp_path / "film.mp4", seconds=FILM_S, size="854x480")
    publishing = Penstock(["publish", film, "--title", "Killed film", "--free", "--data", box.data])
    publishing.start()

    async def halfway() -> bool:
        job = await job_of(box, "Killed film")
        assert job is None or job["state"] in ("queued", "running"), f"too quick to be killed: {job}"
        return job is not None and job["state"] == "running" and job["progress"] >= 15

    await until(halfway, 180, "the encode to be under way")
    (worker,) = box.penstock.named("-m transcoder")
    encoders = worker.children(recursive=True)
    assert encoders, "nothing was being encoded"
    worker.kill()
    _, alive = psutil.wait_procs(encoders, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == [], (
        "encoders outlived their worker"
    )

    async def over() -> dict[str, Any] | None:
        job = await job_of(box, "Killed film")
        return job if job is not None and job["state"] in ("succeeded", "failed") else None

    job = await until(over, DONE_S, "the job to end")
    assert job is not None
    assert job["state"] == "succeeded", job
    assert publishing.process is not None
    assert await asyncio.to_thread(publishing.process.wait, 30) == 0, publishing.stderr
    async with inside(box.database_url) as tx:
        generations = await tx.connection.fetch(
            "SELECT state::text AS state, duration_ms FROM generations WHERE content_id = $1", job["content_id"]
        )
    assert [row["duration_ms"] for row in generations if row["state"] == "published"] == [
        pytest.approx(FILM_S * 1000, abs=100)
    ]
    await until(
        lambda: not [path for path in (box.data / "scratch").rglob("*") if path.is_file()],
        30,
        "an empty scratch folder",
    )
    async with box.newcomer() as person:
        grant = await person.play(str(job["content_id"]))
    decoding = await asyncio.create_subprocess_exec(
        *(
            str(ffmpeg_path(read_settings({}))),
            "-nostdin",
            "-v",
            "warning",
            "-xerror",
            "-i",
            f"{box.url}{grant['manifest_url']}",
        ),
        *("-map", "0", "-f", "null", "-"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await decoding.communicate()
    assert (decoding.returncode, err.decode()) == (0, "")
