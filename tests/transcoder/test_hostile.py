"""Hostile files through the worker's own attempt: each gets a verdict, nothing reaches out, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from core.database import Database
from core.domain.media_previews import Preview
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.ids import uuid7
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.hostile import corpus, variations
from tests.transcoder.programs import programs_over
from tests.transcoder.test_worker import left_in, look, process, stored, submit
from transcoder.attempt import perform
from transcoder.status import Status
from transcoder.workshop import Workshop

AT_ONCE = 2
VERDICTS = (
    "SELECT j.id, j.error_code, extract(epoch FROM j.finished_at - j.started_at)::float AS seconds, t.attempts"
    " FROM transcode_jobs j JOIN transcode_tasks t ON t.job_id = j.id AND t.kind = 'transcode'"
)
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
@pytest.mark.timeout(3600)
async def test_two_hundred_hostile_files_cost_the_worker_nothing(
    listener: Listener, database: Database, database_urls: TestDatabase, objects: ObjectStore, tmp_path: Path
) -> None:
    seeds = await asyncio.to_thread(corpus, tmp_path / "files", listener.port)
    damaged = await asyncio.to_thread(variations, seeds, tmp_path / "more", 200 - len(seeds))
    await campaign({**seeds, **damaged}, listener, database, database_urls, objects, tmp_path)


@pytest.mark.timeout(600)
async def test_hostile_files_cost_a_worker_nothing(
    listener: Listener, database: Database, database_urls: TestDatabase, objects: ObjectStore, tmp_path: Path
) -> None:
    seeds = await asyncio.to_thread(corpus, tmp_path / "files", listener.port)
    few = {name: seeds[name] for name in ("hls", "moov-nested", "flipped-0.01", "sizes-2-31")}
    await campaign(few, listener, database, database_urls, objects, tmp_path)


async def campaign(
    paths: Mapping[str, Path],
    listener: Listener,
    database: Database,
    urls: TestDatabase,
    objects: ObjectStore,
    folder: Path,
) -> None:
    """All of it through one worker's process, as uploads come: it lives, says something of each, and keeps nothing."""
    names: dict[UUID, str] = {}
    at_once: dict[str, str] = {}
    for name, path in paths.items():
        try:
            names[(await submit(database, objects, path)).job_id] = name
        except Refusal as refusal:
            at_once[name] = refusal.code.code
    assert at_once == {"nothing": "PS602"} if "nothing" in paths else at_once == {}
    ended = "SELECT count(*) AS n FROM transcode_jobs WHERE finished_at IS NOT NULL"
    with process(urls, objects, folder / "data", {"PENSTOCK_TRANSCODE_SLOTS": str(AT_ONCE)}) as worker:

        async def judged() -> bool:
            assert worker.poll() is None
            return (await look(database, ended))["n"] == len(names)

        await waiting.until(judged, 3000, "a verdict for every file")
        await waiting.until(lambda: not left_in(folder / "data/scratch"), 60, "the scratch to be empty")
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 60) == 0
    async with database.transaction(service()) as tx:
        every = await tx.many(Statement("verdicts", "many", "a test looks", VERDICTS))
    slowest = sorted(every, key=lambda row: -row["seconds"])[:3]
    told = [json.loads(line) for line in (folder / "data/worker.log").read_text().splitlines() if line.startswith("{")]
    again = [line for line in told if line["event"] in ("attempt_failed", "lease_lost", "lease_lost_at_the_end")]
    codes = Counter([*(row["error_code"] or "published" for row in every), *at_once.values()])
    print(  # noqa: T201 - a campaign's figure
        f"{len(paths)} files: {dict(codes.most_common())}; {listener.visits} connections; slowest verdicts "
        + ", ".join(f"{row['seconds']:.1f} s ({names[row['id']]})" for row in slowest)
        + f"; half within {sorted(row['seconds'] for row in every)[len(every) // 2]:.1f} s; tried again: "
        + str([(line["event"], line.get("code"), line.get("details")) for line in again])
    )
    assert [line for line in told if line["event"] == "attempt_broke" or "exception" in line] == []
    assert listener.visits == 0
    assert not await asyncio.to_thread(LEFT.exists)
    judgements = {names[row["id"]]: row["error_code"] or "published" for row in every}
    allowed = {"published", *(f"PS60{digit}" for digit in range(1, 10))}
    assert {name: code for name, code in judgements.items() if code not in allowed} == {}
    # A preview of the one that is long stays for as long as players may hold it.
    standing = "SELECT array_agg(store_prefix) AS all FROM generations WHERE state = 'published' OR is_preview"
    shown = await look(database, standing)
    prefixes = tuple(f"{prefix}/" for prefix in cast("list[str] | None", shown["all"]) or ())
    assert [key for key in await stored(objects) if not key.startswith(prefixes)] == []
    assert programs_over(folder) == []
