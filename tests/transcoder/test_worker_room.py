"""What a worker may take of its disk: no task without room to spare, no attempt beyond its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.database import Database
from core.ids import DEFAULT_TENANT
from core.objects import ObjectStore
from tests.transcoder.sources import encode_locally
from tests.transcoder.test_worker import job, left_in, long_film, look, short_film, stored, submit, task_of
from transcoder.figures import REGISTRY
from transcoder.room import Bounds, decide_excess
from transcoder.scratch import used_bytes
from transcoder.worker import Worker
from transcoder.workshop import check_room

__all__ = ["long_film", "short_film"]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_without_room_to_spare_a_task_is_left_to_others_and_loses_no_attempt(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcoder.worker.SLOT_WAIT_S", 0.05)
    made = await submit(database, objects, short_film)
    task_id = await task_of(database, made.job_id)
    before = counted("penstock_tasks_passed_on_total")
    messages = "SELECT count(*) AS n FROM pgqueuer"
    waiting = int(str((await look(database, messages))["n"]))
    await Worker(database, objects, tmp_path / "scratch", bounds=Bounds(spare_bytes=1 << 60)).handle(
        DEFAULT_TENANT, task_id
    )
    row = await look(database, "SELECT state::text, attempts, fence FROM transcode_tasks")
    assert row == {"state": "queued", "attempts": 0, "fence": 0}
    assert (await look(database, messages))["n"] == waiting + 1
    assert counted("penstock_tasks_passed_on_total") == before + 1
    await Worker(database, objects, tmp_path / "scratch", bounds=Bounds(spare_bytes=0)).handle(DEFAULT_TENANT, task_id)
    assert (await job(database, made.job_id))["state"] == "succeeded"


async def test_an_attempt_that_takes_more_of_the_disk_than_it_may_is_ended_and_says_so(
    database: Database, objects: ObjectStore, long_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcoder.room.WATCH_S", 0.02)
    made = await submit(database, objects, long_film)
    worker = Worker(database, objects, tmp_path / "scratch", bounds=Bounds(20_000))
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    row = await job(database, made.job_id)
    assert (row["state"], row["error_code"]) == ("failed", "PS921")
    assert "scratch space" in str(row["error_message"])
    assert left_in(tmp_path / "scratch") == []
    assert await stored(objects) == []
    assert counted("penstock_scratch_bytes") == 0


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.none() | st.integers(0, 1 << 50))
def test_the_narrower_bound_counts(used: int, most: int, plan: int | None) -> None:
    refusal = decide_excess(used, most, plan)
    assert (refusal is None) == (used <= most and (plan is None or used <= plan))
    assert refusal is None or refusal.code is errors.SCRATCH_SPENT


async def test_what_a_plan_may_take_is_more_than_an_encode_takes(long_film: Path, tmp_path: Path) -> None:
    """Else the bound would end sound encodes."""
    made = await encode_locally(long_film, tmp_path / "work")
    most = check_room(tmp_path, made.plan, made.plan.duration)
    assert 0 < used_bytes(tmp_path / "work") < most / 2
