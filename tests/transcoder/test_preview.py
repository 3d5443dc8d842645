"""A film is playable while it is being encoded: its first rendition grows, ends, and gives way to the whole."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from core import errors
from core.database import Database
from core.domain import media_commands, media_tasks, playback
from core.domain.media_previews import Preview
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.ids import uuid7
from core.objects import ObjectStore, StoreDown
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.transcoder.sources import FAST, ffmpeg, frames_of, make, picture, sound
from tests.transcoder.test_chunks import CHUNK_S, feature, take, tasks, work_off
from tests.transcoder.test_worker import job, look, submit
from transcoder import encoder, preview
from transcoder.encoder import Transient
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

    async def delete_prefix(self, prefix: str, keep: frozenset[str] = frozenset()) -> None:
        """What is removed has no states any more: another try begins anew."""
        self.states.clear()
        await super().delete_prefix(prefix, keep)


async def an_attempt(path: Path, *, number: int = 1, most: int = 3, resumes: bool = False) -> Attempt:
    """The `number`th of `most` attempts at a preview of the film at `path`, which is in the store."""
    shared = msgspec.json.encode(Shared(await probe(path), CHUNK_S)).decode()
    size_bytes = (await asyncio.to_thread(path.stat)).st_size
    return Attempt(
        uuid7(), number, number, most, uuid7(), None, "film", size_bytes, "in/film", PREFIX, uuid7(), "preview", None,
        shared, resumes=resumes,
    )  # fmt: skip


async def grow(path: Path, tmp_path: Path, *, needed: bool = True) -> tuple[Watched, list[Preview]]:
    """A preview from its beginning to its end."""
    store = Watched(f"file://{tmp_path / 'store'}")
    await store.put("in/film", path)
    attempt = await an_attempt(path, most=1)
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


class Halfway:
    """The encoder, whose file is first seen half grown and goes on when told; the place of encoder.encode."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.real = encoder.encode

    async def encode(self, argv: list[str], total_s: float, _: object, *, reads: list[Path], writes: Path) -> None:
        """Encodes elsewhere, then lets the files grow in two steps."""
        whole = writes.with_name("whole")
        whole.mkdir()
        moved = [part.replace(str(writes), str(whole)) for part in argv]
        await self.real(moved, total_s, lambda _: None, reads=reads, writes=whole)
        files = {path: path.read_bytes() for path in await asyncio.to_thread(lambda: list(whole.iterdir()))}
        for share in (2, 1):
            for path, data in files.items():
                (writes / path.name).write_bytes(data[: len(data) // share])
            if share == 2:
                await self.go_on.wait()


class Breaking(Watched):
    """Goes away after the first state of every track's playlist, until it is mended."""

    def __init__(self, url: str, halfway: Halfway, tracks: int) -> None:
        super().__init__(url)
        self.halfway, self.tracks, self.is_mended = halfway, tracks, False

    async def put(self, key: str, data: bytes | Path) -> None:
        if self.halfway.go_on.is_set() and not self.is_mended:
            raise StoreDown("gone")
        await super().put(key, data)
        if len(self.states) == self.tracks and key.endswith("master.m3u8"):
            self.halfway.go_on.set()


@pytest.mark.parametrize("way", ["copied", "encoded"])
async def test_another_attempt_goes_on_where_a_dead_one_stopped(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Players that hold the beginning get the rest under the same names; nothing that they hold is changed."""
    coded = (*FAST, "-g", "50") if way == "copied" else ("-c:v", "mpeg4", "-q:v", "5")
    path = make(tmp_path / "film.mkv", *picture("320x180", "25", 20), *sound(seconds=20), *coded, "-c:a", "aac")
    halfway = Halfway()
    store = Breaking(f"file://{tmp_path / 'store'}", halfway, 2)
    await store.put("in/film", path)
    first = await an_attempt(path)
    shown: list[Preview] = []

    async def show(preview: Preview) -> bool:
        shown.append(preview)
        return True

    async def attempt_at(attempt: Attempt, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        await make_preview(attempt, Workshop(store, tmp_path / "scratch"), folder, Status(), show)

    monkeypatch.setattr(preview.encoder, "encode", halfway.encode)
    with pytest.raises(StoreDown):
        await attempt_at(first, "dead")
    held = {key: await store.get(key) async for key in store.keys("hls")}
    assert len([key for key in held if key.endswith(".m4s")]) in range(2, 10)
    assert not any("ENDLIST" in state for states in store.states.values() for state in states)

    monkeypatch.undo()
    store.is_mended = True
    await attempt_at(replace(first, fence=2, attempts=2, resumes=True), "second")
    assert len(shown) == 1
    check_growth(store)
    for key, data in held.items():
        assert key.endswith("event.m3u8") or await store.get(key) == data
    assert await decoded(store, tmp_path) == ("", 500)


async def test_what_other_hands_began_otherwise_is_not_continued(tmp_path: Path) -> None:
    """An earlier attempt that was cut elsewhere: a playlist that players hold is not rewritten."""
    path = make(tmp_path / "film.mkv", *picture("320x180", "25", 20), *FAST, "-g", "50")
    store, _ = await grow(path, tmp_path)
    key = next(key for key in store.states if "/video/" in key)
    whole = (await store.get(key)).decode()
    begun = whole.removesuffix("#EXT-X-ENDLIST\n").replace("#EXTINF:4.000000", "#EXTINF:3.960000")
    assert begun != whole
    store.states.clear()
    await store.put(key, begun.encode())
    attempt = await an_attempt(path, number=2, resumes=True)

    async def show(_: Preview) -> bool:
        raise AssertionError("players have it already")

    folder = tmp_path / "again"
    folder.mkdir()
    with pytest.raises(Refusal) as refused:
        await make_preview(attempt, Workshop(store, tmp_path / "scratch"), folder, Status(), show)
    assert refused.value.code is errors.VERIFY_FAILED
    assert (await store.get(key)).decode() == begun


async def test_a_worker_that_stood_still_leaves_the_preview_to_others(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mkv", *picture("320x180", "25", 20), *FAST, "-g", "50")
    store = Watched(f"file://{tmp_path / 'store'}")
    await store.put("in/film", path)
    attempt = await an_attempt(path)
    status = Status(ticked_at=time.monotonic() - 60)

    async def show(_: Preview) -> bool:
        raise AssertionError("it is not this worker's any more")

    folder = tmp_path / "work"
    folder.mkdir()
    with pytest.raises(Transient):
        await make_preview(attempt, Workshop(store, tmp_path / "scratch"), folder, status, show)
    assert store.states == {}


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
    async with database.transaction(service()) as tx:
        assert await media_tasks.show_preview(tx, attempt, Preview(20_000, 320, 180, True))
    async with database.transaction(service()) as tx:
        assert await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED))
    assert (await job(database, made.job_id))["state"] == "running"
    assert (await look(database, "SELECT generation_id FROM contents"))["generation_id"] is None
    await work_off(worker, database, made.job_id, "encode", "audio")
    await work_off(worker, database, made.job_id, "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"


async def test_the_next_attempt_is_given_what_players_hold(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    """Given back or left by a dead worker, even when the ladder was faster: whoever watches the preview sees its end."""
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    await work_off(worker, database, made.job_id, "transcode")
    unseen = await take(database, await preview_of(database, made.job_id))
    async with database.transaction(service()) as tx:
        assert await media_tasks.give_back(tx, unseen, delay_s=0, refund=False)
    seen = await take(database, await preview_of(database, made.job_id))
    assert (unseen.resumes, seen.resumes) == (False, False)
    assert seen.store_prefix != unseen.store_prefix
    assert (await look(database, "SELECT state::text FROM generations WHERE store_prefix = $1", unseen.store_prefix))[
        "state"
    ] == "failed"
    async with database.transaction(service()) as tx:
        assert await media_tasks.show_preview(tx, seen, Preview(20_000, 320, 180, True))
        assert await media_tasks.give_back(tx, seen, delay_s=0, refund=False)
    assert (await look(database, "SELECT is_published FROM contents"))["is_published"] is True
    await work_off(worker, database, made.job_id, "encode", "audio")
    await work_off(worker, database, made.job_id, "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"
    third = await take(database, await preview_of(database, made.job_id))
    assert (third.resumes, third.store_prefix, third.earlier_prefixes) == (True, seen.store_prefix, ())
    assert third.is_last
    async with database.transaction(service()) as tx:
        assert await media_tasks.finish_preview(tx, third)


async def test_encoding_again_shows_no_preview_over_what_plays(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=CHUNK_S)
    for kinds in (("transcode",), ("preview", "encode", "audio"), ("stitch",)):
        await work_off(worker, database, made.job_id, *kinds)
    async with database.transaction(service()) as tx:
        again = await media_commands.do_encode_again(
            tx, service(), media_commands.EncodeAgain(made.content_id), datetime.now(UTC)
        )
    job_id = again.job_id
    assert isinstance(job_id, UUID)
    await work_off(worker, database, job_id, "transcode")
    assert "preview" not in {t["kind"] for t in await tasks(database, job_id)}
