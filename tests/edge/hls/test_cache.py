"""The byte cache: never over its budget, not emptied by a scan, one load for all who wait."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hls.cache import WANTED_AFTER, ByteCache


def a_cache(budget: int = 1000) -> ByteCache[bytes]:
    return ByteCache(budget, len)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 150), st.booleans()), max_size=400))
def test_the_budget_holds_and_what_is_found_is_what_was_put(steps: list[tuple[int, int, bool]]) -> None:
    cache = a_cache()
    put: dict[str, bytes] = {}
    for number, size, is_put in steps:
        key = str(number)
        if is_put:
            value = put.setdefault(key, bytes([number]) * size)
            cache.put(key, value)
        elif (found := cache.get(key)) is not None:
            assert found == put[key]
        assert 0 <= cache.size_bytes <= 1000


def test_a_scan_does_not_push_out_what_is_used_again() -> None:
    cache = a_cache()
    hot = [f"hot{n}" for n in range(5)]
    for key in hot:
        cache.put(key, b"x" * 50)
        assert cache.get(key)
    for n in range(1000):
        cache.put(f"scan{n}", b"y" * 50)
    assert all(cache.get(key) is not None for key in hot)


def test_a_miss_served_elsewhere_counts_as_one_that_passed_through() -> None:
    cache: ByteCache[bytes] = ByteCache(1000, len)
    for _ in range(WANTED_AFTER):
        assert not cache.missed_again("served from its file", 50)
    assert cache.missed_again("served from its file", 50)
    cache.put("served from its file", bytes(50))
    assert not cache.missed_again("never seen", 50)
    for number in range(100):
        cache.put(f"scan {number}", bytes(50))
    assert "served from its file" in cache, "asked for twice: a scan leaves it alone"
    for _ in range(3):
        assert not cache.missed_again("larger than would be kept", 200)


def test_something_larger_than_the_small_queue_is_not_kept() -> None:
    cache = a_cache()
    cache.put("huge", b"x" * 101)
    assert cache.get("huge") is None


async def test_a_thousand_waiters_cause_one_load() -> None:
    cache, loads, gate = a_cache(), 0, asyncio.Event()

    async def load() -> bytes:
        nonlocal loads
        loads += 1
        await gate.wait()
        return b"segment"

    waiting = [asyncio.create_task(cache.get_or_load("k", load)) for _ in range(1000)]
    while cache.joined < 999:
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [b"segment"] * 1000
    assert (loads, cache.misses, cache.joined) == (1, 1, 999)


async def test_the_first_waiter_leaving_fails_nobody() -> None:
    cache, gate = a_cache(), asyncio.Event()

    async def load() -> bytes:
        await gate.wait()
        return b"segment"

    first, second = (asyncio.create_task(cache.get_or_load("k", load)) for _ in range(2))
    while not cache.joined:
        await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == b"segment"


async def test_a_failed_load_is_tried_again_by_the_next() -> None:
    cache, tries = a_cache(), 0

    async def load() -> bytes:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LookupError("away")
        return b"segment"

    with pytest.raises(LookupError):
        await cache.get_or_load("k", load)
    assert await cache.get_or_load("k", load) == b"segment"
