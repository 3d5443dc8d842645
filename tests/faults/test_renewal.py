"""A renewal replaces what is behind the web processes too: no count is taken back, no encoding is thrown away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.clips import make_clip
from tests.faults.conftest import Box
from tests.faults.test_restart import renew
from tests.faults.test_worker_dies import job_of
from tests.inside import inside
from tests.running import Penstock
from tests.waiting import until
from tests.web import raw

pytestmark = [pytest.mark.timeout(1200)]

FILM_S = 20
DONE_S = 240
COUNTERS = ("penstock_requests_total", "penstock_request_seconds_count", "penstock_request_seconds_bucket")


def pids(box: Box, words: str) -> set[int]:
    """Those of the processes with these words in their command line."""
    return {process.pid for process in box.penstock.named(words)}


async def counts(box: Box) -> dict[str, float]:
    """Every sample that may only grow, as some web process gives it."""
    answer = await raw(box.url, "/metrics")
    assert answer.status == 200
    lines = [line for line in answer.body.decode().splitlines() if line.startswith(COUNTERS)]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_counts_survive_and_files_do_not_pile_up(box: Box) -> None:
    await box.ready()
    for _ in range(20):
        assert (await raw(box.url, "/healthz")).status == 200
    before = await counts(box)
    assert before
    for _ in range(3):
        await renew(box.penstock)
        after = await counts(box)
        assert {name: value for name, value in before.items() if after.get(name, 0) < value} == {}
        before = after

    def left_behind() -> set[str]:
        alive = {f"_{pid}.db" for pid in pids(box, "-m edge serve") | pids(box, "-m edge deliver")}
        files = (box.data / "run" / "metrics").iterdir()
        return {path.name for path in files if not path.name.endswith((*alive, "_departed.db"))}

    await until(lambda: not left_behind(), 180, "only files of those that live")


async def test_drain_and_an_idle_worker_are_replaced(box: Box) -> None:
    await box.ready()
    drains, workers = pids(box, "-m edge drain"), pids(box, "-m transcoder")
    assert len(drains) == len(workers) == 1
    await renew(box.penstock)
    now = pids(box, "-m edge drain")
    assert len(now) == 1
    assert not now & drains
    await until(lambda: len(pids(box, "-m transcoder") - workers) == 1, 180, "another worker")
    await until(lambda: not workers & pids(box, "-m transcoder"), 180, "the old one to be gone")


def held_encoders(worker: psutil.Process) -> list[psutil.Process]:
    """What `worker` is encoding with, standing still from now on: the renewal is over before the task can be."""
    held = []
    for child in worker.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "ffmpeg" in " ".join(child.cmdline()):
                child.suspend()
                held.append(child)
    return held


async def test_a_worker_finishes_its_task_before_it_is_replaced(box: Box, tmp_path: Path) -> None:
    await box.ready()
    film = await make_clip(tmp_path / "film.mp4", seconds=FILM_S, size="854x480")
    publishing = Penstock(["publish", film, "--title", "Renewed film", "--free", "--data", box.data])
    publishing.start()

    async def under_way() -> list[psutil.Process]:
        job = await job_of(box, "Renewed film")
        assert job is None or job["state"] in ("queued", "running"), f"too quick to be renewed: {job}"
        is_running = job is not None and job["state"] == "running" and job["progress"] > 0
        return held_encoders(worker) if is_running else []

    (worker,) = box.penstock.named("-m transcoder")
    encoders = await until(under_way, 180, "the encode to be under way")
    try:
        await renew(box.penstock)
        assert pids(box, "-m transcoder") == {worker.pid}, "it was not left to finish"
        job = await job_of(box, "Renewed film")
        assert job is not None
        assert job["state"] == "running"
    finally:
        for encoder in encoders:
            encoder.resume()

    async def over() -> bool:
        job = await job_of(box, "Renewed film")
        return job is not None and job["state"] in ("succeeded", "failed")

    await until(over, DONE_S, "the job to end")
    assert publishing.process is not None
    assert await asyncio.to_thread(publishing.process.wait, 60) == 0, publishing.stderr
    async with inside(box.database_url) as tx:
        tasks = await tx.connection.fetch("SELECT attempts, fence FROM transcode_tasks WHERE job_id = $1", job["id"])
    assert {row["attempts"] for row in tasks} == {1}, "what was encoded was thrown away"
    await until(lambda: len(pids(box, "-m transcoder") - {worker.pid}) == 1, 180, "another worker")
    await until(lambda: worker.pid not in pids(box, "-m transcoder"), 180, "the old one to be gone")
