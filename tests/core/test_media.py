"""The media context: submissions, and the fenced life of a task. Two workers never publish one task twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core import errors
from core.database import Database, Tx
from core.domain import media, media_commands, media_tasks
from core.domain.media import NewFile, NewTitle, Submitted, check_file, check_title
from core.domain.media_commands import CancelEncoding, JobStopped
from core.domain.media_encoding import Encoding
from core.domain.media_results import Finished, Poster, Rendition
from core.domain.media_tasks import Attempt, decide_turn
from core.errors import Refusal
from core.ids import DEFAULT_TENANT, SYSTEM_USER, uuid7
from core.queries import Statement
from core.viewer import GUEST, Viewer, service

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEX = "ab" * 32


def new_file(**changes: object) -> NewFile:
    file_id = uuid7()
    plain = NewFile(file_id, "Film.MP4", 1000, "video/mp4", f"sha256:{HEX}", "file", None, f"uploads/{file_id}", None)
    return replace(plain, **changes)  # type: ignore[arg-type]  # by field name


DONE = Finished(
    4321, 640, 360, True, True, 5000, f"sha256:{HEX}",
    (Rendition("video", "360p", "video/360p/playlist.m3u8", "avc1.4d401e", 640, 360, 29.97, 700_000, 600_000, segment_count=2),),
    Poster(99, f"sha256:{HEX}", "file", None, "hls/x/poster.jpg"),
)  # fmt: skip


async def ask(database: Database, sql: str, *args: object) -> list[dict[str, object]]:
    async with database.transaction(service()) as tx:
        return [dict(row) for row in await tx.many(Statement("ask", "many", "a test looks", sql), *args)]


async def one(database: Database, sql: str, *args: object) -> dict[str, object]:
    (row,) = await ask(database, sql, *args)
    return row


async def submit(database: Database, **title: object) -> Submitted:
    async with database.transaction(service()) as tx:
        return await media.submit(tx, new_file(), NewTitle(**{"title": "A film", **title}))  # type: ignore[arg-type]


async def task_of(database: Database, job_id: UUID) -> UUID:
    row = await one(database, "SELECT id FROM transcode_tasks WHERE job_id = $1", job_id)
    assert isinstance(row["id"], UUID)
    return row["id"]


async def take(database: Database, task_id: UUID, owner: str = "w1") -> Attempt | None:
    async with database.transaction(service()) as tx:
        return await media_tasks.take_task(tx, task_id, owner)


async def taken(database: Database, task_id: UUID) -> Attempt:
    attempt = await take(database, task_id)
    assert attempt is not None
    return attempt


async def finish(database: Database, attempt: Attempt, done: Finished = DONE) -> bool:
    async with database.transaction(service()) as tx:
        return await media_tasks.finish(tx, attempt, done)


async def expire(database: Database, task_id: UUID) -> None:
    await ask(
        database,
        "UPDATE transcode_tasks SET lease_until = now() - interval '1 second' WHERE id = $1 RETURNING id",
        task_id,
    )


async def messages(database: Database) -> int:
    return len(await ask(database, "SELECT id FROM pgqueuer"))


@pytest.mark.parametrize(
    ("title", "field"),
    [
        (NewTitle(" "), "title"),
        (NewTitle("x" * 301), "title"),
        (NewTitle("a\0b"), "title"),
        (NewTitle("a", description="x" * 20_001), "description"),
        (NewTitle("a", content_type="SERIES"), "content_type"),
        (NewTitle("a", content_type="'; DROP TABLE"), "content_type"),
        (NewTitle("a", language="not a tag"), "language"),
        (NewTitle("a", encoding=Encoding(codecs=("av1",))), "codecs"),
        (NewTitle("a", encoding=Encoding(codecs=("h264", "vp9; rm -rf /"))), "codecs"),
        (NewTitle("a", encoding=Encoding(codecs=("h264", "av1", "av1"))), "codecs"),
        (NewTitle("a", encoding=Encoding(codecs=())), "codecs"),
        (NewTitle("a", encoding=Encoding(quality="best")), "quality"),
    ],
)
def test_a_bad_title_is_refused_by_its_field(title: NewTitle, field: str) -> None:
    refusal = check_title(title)
    assert refusal is not None
    assert [fault.path for fault in refusal.faults] == [field]


@pytest.mark.parametrize("name", ["", "../x.mp4", "a/b", "a\\b", "a\nb", "x" * 256])
def test_a_file_name_that_is_a_path_is_refused(name: str) -> None:
    refusal = check_file(new_file(name=name))
    assert refusal is not None
    assert refusal.faults[0].path == "filename"


def test_an_empty_file_is_refused_at_the_door() -> None:
    refusal = check_file(new_file(size_bytes=0))
    assert refusal is not None
    assert refusal.code is errors.EMPTY_FILE


def test_a_task_is_taken_only_when_nobody_holds_it_and_tries_are_left() -> None:
    free: dict[str, Any] = {"is_held": False, "attempts": 0, "max_attempts": 5, "cancel_requested": False}
    assert decide_turn("queued", **free) == "take"
    assert decide_turn("running", **free) == "take"
    assert decide_turn("running", **{**free, "is_held": True}) == "leave"
    assert decide_turn("queued", **{**free, "attempts": 5}) == "spent"
    assert decide_turn("queued", **{**free, "cancel_requested": True}) == "cancel"
    for state in ("done", "failed", "cancelled"):
        assert decide_turn(state, **free) == "leave"


@pytest.mark.rule("streaming-062")
async def test_a_submission_stores_everything_and_shows_nothing_yet(database: Database) -> None:
    made = await submit(database, description="About", is_free=True, language="en")
    content = await one(database, "SELECT title, is_published, generation_id, file_id, is_free FROM contents")
    assert content == {
        "title": "A film", "is_published": False, "generation_id": None, "file_id": made.file_id, "is_free": True,
    }  # fmt: skip
    file = await one(database, "SELECT name, extension, checksum, size FROM files")
    assert file == {"name": "Film.MP4", "extension": "mp4", "checksum": f"sha256:{HEX}", "size": 1000}
    assert (await one(database, "SELECT state::text FROM transcode_jobs"))["state"] == "queued"
    assert await messages(database) == 1


@pytest.mark.rule("streaming-056")
@pytest.mark.rule("streaming-057")
@pytest.mark.rule("streaming-058")
@pytest.mark.rule("streaming-059")
async def test_a_deleted_file_stays_resolvable_and_can_be_recovered(database: Database) -> None:
    made = await submit(database)
    await ask(database, "WITH gone AS (DELETE FROM files WHERE id = $1) SELECT 1", made.file_id)
    row = await one(
        database,
        "SELECT f.is_deleted, f.deleted_at IS NOT NULL AS dated, s.storage_key IS NOT NULL AS stored FROM contents c"
        " JOIN files f ON f.id = c.file_id JOIN storage s ON s.file_id = f.id",
    )
    assert row == {"is_deleted": True, "dated": True, "stored": True}
    recover = "UPDATE files SET is_deleted = false, deleted_at = NULL WHERE id = $1 RETURNING is_deleted"
    assert await one(database, recover, made.file_id) == {"is_deleted": False}


@pytest.mark.rule("streaming-060")
@pytest.mark.rule("podcast-143")
@pytest.mark.rule("infocus-082")
async def test_a_deleted_file_is_not_in_its_uploaders_listing(database: Database) -> None:
    uploader = SYSTEM_USER
    made = await submit(database)
    listing = Statement("list", "many", "a test lists", "SELECT id FROM files")
    person = Viewer(DEFAULT_TENANT, uploader, "authenticated")
    async with database.transaction(person) as tx:
        assert [row["id"] for row in await tx.many(listing)] == [made.file_id]
    await ask(database, "WITH gone AS (DELETE FROM files WHERE id = $1) SELECT 1", made.file_id)
    async with database.transaction(person) as tx:
        assert await tx.many(listing) == []


@pytest.mark.rule("streaming-061")
@pytest.mark.rule("streaming-063")
async def test_a_file_may_lie_in_several_places_but_a_place_holds_one_file(database: Database) -> None:
    file = new_file()
    async with database.transaction(service()) as tx:
        await media.submit(tx, file, NewTitle("One"))
        await tx.run(media.SQL["storage_insert"], file.file_id, "s3", "bucket", file.storage_key)
    with pytest.raises(Refusal) as taken_twice:
        async with database.transaction(service()) as tx:
            await media.submit(tx, new_file(storage_key=file.storage_key), NewTitle("Two"))
    assert taken_twice.value.code is errors.CONFLICT
    assert len(await ask(database, "SELECT 1 FROM contents")) == 1


async def test_a_refused_submission_leaves_nothing(database: Database) -> None:
    with pytest.raises(Refusal):
        await submit(database, content_type="SERIES")
    for table in ("contents", "files", "storage", "transcode_jobs", "transcode_tasks", "pgqueuer"):
        assert await ask(database, f"SELECT 1 FROM {table}") == []


async def test_a_guest_sees_neither_job_nor_file(database: Database) -> None:
    await submit(database)
    async with database.transaction(GUEST) as tx:
        for table in ("transcode_jobs", "transcode_tasks", "files", "storage", "contents"):
            assert await tx.many(Statement("look", "many", "a guest looks", f"SELECT 1 FROM {table}")) == []


async def test_publishing_is_one_step_and_names_poster_length_and_moment(database: Database) -> None:
    made = await submit(database)
    task_id = await task_of(database, made.job_id)
    attempt = await taken(database, task_id)
    assert attempt.store_prefix == f"hls/{made.content_id}/1-1"
    assert await finish(database, attempt)
    row = await one(
        database,
        "SELECT c.duration, c.is_published, c.published_at IS NOT NULL AS dated, g.state::text, g.number, g.duration_ms, f.mime_type,"
        " s.storage_key FROM contents c JOIN generations g ON g.id = c.generation_id JOIN files f ON f.id = c.thumbnail_image_id"
        " JOIN storage s ON s.file_id = f.id",
    )
    assert row == {
        "duration": 5, "is_published": True, "dated": True, "state": "published", "number": 1, "duration_ms": 4321,
        "mime_type": "image/jpeg", "storage_key": "hls/x/poster.jpg",
    }  # fmt: skip
    assert (await one(database, "SELECT name FROM renditions"))["name"] == "360p"
    job = await one(database, "SELECT state::text, progress::int, remaining FROM transcode_jobs")
    assert job == {"state": "succeeded", "progress": 100, "remaining": 0}


async def test_publishing_twice_changes_nothing_and_is_no_loss(database: Database) -> None:
    """The answer to a commit may be lost: the worker asks again, and must not throw its objects away."""
    attempt = await taken(database, await task_of(database, (await submit(database)).job_id))
    assert await finish(database, attempt)
    assert await finish(database, attempt)
    assert len(await ask(database, "SELECT 1 FROM renditions")) == 1


async def test_duplicate_messages_start_one_attempt(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    assert await take(database, task_id, "w1") is not None
    assert await take(database, task_id, "w2") is None


async def test_a_stale_fence_can_neither_renew_nor_publish_nor_fail(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    old = await taken(database, task_id)
    await expire(database, task_id)
    new = await taken(database, task_id)
    assert new.fence == old.fence + 1
    assert new.store_prefix != old.store_prefix
    assert old.store_prefix in new.earlier_prefixes
    async with database.transaction(service()) as tx:
        assert await media_tasks.renew(tx, old, 50, 10, "encoding") == "lost"
        assert not await media_tasks.fail(tx, old, Refusal(errors.ENCODE_FAILED))
        assert not await media_tasks.give_back(tx, old, delay_s=0, refund=True)
        assert await media_tasks.renew(tx, new, 50, 10, "encoding") == "go_on"
    assert not await finish(database, old)
    assert (await one(database, "SELECT generation_id FROM contents"))["generation_id"] is None
    assert await finish(database, new)
    assert not await finish(database, old)


async def test_progress_is_shown_on_the_job(database: Database) -> None:
    attempt = await taken(database, await task_of(database, (await submit(database)).job_id))
    async with database.transaction(service()) as tx:
        await media_tasks.renew(tx, attempt, 41.257, 12, "encoding")
    row = await one(database, "SELECT progress::float, eta_s, stage FROM transcode_jobs")
    assert row == {"progress": 41.26, "eta_s": 12, "stage": "encoding"}


async def test_a_task_that_keeps_killing_its_workers_is_given_up(database: Database) -> None:
    made = await submit(database)
    task_id = await task_of(database, made.job_id)
    for _ in range(5):
        assert await take(database, task_id) is not None
        await expire(database, task_id)
    assert await take(database, task_id) is None
    job = await one(database, "SELECT state::text, error_code FROM transcode_jobs")
    assert job == {"state": "failed", "error_code": errors.ATTEMPTS_SPENT.code}
    assert (await one(database, "SELECT state::text FROM generations"))["state"] == "failed"
    assert await take(database, task_id) is None


async def test_a_failed_encode_says_why_and_publishes_nothing(database: Database) -> None:
    attempt = await taken(database, await task_of(database, (await submit(database)).job_id))
    async with database.transaction(service()) as tx:
        assert await media_tasks.fail(tx, attempt, Refusal(errors.TRUNCATED_MEDIA))
    job = await one(database, "SELECT state::text, error_code, error_message FROM transcode_jobs")
    assert job == {"state": "failed", "error_code": "PS603", "error_message": errors.TRUNCATED_MEDIA.message}
    assert (await one(database, "SELECT is_published FROM contents"))["is_published"] is False


async def test_encoding_again_keeps_the_old_one_playing_until_the_new_one_is_whole(database: Database) -> None:
    made = await submit(database)
    assert await finish(database, await taken(database, await task_of(database, made.job_id)))
    first = await one(database, "SELECT generation_id, thumbnail_image_id FROM contents")
    async with database.transaction(service()) as tx:
        again = await media.submit_again(tx, made.content_id)
    with pytest.raises(Refusal) as busy:
        async with database.transaction(service()) as tx:
            await media.submit_again(tx, made.content_id)
    assert busy.value.code is errors.CONFLICT
    attempt = await taken(database, await task_of(database, again.job_id))
    assert attempt.store_prefix.endswith("/2-1")
    async with database.transaction(service()) as tx:
        await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED))
    assert await one(database, "SELECT generation_id, thumbnail_image_id FROM contents") == first
    async with database.transaction(service()) as tx:
        third = await media.submit_again(tx, made.content_id)
    assert await finish(
        database,
        await taken(database, await task_of(database, third.job_id)),
        replace(DONE, poster=Poster(9, f"sha256:{HEX}", "file", None, "hls/y/poster.jpg")),
    )
    states = await ask(database, "SELECT number, state::text FROM generations ORDER BY number")
    assert [tuple(row.values()) for row in states] == [(1, "retired"), (2, "failed"), (3, "published")]
    now = await one(database, "SELECT generation_id, thumbnail_image_id FROM contents")
    assert now["generation_id"] != first["generation_id"]
    assert now["thumbnail_image_id"] != first["thumbnail_image_id"]
    assert (await one(database, "SELECT is_deleted FROM files WHERE id = $1", first["thumbnail_image_id"]))[
        "is_deleted"
    ] is True


async def test_a_chosen_thumbnail_survives_another_encode(database: Database) -> None:
    made = await submit(database)
    await ask(database, "UPDATE contents SET thumbnail_image_id = $1 RETURNING id", made.file_id)
    assert await finish(database, await taken(database, await task_of(database, made.job_id)))
    assert (await one(database, "SELECT thumbnail_image_id FROM contents"))["thumbnail_image_id"] == made.file_id


async def test_a_task_given_back_does_not_lose_a_try_and_is_taken_again(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    attempt = await taken(database, task_id)
    before = await messages(database)
    async with database.transaction(service()) as tx:
        assert await media_tasks.give_back(tx, attempt, delay_s=0, refund=True)
    assert await messages(database) == before + 1
    again = await taken(database, task_id)
    assert (again.attempts, again.fence) == (1, 2)


async def test_the_rescuer_wakes_the_tasks_of_dead_workers_once(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    await taken(database, task_id)
    async with database.transaction(service()) as tx:
        assert await media_tasks.rescue(tx) == 0
    await expire(database, task_id)
    before = await messages(database)
    async with database.transaction(service()) as tx:
        assert await media_tasks.rescue(tx) == 1
        assert await media_tasks.rescue(tx) == 0
    assert await messages(database) == before + 1
    assert (await taken(database, task_id)).attempts == 2


async def test_the_rescuer_wakes_a_waiting_task_whose_message_was_lost(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    attempt = await taken(database, task_id)
    async with database.transaction(service()) as tx:
        await media_tasks.give_back(tx, attempt, delay_s=30, refund=False, why=errors.DISK_FULL, message="no room")
        assert await media_tasks.rescue(tx) == 0
    await expire(database, task_id)
    async with database.transaction(service()) as tx:
        assert await media_tasks.rescue(tx) == 1


async def cancel(tx: Tx, job_id: UUID) -> JobStopped:
    return await media_commands.do_cancel_encoding(tx, service(), CancelEncoding(job_id), NOW)


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(database: Database) -> None:
    waiting = await submit(database)
    async with database.transaction(service()) as tx:
        assert (await cancel(tx, waiting.job_id)).state == "cancelled"
    assert await take(database, await task_of(database, waiting.job_id)) is None
    running = await submit(database)
    attempt = await taken(database, await task_of(database, running.job_id))
    async with database.transaction(service()) as tx:
        assert (await cancel(tx, running.job_id)).state == "cancelling"
        assert await media_tasks.renew(tx, attempt, 1, None, "encoding") == "cancel"
        assert await media_tasks.fail(tx, attempt, Refusal(errors.CANCELLED))
    job = await one(database, "SELECT state::text FROM transcode_jobs WHERE id = $1", running.job_id)
    assert job["state"] == "cancelled"
    with pytest.raises(Refusal) as over:
        async with database.transaction(service()) as tx:
            await cancel(tx, running.job_id)
    assert over.value.code is errors.ILLEGAL_MOVE


async def test_another_tenant_sees_no_task(database: Database) -> None:
    task_id = await task_of(database, (await submit(database)).job_id)
    async with database.transaction(Viewer(uuid7(), None, "service_role")) as tx:
        assert await media_tasks.take_task(tx, task_id, "w1") is None


def test_the_listed_moves_are_those_that_the_schema_enforces() -> None:
    from pathlib import Path
    from re import findall, search

    text = (Path(__file__).parents[2] / "db/schema/media.sql").read_text()
    for table, moves in media.STATES.items():
        trigger = search(rf"CREATE TRIGGER {table}_transition .*?;", text, 16)
        assert trigger is not None
        enforced = set(findall(r"'([a-z]+>[a-z]+)'", trigger.group(0)))
        assert enforced == {f"{was}>{becomes}" for was, all_moves in moves.items() for becomes in all_moves}


async def test_what_waits_is_told_by_priority(database: Database) -> None:
    async with database.transaction(service()) as tx:
        for priority in (0, 0, 7, -1):
            await media.submit(tx, new_file(), NewTitle("A film"), priority=priority)
        found = {one.priority: one for one in await media_tasks.waiting(tx)}
    assert {name: here.count for name, here in found.items()} == {"high": 1, "usual": 2, "low": 1}
    assert all(here.oldest_s >= 0 for here in found.values())
