"""kill -9 of workers, again and again, over a batch: every film comes out right and once, and nothing is left of the dead."""

from __future__ import annotations

import asyncio
import random
import subprocess
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from core.database import Database, DatabaseDown
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.sources import decode_warnings
from tests.transcoder.test_chunks import CHUNK_S, feature
from tests.transcoder.test_worker import left_in, pieces_left, process, short_film, stored, submit

__all__ = ["feature", "short_film"]
WORKERS = 2
BEGUN = "SELECT count(*) AS n FROM transcode_tasks WHERE fence > 0"
ENDED = ("succeeded", "failed", "cancelled")


async def rows(database: Database, sql: str) -> list[dict[str, object]]:
    """Asked again when a busy machine makes the database seem away."""

    async def there() -> tuple[list[dict[str, object]]]:
        try:
            async with database.transaction(service()) as tx:
                return ([dict(row) for row in await tx.many(Statement("rows", "many", "a test looks", sql))],)
        except DatabaseDown as error:
            raise AssertionError(str(error)) from error

    return (await waiting.until(there, 60, sql))[0]


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_fifty_killed_workers_cost_no_film(
    database: Database,
    database_urls: TestDatabase,
    objects: ObjectStore,
    feature: Path,
    short_film: Path,
    tmp_path: Path,
) -> None:
    await campaign(database, database_urls, objects, [feature, short_film] * 20, tmp_path, kills=50)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_few_killed_workers_cost_no_film(
    database: Database,
    database_urls: TestDatabase,
    objects: ObjectStore,
    feature: Path,
    short_film: Path,
    tmp_path: Path,
) -> None:
    await campaign(database, database_urls, objects, [feature, short_film], tmp_path, kills=3)


async def campaign(
    database: Database, urls: TestDatabase, objects: ObjectStore, films: list[Path], tmp_path: Path, *, kills: int
) -> None:
    """Kills a worker at a random instant, starts another in its place, and so on; then lets the rest be done."""
    chance = random.Random(kills)
    extra = {"PENSTOCK_CHUNK_S": str(CHUNK_S)}
    for film in films:
        await submit(database, objects, film)
    with ExitStack() as stack:
        alive: list[tuple[ExitStack, subprocess.Popen[bytes]]] = []

        def start(number: int) -> None:
            own = ExitStack()
            alive.append((own, own.enter_context(process(urls, objects, tmp_path / f"worker-{number}", extra))))
            stack.callback(own.close)

        for number in range(WORKERS):
            start(number)
        for number in range(kills):
            before = (await rows(database, BEGUN))[0]["n"]
            moment_s = chance.uniform(0.0, 2.0)

            async def under_way(before: object = before) -> bool:
                """Some more work has begun since, or all of it is done."""
                found = await rows(database, BEGUN)
                open_ = await rows(database, f"SELECT 1 FROM transcode_jobs WHERE state NOT IN {ENDED}")
                return not open_ or found[0]["n"] != before

            await waiting.until(under_way, 300)
            await asyncio.sleep(moment_s)  # the instant is random on purpose
            own, victim = alive.pop(chance.randrange(len(alive)))
            family = psutil.Process(victim.pid).children(recursive=True)
            victim.kill()
            await asyncio.to_thread(victim.wait)
            await waiting.until(
                lambda family=family: not psutil.wait_procs(family, timeout=0)[1], 60, "the encoders to die"
            )
            own.close()
            start(WORKERS + number)

        async def over() -> bool:
            return not await rows(database, f"SELECT 1 FROM transcode_jobs WHERE state NOT IN {ENDED}")

        await waiting.until(over, 1800 if kills > 10 else 400, "every job to end")
        await waiting.until(lambda: not pieces_left(objects), 120)
    jobs = await rows(database, "SELECT state::text, error_code, error_message FROM transcode_jobs")
    assert {job["state"] for job in jobs} == {"succeeded"}, jobs
    shown = await rows(
        database,
        "SELECT g.store_prefix FROM contents c JOIN generations g ON g.id = c.generation_id AND NOT g.is_preview",
    )
    assert len(shown) == len(films)
    whole = await rows(database, "SELECT content_id FROM generations WHERE state = 'published' AND NOT is_preview")
    assert len({row["content_id"] for row in whole}) == len(whole) == len(films)
    root = Path(objects.url.removeprefix("file://"))
    for row in shown:
        assert await decode_warnings(root / str(row["store_prefix"])) == ""
    known = tuple(f"{row['store_prefix']}/" for row in await rows(database, "SELECT store_prefix FROM generations"))
    assert [key for key in await stored(objects) if not key.startswith(known)] == []
    # Each worker here has a scratch of its own, so what a dead one left is swept by whoever starts on it.
    for number in range(WORKERS + kills):
        with process(urls, objects, tmp_path / f"worker-{number}", extra):
            await waiting.until(
                lambda number=number: not [p for p in left_in(tmp_path / f"worker-{number}/scratch") if p.is_file()], 60
            )
