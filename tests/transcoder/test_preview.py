"""A film is playable while it is being encoded: its first rendition grows, ends, and gives way to the whole."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from core import errors
from core.database import Database
from core.domain import media, media_tasks, playback
from core.domain.media_previews import Preview
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.ids import uuid7
from core.objects import ObjectStore
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.transcoder.sources import FAST, ffmpeg, frames_of, make, picture, sound
from tests.transcoder.test_chunks import CHUNK_S, feature, take, tasks, work_off
from tests.transcoder.test_worker import job, look, submit
from transcoder import encoder
from transcoder.pieces import Shared
from transcoder.preview import make_preview
from transcoder.probe import probe
from transcoder.status import Status
from transcoder.worker import Worker
from transcoder.workshop import Workshop

__all__ = ["feature"]
PREFIX = "hls/x/2-1"


class Watched(ObjectStore):
    """Remembers every state of every growing playlist, and sees that it never names what is not there."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.states: dict[str, list[str]] = {}

    async def put(self, key: str, data: bytes | Path) -> None:
        if key.endswith("event.m3u8"):
            assert isinstance(data, bytes)
            text = str(data, "utf-8")
            there = {name async for name in self.keys(key.rpartition("/")[0])}
            for line in text.splitlines():
                assert line.startswith("#") or f"{key.rpartition('/')[0]}/{line}" in there
            self.states.setdefault(key, []).append(text)
        await super().put(key, data)

    async def delete_prefix(self, prefix: str) -> int:
        """What is removed has no states any more: another try begins anew."""
        self.states.clear()
        return await super().delete_prefix(prefix)


async def grow(path: Path, tmp_path: Path, *, needed: bool = True) -> tuple[Watched, list[Preview]]:
    """A preview from its beginning to its end."""
    store = Watched(f"file://{tmp_path / 'store'}")
    await store.put("in/film", path)
    source = await probe(path)
    shared = msgspec.json.encode(Shared(source, CHUNK_S)).decode()
    size_bytes = len(await store.get("in/film"))
    attempt = Attempt(
        uuid7(), 1, 1, 1, uuid7(), None, "film", size_bytes, "in/film", PREFIX, uuid7(), "preview", None, shared
    )
    shown: list[Preview] = []

    async def show(preview: Preview) -> bool:
        shown.append(preview)
        return needed

    folder = tmp_path / "work"
    folder.mkdir()
    await make_preview(attempt, Workshop(store, tmp_path / "scratch"), folder, Status(), show)
    return store, shown


def check_growth(store: Watched) -> None:
    """Every state of a playlist continues the one before, and the last one ends (RFC 8216, 6.2.1)."""
    assert store.states
    for states in store.states.values():
        for before, after in pairwise(states):
            assert after.startswith(before)
        assert all("#EXT-X-PLAYLIST-TYPE:EVENT\n" in state for state in states)
        assert states[-1].endswith("#EXT-X-ENDLIST\n")
        assert all("ENDLIST" not in state for state in states[:-1])


async def decoded(store: Watched, tmp_path: Path) -> tuple[str, int]:
    """What a decoder says of the whole preview, and how many pictures it shows."""
    folder = tmp_path / "store" / PREFIX
    argv = [
        str(ffmpeg()),
        "-nostdin",
        "-v",
        "warning",
        "-i",
        str(folder / "master.m3u8"),
        "-map",
        "0",
        "-f",
        "null",
        "-",
    ]
    warnings = await encoder.run(argv, 60, reads=[folder], writes=folder)
    shown = await asyncio.to_thread(frames_of, ["-i", folder / "master.m3u8"])
    return warnings, len(re.findall(r"pts_time:", shown))


async def test_a_compatible_source_is_given_as_it_is(tmp_path: Path) -> None:
    path = make(
        tmp_path / "film.mp4", *picture("320x180", "25", 20), *sound(seconds=20), "-c:v", "libx264", "-preset", "veryfast",
        "-pix_fmt", "yuv420p", "-g", "60", "-bf", "3", "-c:a", "aac",
    )  # fmt: skip
    store, shown = await grow(path, tmp_path)
    assert shown == [Preview(20_000, 320, 180, True)]
    check_growth(store)
    video = next(states[-1] for key, states in store.states.items() if "/video/" in key)
    assert "#EXT-X-TARGETDURATION:10\n" in video
    assert await decoded(store, tmp_path) == ("", 500)
    # The very pictures of the source: its coded bytes are in the segments.
    folder = tmp_path / "store" / PREFIX / "video/180p"
    copied = sum(segment.stat().st_size for segment in folder.glob("*.m4s"))
    listed = encoder.run([str(ffmpeg()), "-nostdin", "-v", "info", "-i", str(path), "-map", "0:v", "-c", "copy", "-f", "null", "-"], 60,
                         reads=[path], writes=tmp_path)  # fmt: skip
    stated = re.findall(r"video:(\d+)KiB", await listed)
    assert copied == pytest.approx(int(stated[-1]) * 1024, rel=0.1)


