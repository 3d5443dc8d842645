"""The worker against a real database and store: published once, given back, given up, killed and started again."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import psutil
import pytest

from core.database import Database, DatabaseDown, dedicated
from core.domain import media, media_tasks
from core.domain.media import NewFile, NewTitle, Submitted
from core.domain.media_encoding import AS_SET, Encoding
from core.ids import DEFAULT_TENANT, uuid7
from core.objects import ObjectStore, StoreDown
from core.process import start_service
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.sources import FAST, decode_warnings, film, make, picture, sound
from transcoder.worker import Worker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def short_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("worker") / "short.mp4", 2)


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("worker") / "long.mp4", 30, size="640x360")


async def submit(database: Database, objects: ObjectStore, path: Path, encoding: Encoding = AS_SET) -> Submitted:
    data = await asyncio.to_thread(path.read_bytes)
    file_id = uuid7()
    await objects.put(f"uploads/{file_id}", data)
    checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
    file = NewFile(file_id, path.name, len(data), "video/mp4", checksum, "file", None, f"uploads/{file_id}", None)
    async with database.transaction(service()) as tx:
        return await media.submit(tx, file, NewTitle("A film", encoding=encoding))


async def look(database: Database, sql: str, *args: object) -> dict[str, object]:
    """One row. A machine that is busy enough to be taken for a database that is away is asked again."""

    async def there() -> dict[str, object]:
        try:
            async with database.transaction(service()) as tx:
                row = await tx.one(Statement("look", "one", "a test looks", sql), *args)
        except DatabaseDown as error:
            raise AssertionError(str(error)) from error
        return {"row": None if row is None else dict(row)}

    found = (await waiting.until(there, 60, sql))["row"]
    assert isinstance(found, dict)
    return found


async def job(database: Database, job_id: UUID) -> dict[str, object]:
    return await look(
        database,
        "SELECT state::text, stage, progress::float, error_code, error_message FROM transcode_jobs WHERE id = $1",
        job_id,
    )


async def task_of(database: Database, job_id: UUID) -> UUID:
    found = (await look(database, "SELECT id FROM transcode_tasks WHERE job_id = $1", job_id))["id"]
    assert isinstance(found, UUID)
    return found


async def until(database: Database, job_id: UUID, *wanted: str, within_s: float = 300) -> dict[str, object]:
    """Waits until the job's state or stage is one of `wanted`."""

    async def there() -> dict[str, object]:
        row = await job(database, job_id)
        assert row["state"] in wanted or row["stage"] in wanted, row
        return row

    return await waiting.until(there, within_s, f"the job to be {wanted}")


async def stored(objects: ObjectStore) -> list[str]:
    return [key async for key in objects.keys("hls")]


def left_in(folder: Path) -> list[Path]:
    """Everything below; unlike rglob, walk does not mind that somebody is deleting it meanwhile."""
    return [Path(at) / name for at, folders, names in os.walk(folder) for name in (*folders, *names)]


def pieces_left(objects: ObjectStore) -> list[Path]:
    """Encoded pieces that nobody has swept away yet."""
    return [path for path in left_in(Path(objects.url.removeprefix("file://")) / "pieces") if path.suffix == ".mp4"]


