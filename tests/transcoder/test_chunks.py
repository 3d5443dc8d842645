"""Long films are encoded in chunks by whoever is there: the joins cannot be seen, and no worker's end loses anything."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.database import Database, DatabaseDown
from core.domain import media, media_commands, media_pieces, media_tasks
from core.domain.media_previews import Preview
from core.domain.media_results import Split
from core.domain.media_tasks import STITCH_BONUS, rank
from core.errors import Refusal
from core.ids import DEFAULT_TENANT, uuid7
from core.objects import ObjectStore
from core.process import run_tool
from core.queries import Statement
from core.viewer import service
from tests import waiting
from tests.conftest import TestDatabase
from tests.transcoder.sources import FAST, decode_warnings, ffmpeg, make, picture, sound
from tests.transcoder.test_worker import job, left_in, look, pieces_left, process, stored, submit, until
from transcoder import encode, encoder
from transcoder.assemble import assemble
from transcoder.attempt import perform
from transcoder.encoder import Transient
from transcoder.ladder import GOPS_PER_SEGMENT, MAX_CHUNKS, Grid, Plan, decide_chunks, plan
from transcoder.pieces import Shared
from transcoder.probe import probe
from transcoder.samples import RECORD, Decoded, write_record
from transcoder.source import Source, VideoTrack
from transcoder.status import Status
from transcoder.verify import verify
from transcoder.worker import Worker
from transcoder.workshop import Workshop

CHUNK_S = 4
JOIN_PSNR_DB = 32.0


# ---------------------------------------------------------------------------------------------------------- where to cut


@given(
    st.integers(1, 3_000_000),
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(40, 3)]),
    st.integers(1, 120),
)
def test_chunks_cover_the_film_in_whole_segments(frames: int, rate: Fraction, chunk_s: int) -> None:
    grid = Grid(rate, frames, max(1, round(2 * rate)))
    chunks = decide_chunks(Plan((), grid, None, 0), chunk_s)
    if grid.duration < 2 * chunk_s:
        assert chunks == ()
        return
    segment = grid.gop * GOPS_PER_SEGMENT
    assert [chunk.first for chunk in chunks] == [sum(c.frames for c in chunks[:n]) for n in range(len(chunks))]
    assert sum(chunk.frames for chunk in chunks) == frames
    assert all(chunk.first % segment == 0 and chunk.frames > 0 for chunk in chunks)
    # Rounded to whole segments, a chunk may be up to a third shorter than asked for.
    assert len(chunks) <= MAX_CHUNKS * 3 // 2


def test_nothing_is_cut_when_told_so_and_sound_never() -> None:
    grid = Grid(Fraction(25), 25 * 7200, 50)
    assert decide_chunks(Plan((), grid, None, 0), 0) == ()
    assert decide_chunks(Plan((), None, None, 48_000 * 7200), 30) == ()
    assert len(decide_chunks(Plan((), grid, None, 0), 30)) > 100


# -------------------------------------------------------------------------------------------------------------- the joins


def psnr_of_frames(one: Path, other: Path, log: Path) -> list[float]:
    """Of every frame of two pictures, in dB; raises when one has more frames."""
    done = run_tool(
        [ffmpeg(), "-nostdin", "-v", "error", "-i", one, "-i", other, "-lavfi", f"[0:v][1:v]psnr=stats_file={log}", "-f", "null", "-"],
        timeout_s=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"psnr_avg:(\S+)", log.read_text())
    return [99.0 if value == "inf" else float(value) for value in found]


SOURCES = {
    "long groups": (*picture("320x180", "25", 13), *FAST[:2], "-preset", "medium", "-pix_fmt", "yuv420p", "-g", "170", "-bf", "3"),
    "ntsc": (*picture("320x180", "30000/1001", 13), *FAST, "-g", "47"),
    "open groups": (*picture("320x180", "24", 13), "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params",
                    "open-gop=1:keyint=60:bframes=3"),
    "varying": (*picture("320x180", "30", 13), "-vf", "select='not(mod(n,1+mod(n,3)))'", "-fps_mode", "vfr", *FAST, "-g", "33"),
    "late": ("-itsoffset", "0.37", *picture("320x180", "25", 13), *FAST, "-g", "80"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SOURCES))
async def test_chunks_make_the_frames_of_a_whole_run(name: str, tmp_path: Path) -> None:
    suffix = "mp4" if name != "varying" else "mkv"
    path = make(tmp_path / f"film.{suffix}", *SOURCES[name])
    source = await probe(path)
    wanted = plan(source)
    assert wanted.grid is not None
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    argv = encode.pictures_argv(ffmpeg(), path, source, wanted, whole)
    await encoder.encode(argv, float(wanted.duration), lambda _: None, reads=[path], writes=whole)
    chunks = decide_chunks(wanted, CHUNK_S)
    assert len(chunks) >= 3
    for number, chunk in enumerate(chunks):
        folder = parts / str(number)
        folder.mkdir(parents=True)
        argv = encode.chunk_argv(ffmpeg(), path, source, wanted, folder, chunk)
        await encoder.encode(argv, 5, lambda _: None, reads=[path], writes=folder)
    one = assemble(source, wanted, whole, tmp_path / "one", None)
    joined = assemble(source, wanted, parts, tmp_path / "joined", None, len(chunks))
    for generation in (one, joined):
        verify(generation.folder, generation.duration, source.duration_s)
        assert await decode_warnings(generation.folder) == ""
    rung = f"video/{wanted.rungs[0].lines}p/playlist.m3u8"
    found = psnr_of_frames(joined.folder / rung, one.folder / rung, tmp_path / "psnr.log")
    assert len(found) == wanted.grid.frames
    joins = [at for chunk in chunks[1:] for at in range(chunk.first - 2, chunk.first + 3)]
    # The picture's number is drawn into it: a frame that is missing, doubled or in another place falls below 25 dB.
    assert min(found[at] for at in joins) > JOIN_PSNR_DB, [(at, found[at]) for at in joins]
    assert min(found) > JOIN_PSNR_DB


# ------------------------------------------------------------------------------------------------------------ the workers


@pytest.fixture(scope="session")
def feature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for five chunks, with two languages and subtitles."""
    folder = tmp_path_factory.mktemp("feature")
    words = folder / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:19,000\nHello\n")
    return make(
        folder / "feature.mkv", *picture("320x180", "25", 20), *sound(440, 20), *sound(880, 20), "-i", str(words), "-map", "0", "-map", "1",
        "-map", "2", "-map", "3", *FAST, "-g", "60", "-c:a", "aac", "-c:s", "srt", "-metadata:s:a:0", "language=eng",
    )  # fmt: skip