@pytest.mark.parametrize("why", ["long groups", "another codec", "no sound"])
async def test_any_other_source_gets_one_small_rung(why: str, tmp_path: Path) -> None:
    sounds = () if why == "no sound" else sound(seconds=20)
    coded = {
        "long groups": (*FAST, "-g", "400"),
        "another codec": ("-c:v", "mpeg4", "-q:v", "5"),
        "no sound": ("-c:v", "mpeg4", "-q:v", "5"),
    }[why]
    path = make(tmp_path / "film.mkv", *picture("320x180", "25", 20), *sounds, *coded, "-c:a", "aac")
    store, shown = await grow(path, tmp_path)
    assert shown == [Preview(20_000, 320, 180, why != "no sound")]
    check_growth(store)
    video = next(states[-1] for key, states in store.states.items() if "/video/" in key)
    assert re.findall(r"#EXTINF:([\d.]+)", video) == ["4.000000"] * 5
    assert await decoded(store, tmp_path) == ("", 500)


async def test_a_preview_that_nobody_needs_leaves_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", *picture("320x180", "25", 20), *FAST, "-g", "50")
    store, shown = await grow(path, tmp_path, needed=False)
    assert len(shown) == 1
    assert [key async for key in store.keys("hls")] == []


async def preview_of(database: Database, job_id: UUID) -> dict[str, object]:
    return next(t for t in await tasks(database, job_id) if t["kind"] == "preview")


async def has_thumbnails(database: Database, content_id: UUID) -> bool:
    """What /play tells the page to ask for: a preview has no sheet of pictures yet."""
    async with database.transaction(service()) as tx:
        title = await playback.playable(tx, content_id, None)
    assert title is not None
    return title.has_thumbnails


async def test_a_film_can_be_played_before_its_ladder_is_there(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    await work_off(worker, database, made.job_id, "transcode")
    await work_off(worker, database, made.job_id, "preview")
    row = await look(
        database,
        "SELECT c.is_published, g.is_preview, g.number, g.state::text, g.duration_ms FROM contents c"
        " JOIN generations g ON g.id = c.generation_id",
    )
    assert row == {"is_published": True, "is_preview": True, "number": 2, "state": "published", "duration_ms": 20_000}
    assert (await job(database, made.job_id))["state"] == "running"
    assert not await has_thumbnails(database, made.content_id)
    await work_off(worker, database, made.job_id, "encode", "audio")
    await work_off(worker, database, made.job_id, "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"
    row = await look(
        database, "SELECT g.is_preview, g.number FROM contents c JOIN generations g ON g.id = c.generation_id"
    )
    assert row == {"is_preview": False, "number": 1}
    assert await has_thumbnails(database, made.content_id)
    row = await look(database, "SELECT state::text, store_prefix FROM generations WHERE is_preview")
    assert row["state"] == "retired"
    # Whoever watches it goes on; a day later nobody can, and it is gone.
    folder = Path(objects.url.removeprefix("file://")) / str(row["store_prefix"])
    assert (folder / "master.m3u8").is_file()
    async with database.transaction(service()) as tx:
        await tx.run(
            Statement(
                "age",
                "none",
                "a test",
                "UPDATE generations SET published_at = now() - interval '26 hours' WHERE is_preview",
            )
        )
    looking = asyncio.create_task(worker.look_after())

    async def gone() -> bool:
        return (await look(database, "SELECT count(*) AS n FROM generations WHERE is_preview"))["n"] == 0

    await waiting.until(gone, 60)
    worker.stop()
    await looking
    assert not await asyncio.to_thread(folder.exists)


async def test_a_job_that_fails_takes_its_preview_back(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    await work_off(worker, database, made.job_id, "transcode", "preview")
    piece = await take(database, next(t for t in await tasks(database, made.job_id) if t["kind"] == "encode"))
    async with database.transaction(service()) as tx:
        assert await media_tasks.fail(tx, piece, Refusal(errors.ENCODE_FAILED))
    row = await look(database, "SELECT is_published, generation_id FROM contents")
    assert row == {"is_published": False, "generation_id": None}
    row = await look(database, "SELECT state::text FROM generations WHERE is_preview")
    assert row["state"] == "retired"


async def test_a_preview_that_fails_costs_the_job_nothing(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    await work_off(worker, database, made.job_id, "transcode")
    attempt = await take(database, await preview_of(database, made.job_id))
    assert attempt.is_last
    async with database.transaction(service()) as tx:
        assert await media_tasks.show_preview(tx, attempt, Preview(20_000, 320, 180, True))
    async with database.transaction(service()) as tx:
        assert await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED))
    assert (await job(database, made.job_id))["state"] == "running"
    assert (await look(database, "SELECT generation_id FROM contents"))["generation_id"] is None
    await work_off(worker, database, made.job_id, "encode", "audio")
    await work_off(worker, database, made.job_id, "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"


async def test_encoding_again_shows_no_preview_over_what_plays(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    for kinds in (("transcode",), ("preview", "encode", "audio"), ("stitch",)):
        await work_off(worker, database, made.job_id, *kinds)
    async with database.transaction(service()) as tx:
        again = await media.do_encode_again(media.EncodeAgain(made.content_id), tx, datetime.now(UTC))
    job_id = again["job_id"]
    assert isinstance(job_id, UUID)
    await work_off(worker, database, job_id, "transcode")
    assert "preview" not in {t["kind"] for t in await tasks(database, job_id)}