@contextmanager
def process(
    urls: TestDatabase, objects: ObjectStore, data: Path, extra: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m transcoder`, as an operator runs it."""
    env = {
        "PATH": os.environ["PATH"],
        "PENSTOCK_DATABASE_URL": urls.app_url,
        "PENSTOCK_STORE_URL": objects.url,
        "PENSTOCK_DATA": str(data),
        **extra,
    }
    data.mkdir(exist_ok=True)
    child = start_service([sys.executable, "-m", "transcoder"], log=data / "worker.log", env=env, cwd=ROOT)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def children_of(pid: int) -> list[int]:
    """All below it: a sandbox may stand between a worker and its encoder."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_film_is_published_whole(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, short_film)
    worker = Worker(database, objects, tmp_path / "scratch")
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    assert (await job(database, made.job_id))["state"] == "succeeded"
    row = await look(
        database, "SELECT c.is_published, g.store_prefix, g.has_video, g.has_audio, g.size_bytes, g.checksum FROM contents c"
        " JOIN generations g ON g.id = c.generation_id",
    )  # fmt: skip
    folder = Path(objects.url.removeprefix("file://")) / str(row["store_prefix"])
    assert (row["is_published"], row["has_video"], row["has_audio"]) == (True, True, True)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == row["size_bytes"]
    assert await decode_warnings(folder) == ""
    assert left_in(tmp_path / "scratch") == []
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))  # a duplicate of the message
    assert (await look(database, "SELECT count(*) AS n FROM generations"))["n"] == 1


async def test_a_broken_file_fails_and_leaves_nothing(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    whole = await asyncio.to_thread(short_film.read_bytes)
    await asyncio.to_thread(broken.write_bytes, whole[:5000])
    made = await submit(database, objects, broken)
    await Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    row = await job(database, made.job_id)
    assert (row["state"], row["error_code"]) == ("failed", "PS603")
    assert await stored(objects) == []
    assert left_in(tmp_path / "scratch") == []
    assert (await look(database, "SELECT state::text FROM generations"))["state"] == "failed"
    assert (await look(database, "SELECT is_published, generation_id FROM contents")) == {
        "is_published": False, "generation_id": None,
    }  # fmt: skip


async def test_a_sound_that_is_left_out_is_a_warning_of_the_job(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    path = make(
        tmp_path / "film.mkv",
        *picture("128x72", seconds=1),
        *sound(440, 1),
        *FAST,
        "-c:a",
        "wavpack",
        "-metadata:s:a:0",
        "language=fre",
    )
    made = await submit(database, objects, path)
    await Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    row = await look(database, "SELECT state::text, warnings FROM transcode_jobs")
    assert row == {
        "state": "succeeded", "warnings": ["A sound track (Français) was left out: its codec, wavpack, is not accepted."],
    }  # fmt: skip


class AwayStore(ObjectStore):
    """A store that is away for writing."""

    async def put(self, key: str, data: bytes | Path) -> None:
        raise StoreDown("away")


async def test_a_store_that_is_away_costs_a_retry_not_the_job(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, short_film)
    task_id = await task_of(database, made.job_id)
    await Worker(database, AwayStore(objects.url), tmp_path / "scratch").handle(DEFAULT_TENANT, task_id)
    row = await look(database, "SELECT state::text, attempts, error_code FROM transcode_tasks")
    assert row == {"state": "queued", "attempts": 1, "error_code": "PS902"}
    assert left_in(tmp_path / "scratch") == []
    await Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, task_id)
    assert (await job(database, made.job_id))["state"] == "succeeded"
    assert all("/1-2/" in key for key in await stored(objects))


async def test_a_worker_that_lost_its_lease_publishes_nothing(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    """The stopped worker that wakes: another one took the task over meanwhile."""
    made = await submit(database, objects, short_film)
    task_id = await task_of(database, made.job_id)

    class Usurped(ObjectStore):
        async def sync(self, prefix: str) -> None:
            await super().sync(prefix)
            async with database.transaction(service()) as tx:
                expire = "UPDATE transcode_tasks SET lease_until = now() - interval '1 second'"
                await tx.run(Statement("expire", "none", "a test", expire))
                assert await media_tasks.take_task(tx, task_id, "another") is not None

    await Worker(database, Usurped(objects.url), tmp_path / "scratch").handle(DEFAULT_TENANT, task_id)
    assert await stored(objects) == []
    assert (await look(database, "SELECT state::text, owner, fence FROM transcode_tasks")) == {
        "state": "running", "owner": "another", "fence": 2,
    }  # fmt: skip
    assert (await look(database, "SELECT generation_id FROM contents"))["generation_id"] is None


async def test_a_job_cancelled_by_a_person_stops_and_leaves_nothing(
    database: Database, objects: ObjectStore, long_film: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, long_film)
    task_id = await task_of(database, made.job_id)
    working = asyncio.create_task(Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, task_id))
    await until(database, made.job_id, "encoding")
    async with database.transaction(service()) as tx:
        await tx.run(Statement("ask", "none", "a test", "UPDATE transcode_jobs SET cancel_requested = true"))
    await working
    assert (await job(database, made.job_id))["state"] == "cancelled"
    assert left_in(tmp_path / "scratch") == []
    assert await stored(objects) == []


async def test_a_worker_without_a_free_slot_passes_the_message_on(
    database: Database, objects: ObjectStore, short_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transcoder.worker.SLOT_WAIT_S", 0.05)
    made = await submit(database, objects, short_film)
    count = "SELECT count(*) AS n FROM pgqueuer"
    before = (await look(database, count))["n"]
    await Worker(database, objects, tmp_path / "scratch", slots=0).handle(
        DEFAULT_TENANT, await task_of(database, made.job_id)
    )
    assert (await look(database, count))["n"] == int(str(before)) + 1
    assert (await job(database, made.job_id))["state"] == "queued"


async def test_sigterm_gives_the_task_back(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, long_film: Path, tmp_path: Path
) -> None:
    with process(database_urls, objects, tmp_path / "data") as child:
        made = await submit(database, objects, long_film)
        await until(database, made.job_id, "encoding")
        encoders = await waiting.until(lambda: children_of(child.pid), 60, "a program to be started")
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 60) == 0
    row = await look(database, "SELECT state::text, attempts FROM transcode_tasks")
    assert row == {"state": "queued", "attempts": 0}
    assert not any(is_alive(pid) for pid in encoders)
    assert left_in(tmp_path / "data/scratch") == []
    assert await stored(objects) == []


async def test_kill_nine_in_the_middle_costs_seconds_and_no_film(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, long_film: Path, tmp_path: Path
) -> None:
    with process(database_urls, objects, tmp_path / "data") as child:
        made = await submit(database, objects, long_film)
        await until(database, made.job_id, "encoding")
        encoders = await waiting.until(lambda: children_of(child.pid), 60, "a program to be started")
        child.kill()
        await asyncio.to_thread(child.wait)
    await waiting.until(lambda: not any(is_alive(pid) for pid in encoders), 60, "an encoder outlived its worker")
    assert left_in(tmp_path / "data/scratch") != []
    await objects.put(f"hls/{made.content_id}/1-1/video/0.m4s", b"left by an upload that was killed")
    with process(database_urls, objects, tmp_path / "data"):
        await until(database, made.job_id, "succeeded")
    row = await look(
        database, "SELECT g.store_prefix, g.duration_ms, t.attempts, t.fence FROM contents c"
        " JOIN generations g ON g.id = c.generation_id CROSS JOIN transcode_tasks t",
    )  # fmt: skip
    assert (row["attempts"], row["fence"]) == (2, 2)
    assert row["duration_ms"] == 30_000
    prefix = str(row["store_prefix"])
    assert all(key.startswith(prefix) for key in await stored(objects))
    assert await decode_warnings(Path(objects.url.removeprefix("file://")) / prefix) == ""
    assert left_in(tmp_path / "data/scratch") == []


async def test_two_workers_share_the_work_and_do_each_task_once(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    made = [await submit(database, objects, short_film) for _ in range(3)]
    with process(database_urls, objects, tmp_path / "one"), process(database_urls, objects, tmp_path / "two"):
        for submitted in made:
            await until(database, submitted.job_id, "succeeded")
    assert await look(database, "SELECT count(*) AS n, max(fence) AS fence, max(attempts) AS attempts FROM transcode_tasks") == {
        "n": 3, "fence": 1, "attempts": 1,
    }  # fmt: skip


async def test_a_lost_message_is_found_by_the_rescuer(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, short_film: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, short_film)
    async with database.transaction(service()) as tx:
        for sql in ("DELETE FROM pgqueuer", "UPDATE transcode_tasks SET lease_until = now() - interval '1 second'"):
            await tx.run(Statement("lose", "none", "a test", sql))
    with process(database_urls, objects, tmp_path / "data"):
        await until(database, made.job_id, "succeeded")


async def test_a_broken_database_connection_is_made_again(
    database: Database,
    database_urls: TestDatabase,
    objects: ObjectStore,
    long_film: Path,
    short_film: Path,
    tmp_path: Path,
) -> None:
    with process(database_urls, objects, tmp_path / "data"):
        first = await submit(database, objects, long_film)
        await until(database, first.job_id, "encoding")
        admin = await dedicated(database_urls.admin_url)
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert await admin.fetchval(cut) >= 2
        await admin.close()
        again = await Database.connect(database_urls.app_url, name="test")
        try:
            second = await submit(again, objects, short_film)
            await until(again, first.job_id, "succeeded")
            await until(again, second.job_id, "succeeded")
        finally:
            await again.close()


async def test_without_a_database_address_the_worker_says_so(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    env = {"PATH": os.environ["PATH"], "PENSTOCK_DATA": str(tmp_path)}
    child = start_service([sys.executable, "-m", "transcoder"], log=log, env=env, cwd=ROOT)
    assert await asyncio.to_thread(child.wait, 20) == 2
    assert "PENSTOCK_DATABASE_URL" in log.read_text()