async def tasks(database: Database, job_id: UUID) -> list[dict[str, object]]:
    """The job's tasks in the order of the work; asked again when a busy machine makes the database seem away."""
    sql = (
        "SELECT id, kind::text, chunk_no, state::text FROM transcode_tasks WHERE job_id = $1"
        " ORDER BY transcode_tasks.kind, chunk_no"
    )

    async def there() -> list[dict[str, object]]:
        try:
            async with database.transaction(service()) as tx:
                return [dict(row) for row in await tx.many(Statement("t", "many", "a test looks", sql), job_id)]
        except DatabaseDown as error:
            raise AssertionError(str(error)) from error

    return await waiting.until(there, 60, "the job's tasks")


async def work_off(worker: Worker, database: Database, job_id: UUID, *kinds: str) -> None:
    """Lets the worker do every task of the job that is queued, of these kinds."""
    while waiting_ := [t for t in await tasks(database, job_id) if t["state"] == "queued" and t["kind"] in kinds]:
        for task in waiting_:
            assert isinstance(task["id"], UUID)
            await worker.handle(DEFAULT_TENANT, task["id"])


class Remote(ObjectStore):
    """A folder that is only reached as a remote store is: object by object."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.provider = "s3"
        self.fetches: list[str] = []

    @property
    def bucket(self) -> str | None:
        """As S3 has one."""
        return "bucket"

    async def fetch_to(self, key: str, target: Path) -> None:
        self.fetches.append(key)
        await super().fetch_to(key, target)


async def test_a_long_film_is_split_encoded_in_pieces_and_joined(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    store = Remote(objects.url)
    worker = Worker(database, store, tmp_path / "scratch", chunk_s=CHUNK_S)
    await work_off(worker, database, made.job_id, "transcode")
    found = await tasks(database, made.job_id)
    assert [(t["kind"], t["chunk_no"]) for t in found] == [
        ("transcode", None), ("preview", None), *(("encode", n) for n in range(5)), ("audio", None),
    ]  # fmt: skip
    row = await look(database, "SELECT state::text, remaining, has_pieces FROM transcode_jobs")
    assert row == {"state": "running", "remaining": 6, "has_pieces": True}
    await work_off(worker, database, made.job_id, "encode")
    made_so_far = pieces_left(objects)
    assert len(made_so_far) == 5
    assert all((path.parent / RECORD).exists() for path in made_so_far)
    assert (await look(database, "SELECT remaining FROM transcode_jobs"))["remaining"] == 1
    assert len([t for t in await tasks(database, made.job_id) if t["kind"] == "stitch"]) == 0
    await work_off(worker, database, made.job_id, "audio")
    await work_off(worker, database, made.job_id, "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"
    row = await look(
        database, "SELECT g.store_prefix, g.duration_ms FROM contents c JOIN generations g ON g.id = c.generation_id"
    )
    folder = Path(objects.url.removeprefix("file://")) / str(row["store_prefix"])
    assert row["duration_ms"] == 20_000
    verify(folder, Fraction(20), 20.0)
    assert await decode_warnings(folder) == ""
    assert sum(key.endswith("uploads/" + str(made.file_id)) or "uploads" in key for key in store.fetches) == 1
    looking = asyncio.create_task(worker.look_after())
    await waiting.until(lambda: not pieces_left(objects), 60)

    async def clean() -> bool:
        return not (await look(database, "SELECT has_pieces FROM transcode_jobs"))["has_pieces"]

    await waiting.until(clean, 60)
    worker.stop()
    await looking
    assert [path for path in left_in(tmp_path / "scratch") if path.is_file()] == []


async def test_two_workers_share_one_film_and_one_of_them_is_killed(
    database: Database, database_urls: TestDatabase, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    extra = {"PENSTOCK_CHUNK_S": str(CHUNK_S)}
    with (
        process(database_urls, objects, tmp_path / "one", extra) as one,
        process(database_urls, objects, tmp_path / "two", extra),
    ):
        made = await submit(database, objects, feature)

        async def at_work() -> bool:
            return any(t["kind"] == "encode" and t["state"] != "queued" for t in await tasks(database, made.job_id))

        await waiting.until(at_work, 120, "a worker to encode a chunk")
        one.send_signal(signal.SIGKILL)
        await asyncio.to_thread(one.wait)
        await until(database, made.job_id, "succeeded")
        await waiting.until(lambda: not pieces_left(objects), 60)
    found = await tasks(database, made.job_id)
    assert {t["state"] for t in found if t["kind"] != "preview"} == {"done"}
    row = await look(database, "SELECT count(*) AS n FROM generations WHERE state = 'published'")
    assert row["n"] == 1
    async with database.transaction(service()) as tx:
        every = Statement(
            "g", "many", "a test looks", "SELECT store_prefix, is_preview FROM generations ORDER BY is_preview"
        )
        prefixes = [str(row["store_prefix"]) for row in await tx.many(every)]
    assert all(key.startswith(tuple(f"{prefix}/" for prefix in prefixes)) for key in await stored(objects))
    prefix = prefixes[0]
    assert await decode_warnings(Path(objects.url.removeprefix("file://")) / prefix) == ""


@pytest.mark.parametrize("harm", ["changed", "gone"])
async def test_a_piece_that_is_not_what_was_decoded_is_joined_to_nothing(
    harm: str, objects: ObjectStore, tmp_path: Path
) -> None:
    """The store is at fault, not the film: another attempt may find it mended."""
    piece = tmp_path / "piece"
    piece.mkdir()
    (piece / "video-180p.mp4").write_bytes(b"what was decoded")
    digest = hashlib.sha256(b"what was decoded").hexdigest()
    write_record(piece, {"video-180p.mp4": Decoded(digest, 250, "")})
    await objects.put("pieces/a/video-180p.mp4", b"something other")
    await objects.put(f"pieces/a/{RECORD}", piece / RECORD)
    if harm == "gone":
        await objects.delete_prefix("pieces/a")
        await objects.put(f"pieces/a/{RECORD}", piece / RECORD)
    source = Source("mov", 20.0, VideoTrack(0, "h264", 320, 180, frame_rate=(25, 1)))
    attempt = media_tasks.Attempt(
        uuid7(), 1, 1, 5, uuid7(), None, "film", 1, "in/film", "hls/x/1-1", uuid7(), "stitch", None,
        msgspec.json.encode(Shared(source, CHUNK_S)).decode(), (media_tasks.Piece("encode", 0, "pieces/a"),),
    )  # fmt: skip

    async def nobody(preview: Preview) -> bool:
        raise AssertionError(preview)

    with pytest.raises(Transient) as transient:
        await perform(attempt, Workshop(objects, tmp_path / "scratch"), Status(), nobody)
    assert transient.value.refusal.code is errors.VERIFY_FAILED
    assert "Rule checksum of video-180p.mp4" in str(transient.value.refusal)
    assert [key async for key in objects.keys("hls")] == []


class Held(ObjectStore):
    """Keeps whoever stores a piece waiting, until it is let go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.go = asyncio.Event()

    async def put(self, key: str, data: bytes | Path) -> None:
        if key.startswith("pieces/"):
            await self.go.wait()
        await super().put(key, data)


