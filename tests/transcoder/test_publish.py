"""Publishing is whole or nothing; scratch belongs to the living."""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.ids import uuid7
from core.objects import ObjectStore, StoreDown
from tests.transcoder.test_worker import left_in
from transcoder.publish import SUMS, publish, read_sums
from transcoder.scratch import attempt_folder, sweep, used_bytes
from transcoder.unsound import Unsound


def generation(folder: Path, segments: int = 20) -> Path:
    (folder / "video").mkdir(parents=True)
    for number in range(segments):
        (folder / f"video/{number}.m4s").write_bytes(bytes([number]) * 1000)
    (folder / "master.m3u8").write_text("#EXTM3U\n")
    return folder


class FailingStore(ObjectStore):
    """Takes so many objects, and then no more."""

    def __init__(self, url: str, takes: int) -> None:
        super().__init__(url)
        self.takes = takes
        self.order: list[str] = []

    async def put(self, key: str, data: bytes | Path) -> None:
        if len(self.order) >= self.takes:
            raise StoreDown("the store is away")
        await super().put(key, data)
        self.order.append(key)


async def keys(store: ObjectStore, prefix: str) -> list[str]:
    return [key async for key in store.keys(prefix)]


async def test_everything_is_stored_and_the_master_comes_last(objects: ObjectStore, tmp_path: Path) -> None:
    store = FailingStore(objects.url, 1000)
    shares: list[float] = []
    manifest = await publish(store, generation(tmp_path / "out"), "hls/a/1-1", shares.append)
    assert store.order[-1] == "hls/a/1-1/master.m3u8"
    assert len(await keys(store, "hls/a/1-1")) == 22
    assert shares == sorted(shares)
    assert shares[-1] == 1
    sums = await store.get(f"hls/a/1-1/{SUMS}")
    assert manifest.size_bytes == 20_008 + len(sums)
    assert read_sums(sums, manifest.checksum) == manifest.objects
    with pytest.raises(Unsound, match=SUMS):
        read_sums(sums.replace(b"master", b"maste2"), manifest.checksum)


@pytest.mark.parametrize("takes", [0, 7, 20])
async def test_a_store_that_fails_midway_is_left_clean(takes: int, objects: ObjectStore, tmp_path: Path) -> None:
    store = FailingStore(objects.url, takes)
    with pytest.raises(StoreDown):
        await publish(store, generation(tmp_path / "out"), "hls/a/1-1", lambda share: None)
    assert await keys(objects, "hls") == []


async def test_a_cancelled_upload_is_left_clean(objects: ObjectStore, tmp_path: Path) -> None:
    begun = asyncio.Event()
    uploading = asyncio.create_task(
        publish(objects, generation(tmp_path / "out"), "hls/a/1-1", lambda share: begun.set())
    )
    await begun.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert await keys(objects, "hls") == []


def test_the_manifest_names_its_contents(objects: ObjectStore, tmp_path: Path) -> None:
    async def checksum(folder: Path, prefix: str) -> str:
        return (await publish(objects, folder, prefix, lambda share: None)).checksum

    first = asyncio.run(checksum(generation(tmp_path / "a"), "hls/a/1-1"))
    same = asyncio.run(checksum(generation(tmp_path / "b"), "hls/b/1-1"))
    (tmp_path / "b/video/3.m4s").write_bytes(b"changed")
    assert first == same != asyncio.run(checksum(tmp_path / "b", "hls/c/1-1"))


def test_scratch_is_removed_whatever_happens(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with attempt_folder(tmp_path, uuid7(), 3) as folder:
            (folder / "raw").mkdir()
            raise ValueError("midway")

    with pytest.raises(ValueError, match="midway"):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_the_janitor_spares_the_living(tmp_path: Path) -> None:
    dead = tmp_path / str(uuid7()) / "1"
    (dead / "raw").mkdir(parents=True)
    (dead / ".lock").touch()
    with attempt_folder(tmp_path, uuid7(), 1) as living:
        assert sweep(tmp_path) == 1
        assert living.is_dir()
        assert not dead.exists()


def test_an_attempt_begins_although_a_janitor_takes_its_new_folder_for_a_dead_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the folder's making and its lock."""
    real, swept = fcntl.flock, []

    def sweep_first(lock: int, how: int) -> None:
        if not swept and not how & fcntl.LOCK_NB:
            swept.append(True)
            assert sweep(tmp_path) == 1
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with attempt_folder(tmp_path, uuid7(), 1) as folder:
        assert swept
        assert (folder / ".lock").is_file()
        assert sweep(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_attempts_begin_and_end_beside_a_janitor_at_work(tmp_path: Path) -> None:
    """Folders of the living come and go between its listing and its looking."""
    tasks = [uuid7() for _ in range(4)]

    def work(number: int) -> None:
        for fence in range(150):
            with attempt_folder(tmp_path, tasks[number % len(tasks)], 1000 * number + fence) as folder:
                (folder / "raw").mkdir()

    with ThreadPoolExecutor(5) as pool:
        working = [pool.submit(work, number) for number in range(4)]
        while not all(one.done() for one in working):
            sweep(tmp_path)
        for one in working:
            one.result()
    assert left_in(tmp_path) == []


def test_used_is_what_the_disk_holds(tmp_path: Path) -> None:
    assert used_bytes(tmp_path) == used_bytes(tmp_path / "none") == 0
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a").write_bytes(b"x" * 100_000)
    os.truncate(os.open(tmp_path / "sparse", os.O_CREAT | os.O_RDWR), 1 << 40)
    assert 100_000 <= used_bytes(tmp_path) < 300_000


def test_one_attempt_has_one_folder(tmp_path: Path) -> None:
    task_id = uuid7()
    with attempt_folder(tmp_path, task_id, 1) as folder:
        other = os.open(folder / ".lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
