"""The disk cache: what comes out is what went in, or it is fetched again; the folder stays within its budget."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.hls.disk import STALE_S, DiskCache

BUDGET = 1_000_000


class Store:
    """A store far away, that counts what is asked of it."""

    def __init__(self) -> None:
        self.objects = {f"o{n}": bytes([n]) * 10_000 for n in range(200)}
        self.reads: Counter[str] = Counter()

    async def read(self, key: str) -> bytes:
        """The bytes. Raises LookupError."""
        self.reads[key] += 1
        if key not in self.objects:
            raise LookupError(key)
        return self.objects[key]


@pytest.fixture
def store() -> Store:
    return Store()


def cache(folder: Path, store: Store, budget_bytes: int = BUDGET) -> DiskCache:
    return DiskCache(folder / "cache", budget_bytes, store.read)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cache").rglob("*") if path.is_file())


async def test_what_was_read_once_is_not_read_again_also_after_a_restart(tmp_path: Path, store: Store) -> None:
    first = cache(tmp_path, store)
    assert await first.read("o1") == await first.read("o1") == store.objects["o1"]
    again = cache(tmp_path, store)
    assert await again.read("o1") == store.objects["o1"]
    assert store.reads["o1"] == 1
    assert (again.hits, again.misses) == (1, 0)


async def test_a_missing_object_stays_the_stores_to_tell(tmp_path: Path, store: Store) -> None:
    with pytest.raises(LookupError):
        await cache(tmp_path, store).read("nothing")
    assert files(tmp_path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.integers(0, 10_050), st.sampled_from(["flip", "cut", "grow", "empty", "other"]))
async def test_a_file_that_is_wrong_in_any_way_is_dropped(tmp_path: Path, at: int, harm: str) -> None:
    store = Store()
    await cache(tmp_path, store).read("o1")
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    at = min(at, len(whole) - 1)
    match harm:
        case "flip":
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        case "cut":
            path.write_bytes(whole[:at])
        case "grow":
            path.write_bytes(whole + b"x")
        case "empty":
            path.write_bytes(b"")
        case "other":
            await cache(tmp_path, store).read("o2")
            (other,) = [file for file in files(tmp_path) if file != path]
            other.rename(path)
    spoilt = cache(tmp_path, store)
    before = store.reads["o1"]
    assert await spoilt.read("o1") == store.objects["o1"]
    assert (spoilt.spoilt, store.reads["o1"]) == (1, before + 1)
    assert await spoilt.read("o1") == store.objects["o1"]
    assert store.reads["o1"] == before + 1
    for path in files(tmp_path):
        path.unlink()


async def test_the_folder_stays_within_its_budget_and_keeps_what_is_used(tmp_path: Path, store: Store) -> None:
    kept = cache(tmp_path, store)
    long_ago = time.time() - 10_000
    for number in range(95):
        await kept.read(f"o{number}")
    for age, path in enumerate(files(tmp_path)):
        os.utime(path, (long_ago + age, long_ago + age))
    await kept.read("o1")  # used again: it is the youngest now
    for number in range(95, 130):
        await kept.read(f"o{number}")
    kept.sweep(time.time())
    assert sum(path.stat().st_size for path in files(tmp_path)) <= BUDGET
    reads = store.reads["o1"]
    await cache(tmp_path, store).read("o1")
    assert store.reads["o1"] == reads


async def test_one_huge_object_pushes_nothing_out(tmp_path: Path, store: Store) -> None:
    store.objects["huge"] = b"h" * 200_000
    kept = cache(tmp_path, store)
    assert await kept.read("huge") == store.objects["huge"]
    assert files(tmp_path) == []


async def test_what_a_dead_process_left_half_written_goes(tmp_path: Path, store: Store) -> None:
    kept = cache(tmp_path, store)
    await kept.read("o1")
    (path,) = files(tmp_path)
    half = path.with_name("left.new")
    half.write_bytes(b"half")
    kept.sweep(time.time())
    assert half.exists(), "somebody may be writing it"
    kept.sweep(time.time() + STALE_S + 1)
    assert files(tmp_path) == [path]


async def test_a_disk_that_cannot_be_written_costs_only_speed(tmp_path: Path, store: Store) -> None:
    kept = cache(tmp_path, store)
    for name in range(256):
        (tmp_path / "cache" / f"{name:02x}").write_bytes(b"in the way")
    assert await kept.read("o1") == await kept.read("o1") == store.objects["o1"]
    assert store.reads["o1"] == 2