async def test_cancelling_stops_every_piece_and_leaves_nothing(
    database: Database, objects: ObjectStore, feature: Path, tmp_path: Path
) -> None:
    made = await submit(database, objects, feature)
    store = Held(objects.url)
    worker = Worker(database, store, tmp_path / "scratch", chunk_s=CHUNK_S, slots=2)
    await work_off(worker, database, made.job_id, "transcode")
    first, second = (t["id"] for t in await tasks(database, made.job_id) if t["chunk_no"] in (0, 1))
    assert isinstance(first, UUID)
    assert isinstance(second, UUID)
    working = asyncio.gather(worker.handle(DEFAULT_TENANT, first), worker.handle(DEFAULT_TENANT, second))

    async def both_run() -> bool:
        return sum(t["state"] == "running" for t in await tasks(database, made.job_id)) == 2

    await waiting.until(both_run, 60)
    async with database.transaction(service()) as tx:
        from datetime import UTC, datetime

        answer = await media_commands.do_cancel_encoding(
            tx, service(), media_commands.CancelEncoding(made.job_id), datetime.now(UTC)
        )
    assert answer.state == "cancelling"
    store.go.set()
    await working
    assert (await job(database, made.job_id))["state"] == "cancelled"
    await work_off(worker, database, made.job_id, "preview", "encode", "audio")
    assert {t["state"] for t in await tasks(database, made.job_id)} <= {"cancelled", "done"}
    looking = asyncio.create_task(worker.look_after())
    await waiting.until(lambda: not pieces_left(objects), 60)
    worker.stop()
    await looking


