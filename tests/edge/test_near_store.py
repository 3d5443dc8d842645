"""An edge reads what lies on its own machine at once, and the answer is the store's in every case."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.objects import ObjectMissing
from edge.near_store import MOST_AT_ONCE_BYTES, NearStore


@pytest.fixture
def store(tmp_path: Path) -> NearStore:
    return NearStore(f"file://{tmp_path / 'store'}")


@pytest.mark.parametrize("size_bytes", [0, 1, 70_000, MOST_AT_ONCE_BYTES + 1])
async def test_what_was_stored_comes_back_whole(store: NearStore, size_bytes: int) -> None:
    body = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    await store.put("hls/a/seg.m4s", body)
    assert await store.get("hls/a/seg.m4s") == body


async def test_what_is_not_there_is_missing(store: NearStore) -> None:
    with pytest.raises(ObjectMissing):
        await store.get("hls/a/none.m4s")
