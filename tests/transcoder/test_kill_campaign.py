"""kill -9 of workers, again and again, over a batch: every film comes out right and once, and nothing is left of the dead."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path

import pytest

from core.database import Database, DatabaseDown, dedicated
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.programs import programs_over
from tests.transcoder.sources import decode_warnings
from tests.transcoder.test_chunks import CHUNK_S, feature
from tests.transcoder.test_worker import left_in, pieces_left, process, short_film, stored, submit
from transcoder.verify import verify

__all__ = ["feature", "short_film"]
WORKERS = 2
BEGUN = "SELECT count(*) AS n FROM transcode_tasks WHERE fence > 0"
LASTS_S = {"feature.mkv": 20, "short.mp4": 2}
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


class Campaign:
    """Two workers over one scratch, as one machine has them, and what was done to them."""

    def __init__(self, database: Database, urls: TestDatabase, objects: ObjectStore, folder: Path) -> None:
        self._database, self._urls, self._objects = database, urls, objects
        self._folder = folder / "machine"
        self._alive: list[tuple[ExitStack, subprocess.Popen[bytes]]] = []
        self.interrupted = 0
        """Attempts that a kill ended."""

    @property
    def scratch(self) -> Path:
        """Where every worker here writes."""
        return self._folder / "scratch"

    def start(self) -> None:
        """One worker more."""
        own = ExitStack()
        extra = {"PENSTOCK_CHUNK_S": str(CHUNK_S)}
        self._alive.append((own, own.enter_context(process(self._urls, self._objects, self._folder, extra))))

    async def kill_one(self, chance: random.Random) -> None:
        """SIGKILL for one, and at once another in its place, as a supervisor does it: its encoders may still be dying."""
        own, victim = self._alive.pop(chance.randrange(len(self._alive)))
        held = f"SELECT count(*) AS n FROM transcode_tasks WHERE state = 'running' AND owner LIKE '%:{victim.pid}'"
        begun = int(str((await rows(self._database, held))[0]["n"]))
        victim.kill()
        await asyncio.to_thread(victim.wait)
        own.close()
        self.interrupted += begun
        self.start()

    async def stop(self) -> None:
        """SIGTERM for all."""
        for _, worker in self._alive:
            worker.terminate()
        for own, worker in self._alive:
            assert await asyncio.to_thread(worker.wait, 60) == 0
            own.close()
        self._alive.clear()

    def close(self) -> None:
        """However the test ends, its workers do."""
        for own, _ in self._alive:
            own.close()


async def watch_what_is_shown(urls: TestDatabase) -> None:
    """From here on the database itself writes down every generation that a content ever shows."""
    admin = await dedicated(urls.admin_url)
    try:
        await admin.execute(
            "CREATE TABLE shown (at bigint GENERATED ALWAYS AS IDENTITY, content_id uuid, generation_id uuid);"
            "GRANT SELECT ON shown TO PUBLIC;"
            "CREATE FUNCTION note_shown() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
            " INSERT INTO shown (content_id, generation_id) VALUES (NEW.id, NEW.generation_id); RETURN NULL; END $$;"
            "CREATE TRIGGER note_shown AFTER UPDATE OF generation_id ON contents FOR EACH ROW"
            " WHEN (NEW.generation_id IS DISTINCT FROM OLD.generation_id) EXECUTE FUNCTION note_shown()"
        )
    finally:
        await admin.close()


async def campaign(
    database: Database, urls: TestDatabase, objects: ObjectStore, films: list[Path], tmp_path: Path, *, kills: int
) -> None:
    """Kills a worker at a random instant, starts another in its place, and so on; then lets the rest be done."""
    chance = random.Random(kills)
    began = time.monotonic()
    await watch_what_is_shown(urls)
    for film in films:
        await submit(database, objects, film)
    workers = Campaign(database, urls, objects, tmp_path)
    open_jobs = f"SELECT 1 FROM transcode_jobs WHERE state NOT IN {ENDED}"
    with closing(workers):
        for _ in range(WORKERS):
            workers.start()
        done = 0
        for _ in range(kills):
            before = (await rows(database, BEGUN))[0]["n"]
            moment_s = chance.uniform(0.0, 2.0)

            async def under_way(before: object = before) -> bool:
                """Some more work has begun since, or all of it is done."""
                return (await rows(database, BEGUN))[0]["n"] != before or not await rows(database, open_jobs)

            await waiting.until(under_way, 1200, "a worker to begin something")
            if not await rows(database, open_jobs):
                break
            await asyncio.sleep(moment_s)  # the instant is random on purpose
            await workers.kill_one(chance)
            done += 1

        async def over() -> bool:
            return not await rows(database, open_jobs)

        await waiting.until(over, 3000 if kills > 10 else 400, "every job to end")
        ended_s = time.monotonic() - began
        await waiting.until(lambda: not pieces_left(objects), 120)
        # While the workers still live: nothing waits for a restart to be cleaned up.
        await waiting.until(lambda: not left_in(workers.scratch), 60, "the scratch of the dead to be swept")
        await workers.stop()
    jobs = await rows(database, "SELECT state::text, error_code, error_message FROM transcode_jobs")
    attempts = await rows(database, "SELECT sum(fence) AS n, count(*) AS tasks FROM transcode_tasks")
    print(  # noqa: T201 - a campaign's figure
        f"{done} kills, {workers.interrupted} attempts interrupted, {len(jobs)} films, {attempts[0]['tasks']} tasks,"
        f" {attempts[0]['n']} attempts, {ended_s:.0f} s"
    )
    assert done == kills
    assert workers.interrupted > 0
    assert {job["state"] for job in jobs} == {"succeeded"}, jobs
    await check_what_is_shown(database, objects, films)
    assert programs_over(tmp_path) == []
    assert left_in(workers.scratch) == []


def names_below(folder: Path) -> tuple[str, ...]:
    """Every file, relative to `folder`."""
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))


async def check_what_is_shown(database: Database, objects: ObjectStore, films: list[Path]) -> None:
    """Each film is there whole and once, was never shown as anything else, and is the same as its twins."""
    shown = await rows(
        database,
        "SELECT c.id, g.id AS generation_id, g.store_prefix, f.name FROM contents c"
        " JOIN generations g ON g.id = c.generation_id AND NOT g.is_preview JOIN files f ON f.id = c.file_id",
    )
    assert len(shown) == len(films)
    whole = await rows(database, "SELECT content_id FROM generations WHERE state = 'published' AND NOT is_preview")
    assert len({row["content_id"] for row in whole}) == len(whole) == len(films)
    changes = await rows(
        database,
        "SELECT s.content_id, s.generation_id, g.is_preview FROM shown s JOIN generations g ON g.id = s.generation_id ORDER BY s.at",
    )
    for row in shown:
        history = [change for change in changes if change["content_id"] == row["id"]]
        assert [change["generation_id"] for change in history if not change["is_preview"]] == [row["generation_id"]]
        assert history[-1]["generation_id"] == row["generation_id"]
    root = Path(objects.url.removeprefix("file://"))
    for row in shown:
        folder = root / str(row["store_prefix"])
        seconds = LASTS_S[str(row["name"])]
        verify(folder, Fraction(seconds), float(seconds))
        assert await decode_warnings(folder) == ""
    # Not the bytes: x264 with threads under a rate ceiling does not repeat itself (a segment differed in 11 of 20 films).
    made = {(row["name"], names_below(root / str(row["store_prefix"]))) for row in shown}
    assert len(made) == len(set(films))
    # What an attempt left that did not end is gone; a preview stays for as long as players may hold it.
    standing = await rows(database, "SELECT store_prefix FROM generations WHERE state = 'published' OR is_preview")
    known = tuple(f"{row['store_prefix']}/" for row in standing)
    assert [key for key in await stored(objects) if not key.startswith(known)] == []