# ------------------------------------------------------------------------------------------------------------- the rows


async def split_job(database: Database, objects: ObjectStore, path: Path, chunks: int = 3) -> UUID:
    """A job that is in pieces, as its first task leaves it."""
    made = await submit(database, objects, path)
    root = (await tasks(database, made.job_id))[0]["id"]
    async with database.transaction(service()) as tx:
        attempt = await media_tasks.take_task(tx, root, "w1")  # type: ignore[arg-type]  # a UUID
        assert attempt is not None
        assert await media_pieces.split(tx, attempt, Split(chunks, True, "{}"))
        assert await media_pieces.split(tx, attempt, Split(chunks, True, "{}"))  # the answer was lost: asked again
    return made.job_id


async def take(database: Database, task: dict[str, object]) -> media_tasks.Attempt:
    async with database.transaction(service()) as tx:
        attempt = await media_tasks.take_task(tx, task["id"], "w1")  # type: ignore[arg-type]  # a UUID
    assert attempt is not None
    return attempt


async def test_the_last_piece_queues_the_joining_in_the_same_step(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    job_id = await split_job(database, objects, feature)
    pieces = [t for t in await tasks(database, job_id) if t["kind"] in ("encode", "audio")]
    assert len(pieces) == 4

    async def finish(task: dict[str, object]) -> None:
        attempt = await take(database, task)
        async with database.transaction(service()) as tx:
            assert await media_pieces.finish_piece(tx, attempt)
        async with database.transaction(service()) as tx:
            assert await media_pieces.finish_piece(tx, attempt)  # counted once

    await asyncio.gather(*(finish(task) for task in pieces))
    stitches = [t for t in await tasks(database, job_id) if t["kind"] == "stitch"]
    assert len(stitches) == 1
    attempt = await take(database, stitches[0])
    assert [(p.kind, p.chunk_no) for p in attempt.pieces] == [
        ("encode", 0),
        ("encode", 1),
        ("encode", 2),
        ("audio", None),
    ]
    assert attempt.store_prefix.endswith("/1-2")


async def test_a_piece_that_keeps_killing_its_workers_parks_the_job(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    job_id = await split_job(database, objects, feature)
    poison, other = (await tasks(database, job_id))[1:3]
    expire = Statement(
        "expire", "none", "a test", "UPDATE transcode_tasks SET lease_until = now() - interval '1 second' WHERE id = $1"
    )
    for _ in range(5):
        await take(database, poison)
        async with database.transaction(service()) as tx:
            await tx.run(expire, poison["id"])
    held = await take(database, other)
    async with database.transaction(service()) as tx:
        assert await media_tasks.take_task(tx, poison["id"], "w1") is None  # type: ignore[arg-type]  # a UUID
    row = await look(database, "SELECT state::text, error_code FROM transcode_jobs WHERE id = $1", job_id)
    assert row == {"state": "failed", "error_code": errors.ATTEMPTS_SPENT.code}
    async with database.transaction(service()) as tx:
        assert await media_tasks.renew(tx, held, 10, None, "encoding") == "cancel"
        assert not await media_pieces.finish_piece(tx, held)
    # What waits is put away by whoever is told of it next.
    async with database.transaction(service()) as tx:
        last = (await tasks(database, job_id))[-1]
        assert await media_tasks.take_task(tx, last["id"], "w1") is None  # type: ignore[arg-type]  # a UUID
    assert {t["state"] for t in await tasks(database, job_id)} <= {"failed", "cancelled", "queued", "done"}


async def test_progress_of_the_job_is_that_of_its_pieces(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    job_id = await split_job(database, objects, feature, chunks=3)
    one, two = (await tasks(database, job_id))[1:3]
    done = await take(database, one)
    async with database.transaction(service()) as tx:
        assert await media_pieces.finish_piece(tx, done)
    held = await take(database, two)
    async with database.transaction(service()) as tx:
        assert await media_tasks.renew(tx, held, 40, None, "encoding") == "go_on"
    row = await look(database, "SELECT progress::float, stage FROM transcode_jobs WHERE id = $1", job_id)
    assert row == {"progress": pytest.approx(0.9 * 140 / 4), "stage": "encoding"}


async def test_a_given_back_piece_leaves_the_others_running(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    job_id = await split_job(database, objects, feature)
    attempt = await take(database, (await tasks(database, job_id))[1])
    async with database.transaction(service()) as tx:
        assert await media_tasks.give_back(tx, attempt, delay_s=0, refund=True)
    assert (await job(database, job_id))["state"] == "running"


async def test_one_tenants_thousand_films_do_not_make_another_wait(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    """The messages' order is the queue's: the newcomer's first stands before the other's backlog."""
    await split_job(database, objects, feature, chunks=50)
    other = uuid7()
    create = Statement("tenant", "none", "a test", "INSERT INTO tenants (id, name, slug) VALUES ($1, 'Other', 'other')")
    async with database.transaction(service()) as tx:
        await tx.run(create, other)
    file = media.NewFile(
        uuid7(), "a.mp4", 1 << 30, "video/mp4", f"sha256:{'a' * 64}", "file", None, "uploads/other", None
    )
    async with database.transaction(service(other)) as tx:
        await media.submit(tx, file, media.NewTitle("Other's"))
        queue = Statement(
            "queue",
            "many",
            "a test",
            "SELECT convert_from(payload, 'utf8') AS p FROM pgqueuer ORDER BY priority DESC, id",
        )
        order = [str(row["p"]).partition("/")[0] for row in await tx.many(queue)]
    assert order.index(str(other)) <= 4


def test_a_jobs_own_priority_outweighs_its_tenants_place() -> None:
    assert rank(1, 5000, 0) > rank(0, 0, STITCH_BONUS)
    assert rank(0, 0, 0) > rank(0, 1, 0)
    assert rank(0, 10**9, 0) > rank(-1, 0, STITCH_BONUS)
    assert abs(rank(10**9, 0, 0)) < 2**31


async def test_a_failed_job_is_begun_anew_as_it_was_asked_for(
    database: Database, objects: ObjectStore, feature: Path
) -> None:
    from datetime import UTC, datetime

    job_id = await split_job(database, objects, feature)
    now = datetime.now(UTC)
    with pytest.raises(Refusal) as refused:
        async with database.transaction(service()) as tx:
            await media_commands.do_retry_encoding(tx, service(), media_commands.RetryEncoding(job_id), now)
    assert refused.value.code is errors.ILLEGAL_MOVE
    attempt = await take(database, (await tasks(database, job_id))[1])
    async with database.transaction(service()) as tx:
        await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED, details="x264 [error]: something"))
    details = (await look(database, "SELECT error_details FROM transcode_tasks WHERE state = 'failed'"))[
        "error_details"
    ]
    assert details == "x264 [error]: something"
    async with database.transaction(service()) as tx:
        answer = await media_commands.do_retry_encoding(tx, service(), media_commands.RetryEncoding(job_id), now)
    row = await look(database, "SELECT state::text, publish_when_done FROM transcode_jobs WHERE id = $1", answer.job_id)
    assert row == {"state": "queued", "publish_when_done": True}
    with pytest.raises(Refusal) as busy:
        async with database.transaction(service()) as tx:
            await media_commands.do_retry_encoding(tx, service(), media_commands.RetryEncoding(job_id), now)
    assert busy.value.code is errors.CONFLICT
