"""Hostile files through the worker's own attempt: each gets a verdict, nothing reaches out, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from core.domain.media_previews import Preview
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.ids import uuid7
from core.objects import ObjectStore
from tests.transcoder.hostile import corpus, variations
from transcoder.attempt import perform
from transcoder.status import Status
from transcoder.workshop import Workshop

AT_ONCE = 2
LEFT = Path("/tmp/penstock-traversal")


class Listener:
    """Counts who comes to a port of this machine."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """A port that nobody should come to."""
    found = Listener()
    server = await asyncio.start_server(found.met, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


async def nobody(preview: Preview) -> bool:
    """Short films have no previews."""
    raise AssertionError(preview)


async def verdicts(paths: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """`published` or the refusal's code for each; anything else that is raised is a failure of ours and goes through."""
    store = ObjectStore(f"file://{folder / 'store'}")
    shop = Workshop(store, folder / "scratch")
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[str, str] = {}

    async def judge(name: str, path: Path) -> None:
        async with gate:
            data = await asyncio.to_thread(path.read_bytes)
            await store.put(f"in/{name}", data)
            attempt = Attempt(
                uuid7(), 1, 1, 5, uuid7(), None, "film.mp4", len(data), f"in/{name}", f"hls/{name}/1-1", uuid7()
            )
            try:
                await perform(attempt, shop, Status(), nobody)
                found[name] = "published"
            except Refusal as refusal:
                found[name] = refusal.code.code
                assert [key async for key in store.keys(f"hls/{name}")] == []

    async with asyncio.TaskGroup() as group:
        for name, path in paths.items():
            group.create_task(judge(name, path))
    assert [path for path in (folder / "scratch").rglob("*") if path.is_file()] == []
    return found


@pytest.mark.timeout(600)
async def test_hostile_files_get_a_verdict_each_and_reach_nothing(listener: Listener, tmp_path: Path) -> None:
    paths = await asyncio.to_thread(corpus, tmp_path / "files", listener.port)
    assert len(paths) >= 60
    found = await verdicts(paths, tmp_path)
    assert set(found) == set(paths)
    assert listener.visits == 0
    assert not await asyncio.to_thread(LEFT.exists)
    shown = {name: code for name, code in found.items() if code == "published"}
    # What is only odd is shown; what is not whole, not media, or beyond the bounds is not.
    assert {"attachment-traversal", "frames-bomb", "ass-overrides"} <= set(shown)
    for name in (
        "hls",
        "hls-key",
        "hls-file",
        "hls-late",
        "concat",
        "dash",
        "smooth",
        "svg",
        "sdp",
        "asx",
        "pls",
        "rtsp",
        "page",
        "zip",
    ):
        assert found[name] == "PS604", name
    assert found["nothing"] == "PS602"
    assert {found[name] for name in ("cut-0.05", "cut-0.3", "cut-0.6", "cut-0.95", "size-one", "size-beyond")} == {
        "PS603"
    }
    assert {found["wide"], found["streams"]} == {"PS606"}
    allowed = {"published", *(f"PS60{digit}" for digit in range(1, 10))}
    assert {name: code for name, code in found.items() if code not in allowed} == {}


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_two_hundred_damaged_files_cost_the_worker_nothing(listener: Listener, tmp_path: Path) -> None:
    seeds = await asyncio.to_thread(corpus, tmp_path / "files", listener.port)
    paths = {**seeds, **await asyncio.to_thread(variations, seeds, tmp_path / "more", 200 - len(seeds))}
    found = await verdicts(paths, tmp_path)
    assert len(found) == 200
    assert listener.visits == 0
