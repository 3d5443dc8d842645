"""Subtitles of a title that is already playing: added, changed and taken away without encoding the film again."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from core import errors
from core.database import Database
from core.domain import media_commands, media_keys, media_repackaging
from core.domain.media_encoding import AS_SET, Encoding
from core.domain.media_keys import open_key
from core.domain.media_texts import NewText
from core.ids import DEFAULT_TENANT
from core.keys import parse_ring
from core.objects import ObjectStore, StoreDown
from core.queries import Statement
from core.viewer import service
from tests.s3 import running_bucket
from tests.transcoder.sources import FAST, decode_warnings, film, make, picture, sound
from tests.transcoder.test_texts import ASS, give
from tests.transcoder.test_worker import job, look, submit, task_of
from transcoder.dash import Stream, Words, manifest, with_words
from transcoder.playlists import Bandwidth, Choice, Piece, Variant, multivariant_playlist, with_subtitles
from transcoder.publish import SUMS, read_sums
from transcoder.subtitles import BASIS
from transcoder.verify import verify
from transcoder.worker import Worker

RING = parse_ring("a1:" + "r" * 32)
SRT = b"1\n00:00:00,200 --> 00:00:00,900\nNew words\n"
CURRENT = """SELECT g.id, g.number, g.store_prefix, g.checksum, g.size_bytes, c.thumbnail_image_id
             FROM contents c JOIN generations g ON g.id = c.generation_id WHERE c.id = $1"""

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
choices = st.lists(
    st.builds(
        lambda name, language, is_default: Choice(
            "SUBTITLES", "text", name, language, f"subtitles/{language}/p", is_default
        ),
        names,
        st.sampled_from(["de", "en", "pt-BR"]),
        st.booleans(),
    ),
    max_size=4,
)
words = st.lists(st.builds(Words, names, st.sampled_from(["de", "en"]), st.integers(1, 10**6)), max_size=4)


@drawn(choices, choices, st.booleans())
def test_a_master_with_other_subtitles_is_the_one_that_an_encode_would_write(
    before: list[Choice], after: list[Choice], has_sound: bool
) -> None:
    def written(texts: Sequence[Choice]) -> str:
        group = "text" if texts else None
        heard = [Choice("AUDIO", "audio", ',SUBTITLES="text"', "en", "audio/0/p", True, 2)] if has_sound else []
        shown = [
            Variant(
                f"video/{n}/p", Bandwidth(n * 1000, n * 900), ("avc1.64001f",), 16 * n, 9 * n, Fraction(25),
                "audio" if has_sound else None, group,
            )
            for n in (1, 2)
        ]  # fmt: skip
        frames = Variant("video/1/i", Bandwidth(10, 9), ("avc1.64001f",), 16, 9, is_iframes=True)
        return multivariant_playlist([*heard, *texts], [*shown, frames])

    assert with_subtitles(written(before), after) == written(after)


@drawn(words, words)
def test_a_manifest_with_other_subtitles_is_the_one_that_an_encode_would_write(
    before: list[Words], after: list[Words]
) -> None:
    pieces = [Piece("0.m4s", Fraction(2), 100)]
    seen = Stream("video/1", "avc1.64001f", Bandwidth(10, 9), 90_000, pieces, 16, 9, Fraction(25))
    heard = Stream("audio/0", "mp4a.40.2", Bandwidth(2, 1), 48_000, pieces, channels=2, language="en")

    def written(texts: Sequence[Words]) -> str:
        return manifest(Fraction(2), Fraction(2), [seen, heard], texts)

    assert with_words(written(before), after) == written(after)


def film_with_words(folder: Path) -> Path:
    """Two seconds with a sound and German subtitles of its own."""
    path = folder / "own.srt"
    path.write_text("1\n00:00:00,500 --> 00:00:01,000\nIts own\n")
    return make(
        folder / "film.mkv", *picture("128x72", seconds=2), *sound(440, 2), "-i", str(path), "-map", "0", "-map", "1", "-map", "2",
        *FAST, "-c:a", "aac", "-c:s", "srt", "-metadata:s:s:0", "language=ger",
    )  # fmt: skip


async def encode(
    worker: Worker, database: Database, objects: ObjectStore, path: Path, encoding: Encoding = AS_SET
) -> UUID:
    """A title that plays."""
    made = await submit(database, objects, path, encoding)
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    assert (await job(database, made.job_id))["state"] == "succeeded"
    return made.content_id


async def due(database: Database) -> int:
    """What a worker does every other second."""
    async with database.transaction(service()) as tx:
        return await media_repackaging.queue_due(tx)


async def newest_job(database: Database, content_id: UUID) -> UUID:
    found = await look(
        database, "SELECT id FROM transcode_jobs WHERE content_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1", content_id
    )  # fmt: skip
    assert isinstance(found["id"], UUID)
    return found["id"]


async def repackage(worker: Worker, database: Database, content_id: UUID) -> dict[str, object]:
    """The next look finds the title; its job as it ended."""
    assert await due(database) == 1
    job_id = await newest_job(database, content_id)
    await worker.handle(DEFAULT_TENANT, await task_of(database, job_id))
    return await job(database, job_id)


async def run(database: Database, sql: str, *args: object) -> None:
    async with database.transaction(service()) as tx:
        await tx.run(Statement("run", "none", "a test acts", sql), *args)


def place(objects: ObjectStore, row: dict[str, object]) -> Path:
    assert objects.folder is not None
    return objects.folder / str(row["store_prefix"])


def offered(folder: Path) -> list[tuple[str, str]]:
    return re.findall(r'TYPE=SUBTITLES,.*?NAME="([^"]+)",LANGUAGE="(\w+)"', (folder / "master.m3u8").read_text())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


async def test_subtitles_of_a_playing_title_come_and_go_without_its_segments_being_touched(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    worker = Worker(database, objects, tmp_path / "scratch")
    content_id = await encode(worker, database, objects, film_with_words(tmp_path))
    first = await look(database, CURRENT, content_id)
    old = place(objects, first)
    assert offered(old) == [("Deutsch", "de")]
    plain = files_of(old)

    await give(database, objects, content_id, ASS, NewText(content_id, "de", "Besser"))
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English", is_default=True))
    assert (await repackage(worker, database, content_id))["state"] == "succeeded"
    second = await look(database, CURRENT, content_id)
    new = place(objects, second)
    assert second["number"] == 2
    assert offered(new) == [("Besser", "de"), ("English", "en")]
    # Everything an encode is checked for holds, and the segments are the very same.
    assert verify(new, Fraction(2), 2.0) > 0
    assert await decode_warnings(new) == ""
    segments = list(new.rglob("*.m4s"))
    assert segments
    assert all(os.stat(p).st_ino == os.stat(old / p.relative_to(new)).st_ino for p in segments)
    listed = read_sums((new / SUMS).read_bytes(), str(second["checksum"]))
    assert {*listed, SUMS} == set(files_of(new))
    assert sum(len(data) for data in files_of(new).values()) == second["size_bytes"]
    assert second["thumbnail_image_id"] == first["thumbnail_image_id"]
    states = await look(
        database,
        """SELECT array_agg(state::text || ' ' || (replaced_at IS NOT NULL)::text ORDER BY number) AS states,
                  (SELECT count(*) FROM renditions WHERE generation_id = $2 AND kind = 'subtitles') AS texts,
                  (SELECT count(*) FROM renditions WHERE generation_id = $2 AND kind <> 'subtitles')
                  - (SELECT count(*) FROM renditions WHERE generation_id = $3 AND kind <> 'subtitles') AS others
           FROM generations WHERE content_id = $1""",
        content_id,
        second["id"],
        first["id"],
    )
    assert states == {"states": ["retired true", "published false"], "texts": 2, "others": 0}
    assert files_of(old) == plain

    # Taken away again: the film's own are offered as before, to the byte.
    await run(database, "DELETE FROM text_tracks WHERE content_id = $1", content_id)
    assert (await repackage(worker, database, content_id))["state"] == "succeeded"
    assert files_of(place(objects, await look(database, CURRENT, content_id))) == plain
    kept = await look(database, "SELECT count(*) AS n FROM files WHERE entity_type = 'text_track' AND NOT is_deleted")
    assert kept["n"] == 0
    assert await due(database) == 0


async def test_a_repackaged_title_is_what_encoding_it_with_its_subtitles_makes(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    worker = Worker(database, objects, tmp_path / "scratch")
    path = film_with_words(tmp_path)
    later = await encode(worker, database, objects, path)
    await give(database, objects, later, SRT, NewText(later, "de", "Deutsch", "captions", is_default=True))
    await repackage(worker, database, later)
    made = await submit(database, objects, path)
    await give(database, objects, made.content_id, SRT, NewText(made.content_id, "de", "Deutsch", "captions", True))
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    # What the encode took with it is not packaged once more.
    assert await due(database) == 0
    ours, theirs = [files_of(place(objects, await look(database, CURRENT, one))) for one in (later, made.content_id)]
    assert ours.keys() == theirs.keys()
    texts = [name for name in ours if name.startswith("subtitles/") or name.endswith((".m3u8", ".mpd", BASIS))]
    assert len(texts) > 6
    assert [name for name in texts if ours[name] != theirs[name]] == []


async def test_the_key_of_an_encrypted_title_goes_with_its_segments(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    worker = Worker(database, objects, tmp_path / "scratch", ring=RING)
    path = film(tmp_path / "film.mp4", 2, size="128x72")
    content_id = await encode(worker, database, objects, path, Encoding(encrypt=True))
    old = place(objects, await look(database, CURRENT, content_id))
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
    assert (await repackage(worker, database, content_id))["state"] == "succeeded"
    new = place(objects, await look(database, CURRENT, content_id))
    async with database.transaction(service()) as tx:
        before, after = [await media_keys.find_key(tx, content_id, number) for number in (1, 2)]
    assert before is not None
    assert after is not None
    assert before[1] != after[1]
    assert before[0].sealed != after[0].sealed
    key = open_key(RING, before[0], before[1])
    assert open_key(RING, after[0], after[1]) == key
    assert not (new / "manifest.mpd").exists()
    assert offered(new) == [("English", "en")]
    for path in [*old.rglob("*.m4s"), *old.glob("video/*/*.m3u8")]:
        assert (new / path.relative_to(old)).read_bytes() == path.read_bytes()
    # The edge gives the key to whoever may watch; here it lies where the playlists lead.
    await asyncio.to_thread((new / "content.key").write_bytes, key)
    assert await decode_warnings(new) == ""

    await run(database, "DELETE FROM text_tracks")
    without = Worker(database, objects, tmp_path / "other")
    await repackage(without, database, content_id)
    row = await look(database, "SELECT state::text, error_code FROM transcode_tasks ORDER BY id DESC LIMIT 1")
    assert row == {"state": "queued", "error_code": errors.NO_KEY_RING.code}


async def test_what_changes_while_something_is_made_follows_when_that_has_ended(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    """Whatever becomes of the job: only what players have counts."""
    worker = Worker(database, objects, tmp_path / "scratch")
    content_id = await encode(worker, database, objects, film(tmp_path / "film.mp4", 1, size="128x72"))
    async with database.transaction(service()) as tx:
        asked = media_commands.EncodeAgain(content_id)
        again = await media_commands.do_encode_again(tx, service(), asked, datetime.now(UTC))
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
    assert await due(database) == 0
    async with database.transaction(service()) as tx:
        stop = media_commands.CancelEncoding(again.job_id)
        await media_commands.do_cancel_encoding(tx, service(), stop, datetime.now(UTC))
    assert (await repackage(worker, database, content_id))["state"] == "succeeded"
    # A new name in the menu, and the file taken away by itself.
    await run(database, "UPDATE text_tracks SET label = 'Words'")
    await repackage(worker, database, content_id)
    assert offered(place(objects, await look(database, CURRENT, content_id))) == [("Words", "en")]
    await run(database, "DELETE FROM files WHERE entity_type = 'text_track'")
    await repackage(worker, database, content_id)
    assert offered(place(objects, await look(database, CURRENT, content_id))) == []
    await run(database, "DELETE FROM contents")
    assert (await look(database, "SELECT count(*) AS n FROM text_changes"))["n"] == 0


class Failing(ObjectStore):
    """Takes so many copies, then nothing."""

    takes: int | None = 4

    async def copy(self, source: str, target: str) -> None:
        if self.takes is not None:
            self._count()
        await super().copy(source, target)

    async def put(self, key: str, data: bytes | Path) -> None:
        if self.takes == 0:
            self._count()
        await super().put(key, data)

    def _count(self) -> None:
        if not self.takes:
            raise StoreDown("the store is away")
        self.takes -= 1


async def test_a_failure_leaves_what_plays_and_nothing_else(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    store = Failing(objects.url)
    worker = Worker(database, store, tmp_path / "scratch")
    content_id = await encode(worker, database, objects, film(tmp_path / "film.mp4", 2, size="128x72"))
    before = await look(database, CURRENT, content_id)
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
    assert (await repackage(worker, database, content_id))["state"] == "queued"
    assert await look(database, CURRENT, content_id) == before
    assert not [k async for k in objects.keys("hls") if not k.startswith(f"{before['store_prefix']}/")]
    store.takes = None
    await worker.handle(DEFAULT_TENANT, await task_of(database, await newest_job(database, content_id)))
    after = await look(database, CURRENT, content_id)
    assert (after["number"], offered(place(objects, after))) == (2, [("English", "en")])

    # What an earlier version made says so, and is tried again when somebody asks.
    (place(objects, after) / BASIS).unlink()
    await run(database, "DELETE FROM text_tracks")
    ended = await repackage(worker, database, content_id)
    assert (ended["state"], ended["error_code"]) == ("failed", errors.NOT_REPACKAGED.code)
    assert await due(database) == 0
    async with database.transaction(service()) as tx:
        retry = media_commands.RetryEncoding(await newest_job(database, content_id))
        queued = await media_commands.do_retry_encoding(tx, service(), retry, datetime.now(UTC))
    row = await look(database, "SELECT kind::text FROM transcode_tasks WHERE job_id = $1", queued.job_id)
    assert row == {"kind": "repackage"}


async def test_segments_that_differ_from_what_was_stored_are_not_taken_over(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    worker = Worker(database, objects, tmp_path / "scratch")
    content_id = await encode(worker, database, objects, film(tmp_path / "film.mp4", 2, size="128x72"))
    before = await look(database, CURRENT, content_id)
    cut = next(place(objects, before).rglob("0.m4s"))
    await asyncio.to_thread(lambda: cut.write_bytes(cut.read_bytes()[:-1]))
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
    await repackage(worker, database, content_id)
    row = await look(database, "SELECT error_code, error_details FROM transcode_tasks ORDER BY id DESC LIMIT 1")
    assert row["error_code"] == errors.VERIFY_FAILED.code
    assert "checksum" in str(row["error_details"])
    assert (await look(database, CURRENT, content_id)) == before


async def test_what_was_replaced_is_swept_when_nobody_can_be_watching_it(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    worker = Worker(database, objects, tmp_path / "scratch")
    content_id = await encode(worker, database, objects, film(tmp_path / "film.mp4", 2, size="128x72"))
    first = await look(database, CURRENT, content_id)
    await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
    await repackage(worker, database, content_id)
    now = await look(database, CURRENT, content_id)
    whole = files_of(place(objects, now))
    held = "SELECT sum(size_bytes)::bigint AS n FROM generations WHERE replaced_at IS NULL"
    assert (await look(database, held))["n"] == now["size_bytes"]
    await worker.upkeep.tidy()
    assert (place(objects, first) / "master.m3u8").exists()
    # A token opens it for a day at most.
    await run(
        database,
        "UPDATE generations SET replaced_at = replaced_at - make_interval(secs => $1) WHERE replaced_at IS NOT NULL",
        media_repackaging.KEPT_S,
    )
    await worker.upkeep.tidy()
    assert list(files_of(place(objects, first))) == ["poster.jpg"]
    assert files_of(place(objects, now)) == whole
    assert (await look(database, "SELECT count(*) AS n FROM generations"))["n"] == 1
    picture_ = await look(
        database, "SELECT storage_key FROM storage s JOIN contents c ON s.file_id = c.thumbnail_image_id"
    )
    assert await objects.get(str(picture_["storage_key"]))


@pytest.mark.needs("moto")
@pytest.mark.timeout(300)
async def test_in_a_bucket_segments_are_copied_by_the_bucket(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_bucket() as bucket:
        for name, value in bucket.variables.items():
            monkeypatch.setenv(name, value)
        objects = ObjectStore(bucket.variables["PENSTOCK_STORE_URL"])
        worker = Worker(database, objects, tmp_path / "scratch")
        content_id = await encode(worker, database, objects, film(tmp_path / "film.mp4", 2, size="128x72"))
        first = await look(database, CURRENT, content_id)
        reads = bucket.reads(".m4s")
        await give(database, objects, content_id, SRT, NewText(content_id, "en", "English"))
        assert (await repackage(worker, database, content_id))["state"] == "succeeded"
        assert bucket.reads(".m4s") == reads
        second = await look(database, CURRENT, content_id)
        for row, folder in ((first, tmp_path / "old"), (second, tmp_path / "new")):
            async for key in objects.keys(str(row["store_prefix"])):
                target = folder / key.removeprefix(f"{row['store_prefix']}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                await objects.fetch_to(key, target)
    old, new = files_of(tmp_path / "old"), files_of(tmp_path / "new")
    segments = {name for name in old if name.endswith((".m4s", ".mp4", "/playlist.m3u8", ".jpg"))}
    assert segments
    assert all(new[name] == old[name] for name in segments)
    assert offered(tmp_path / "new") == [("English", "en")]
    assert await decode_warnings(tmp_path / "new") == ""
