"""Two workers that share nothing but a database and a bucket make one film."""

from __future__ import annotations

import re
from collections import Counter
from itertools import cycle
from pathlib import Path
from uuid import UUID

import pytest

from core.database import Database
from core.ids import DEFAULT_TENANT
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.s3 import running_bucket
from tests.transcoder.sources import FAST, decode_warnings, make, picture, sound
from tests.transcoder.test_chunks import tasks
from tests.transcoder.test_worker import job, left_in, look, process, submit, until
from transcoder.worker import Worker

pytestmark = [pytest.mark.needs("moto"), pytest.mark.timeout(600)]

CHUNK_S = 4
FILM_S = 24


async def test_two_workers_over_a_bucket_make_one_film(
    database: Database, database_urls: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make(
        tmp_path / "film.mp4", *picture("320x180", "25", FILM_S), *sound(440, FILM_S), *FAST, "-g", "60", "-c:a", "aac"
    )
    with running_bucket() as bucket:
        for name, value in bucket.variables.items():
            monkeypatch.setenv(name, value)
        objects = ObjectStore(bucket.variables["PENSTOCK_STORE_URL"])
        made = await submit(database, objects, film)
        extra = {**bucket.variables, "PENSTOCK_CHUNK_S": str(CHUNK_S)}
        with (
            process(database_urls, objects, tmp_path / "one", extra),
            process(database_urls, objects, tmp_path / "two", extra),
        ):
            await until(database, made.job_id, "succeeded", within_s=300)

            async def swept() -> bool:
                return [key async for key in objects.keys("pieces")] == []

            await waiting.until(swept, 60, "the pieces to be gone from the bucket")
            await waiting.until(
                lambda: not any(p.is_file() for name in ("one", "two") for p in left_in(tmp_path / name / "scratch")),
                120,
                "both workers to have swept their folders",
            )

        # Each piece was delivered by one of the two, and by one alone.
        words = "".join((tmp_path / name / "worker.log").read_text() for name in ("one", "two"))
        delivered = Counter(re.findall(r'"task": "([0-9a-f-]{36})".*"event": "piece_done"', words))
        rows = await tasks(database, made.job_id)
        pieces = {str(row["id"]) for row in rows if row["kind"] in ("encode", "audio")}
        assert len(pieces) == FILM_S // CHUNK_S + 1
        assert {task: delivered[task] for task in pieces} == dict.fromkeys(pieces, 1)

        row = await look(database, "SELECT count(*) AS n FROM generations WHERE state = 'published' AND NOT is_preview")
        assert row["n"] == 1
        async with database.transaction(service()) as tx:
            every = Statement("g", "many", "a test looks", "SELECT store_prefix FROM generations ORDER BY is_preview")
            prefixes = [str(row["store_prefix"]) for row in await tx.many(every)]
        kept = [key async for key in objects.keys("hls")]
        assert kept
        assert all(key.startswith(tuple(f"{prefix}/" for prefix in prefixes)) for key in kept)

        whole = tmp_path / "whole"
        for key in kept:
            if key.startswith(f"{prefixes[0]}/"):
                target = whole / key.removeprefix(f"{prefixes[0]}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                await objects.fetch_to(key, target)
        assert await decode_warnings(whole) == ""


async def test_each_worker_joins_in_with_what_the_other_has_stored(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turns, so that it is certain that both take part: what one has put into the bucket, the other takes out."""
    film = make(
        tmp_path / "film.mp4", *picture("320x180", "25", FILM_S), *sound(440, FILM_S), *FAST, "-g", "60", "-c:a", "aac"
    )
    with running_bucket() as bucket:
        for name, value in bucket.variables.items():
            monkeypatch.setenv(name, value)
        objects = ObjectStore(bucket.variables["PENSTOCK_STORE_URL"])
        made = await submit(database, objects, film)
        pair = cycle(Worker(database, objects, tmp_path / name, chunk_s=CHUNK_S) for name in ("one", "two"))
        while queued := [row["id"] for row in await tasks(database, made.job_id) if row["state"] == "queued"]:
            for task_id in queued:
                assert isinstance(task_id, UUID)
                await next(pair).handle(DEFAULT_TENANT, task_id)
        assert (await job(database, made.job_id))["state"] == "succeeded"
        assert {row["state"] for row in await tasks(database, made.job_id)} == {"done"}
