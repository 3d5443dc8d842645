"""What a monitor is told of workers: every attempt once, by how it ended, and the queue as it stands."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from core.database import Database
from core.domain import media_commands, media_tasks
from core.domain.media_settings import read_worker_settings
from core.domain.media_tasks import Waiting
from core.ids import DEFAULT_TENANT
from core.objects import ObjectStore, StoreDown
from core.variables import SettingsError, Variables
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.test_worker import process, short_film, submit, task_of, until
from transcoder import figures
from transcoder.worker import Worker

__all__ = ["short_film"]

Key = tuple[str, tuple[tuple[str, str], ...]]


def read(text: str) -> dict[Key, float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended(outcome: str) -> Key:
    return ("penstock_attempts_ended_total", (("kind", "transcode"), ("outcome", outcome)))


def now() -> Mapping[Key, float]:
    return read(generate_latest(figures.REGISTRY).decode())


class Away(ObjectStore):
    """A store that is away for writing."""

    async def put(self, key: str, data: bytes | Path) -> None:
        raise StoreDown("away")


async def test_each_attempt_is_counted_by_how_it_ended(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    before = now()
    broken = tmp_path / "broken.mp4"
    await asyncio.to_thread(lambda: broken.write_bytes(short_film.read_bytes()[:5000]))
    whole, bad = await submit(database, objects, short_film), await submit(database, objects, broken)
    at_work = Worker(database, objects, tmp_path / "scratch")
    without_store = Worker(database, Away(objects.url), tmp_path / "scratch")
    task_id = await task_of(database, whole.job_id)
    await without_store.handle(DEFAULT_TENANT, task_id)
    await at_work.handle(DEFAULT_TENANT, task_id)
    await at_work.handle(DEFAULT_TENANT, task_id)  # done: nothing to begin
    await at_work.handle(DEFAULT_TENANT, await task_of(database, bad.job_id))
    after = now()

    def more(key: Key) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert {name: more(ended(name)) for name in ("again", "done", "failed", "parked", "lost")} == {
        "again": 1, "done": 1, "failed": 1, "parked": 0, "lost": 0,
    }  # fmt: skip
    kind = (("kind", "transcode"),)
    assert more(("penstock_attempts_begun_total", kind)) == 3
    assert more(("penstock_attempt_seconds_count", kind)) == 1
    assert after[("penstock_attempts_at_work", kind)] == 0


async def test_the_last_of_several_tries_is_parked(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, short_film)
    task_id = await task_of(database, made.job_id)
    async with database.transaction(service()) as tx:
        await tx.connection.execute("UPDATE transcode_tasks SET max_attempts = 1")
    before = now()
    await Worker(database, Away(objects.url), tmp_path / "scratch").handle(DEFAULT_TENANT, task_id)
    assert now()[ended("parked")] == before.get(ended("parked"), 0.0) + 1


def test_an_empty_queue_is_told_as_empty() -> None:
    figures.show_waiting([Waiting("high", 2, 5.0), Waiting("usual", 1, 1.0), Waiting("high", 1, 9.0)])
    assert now()[("penstock_tasks_waiting", (("priority", "high"),))] == 3
    assert now()[("penstock_tasks_oldest_seconds", (("priority", "high"),))] == 9.0
    figures.show_waiting([])
    assert {now()[("penstock_tasks_waiting", (("priority", name),))] for name in figures.PRIORITIES} == {0.0}


def served(log: Path) -> int:
    """The port in a worker's log."""
    lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    found = [line["port"] for line in lines if line["event"] == "figures_served"]
    assert found
    return int(found[0])


async def test_a_worker_on_a_machine_of_its_own_serves_its_figures(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with process(database_urls, objects, data, {"PENSTOCK_WORKER_METRICS": "127.0.0.1:0"}):
        port = await waiting.until(lambda: served(data / "worker.log"), 60)
        made = await submit(database, objects, short_film)
        await until(database, made.job_id, "succeeded")

        def fetch() -> dict[Key, float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                return read(answer.read().decode())

        async def is_counted() -> bool:
            return (await asyncio.to_thread(fetch)).get(ended("done")) == 1

        await waiting.until(is_counted, 60)


async def test_supervised_workers_figures_are_those_of_the_machine(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "metrics"
    shared.mkdir()
    with process(
        database_urls,
        objects,
        tmp_path / "data",
        {"PROMETHEUS_MULTIPROC_DIR": str(shared), "PENSTOCK_WORKER_METRICS": "127.0.0.1:0"},
    ):
        made = await submit(database, objects, short_film)
        await until(database, made.job_id, "succeeded")

        def whole() -> dict[Key, float]:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=str(shared))  # type: ignore[no-untyped-call]
            return read(generate_latest(registry).decode())

        def is_counted() -> bool:
            found = whole()
            return found.get(ended("done")) == 1 and ("penstock_tasks_waiting", (("priority", "usual"),)) in found

        await waiting.until(is_counted, 60)
    assert "figures_served" not in (tmp_path / "data/worker.log").read_text()


async def test_what_waits_is_told_by_its_jobs_priority(
    database: Database, objects: ObjectStore, short_film: Path
) -> None:
    made = await submit(database, objects, short_film)
    async with database.transaction(service()) as tx:
        await tx.connection.execute("UPDATE transcode_jobs SET priority = 3 WHERE id = $1", made.job_id)
        assert [(one.priority, one.count) for one in await media_tasks.waiting(tx)] == [("high", 1)]
        await media_commands.do_cancel_encoding(
            tx, service(), media_commands.CancelEncoding(made.job_id), datetime.now(UTC)
        )
        assert await media_tasks.waiting(tx) == []


@pytest.mark.parametrize("value", ["9101", "host:", "host:99999", ":1:2"])
def test_a_wrong_address_for_the_figures_is_refused_by_name(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_worker_settings(Variables({"PENSTOCK_WORKER_METRICS": value}))
    assert refused.value.variable == "PENSTOCK_WORKER_METRICS"


def test_room_is_set_in_units_people_use() -> None:
    found = read_worker_settings(Variables({"PENSTOCK_SCRATCH_GB": "3", "PENSTOCK_SCRATCH_SPARE_MB": "0"}))
    assert (found.scratch_bytes, found.spare_bytes, found.worker_metrics) == (3 << 30, 0, None)
