"""What staff ask of an encoding over /rest/v1/rpc: stop it, begin it anew, do it otherwise, why did it fail."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from core import errors
from core.domain import media, media_pieces, media_tasks
from core.domain.media_results import Planned, Split
from core.errors import Refusal
from core.ids import uuid7
from core.queries import Statement
from core.viewer import GUEST, Viewer, service
from tests.edge.rest_shop import MARA, OTHER_TENANT, STAFF, Shop, own_shop, shop_database
from tests.edge.test_rest_writes import studio
from tests.edge.test_rpc import answer, refusal

__all__ = ["own_shop", "shop_database", "studio"]

COLUMNS = "id,state,stage,progress,ladder,created_by,codecs,quality,is_encrypted,tasks:transcode_tasks(kind,chunk_no,state,owner)"


async def submit(shop: Shop) -> media.Submitted:
    key = f"uploads/{uuid7()}"
    file = media.NewFile(uuid7(), "film.mp4", 1000, "video/mp4", f"sha256:{'a' * 64}", "file", None, key, STAFF.user_id)
    async with shop.database.transaction(service()) as tx:
        return await media.submit(tx, file, media.NewTitle("A film"))


async def take(shop: Shop, job_id: UUID, kind: str = "transcode") -> media_tasks.Attempt:
    sql = "SELECT id FROM transcode_tasks WHERE job_id = $1 AND kind = $2::text::task_kind ORDER BY chunk_no LIMIT 1"
    async with shop.database.transaction(service()) as tx:
        task_id = await tx.value(Statement("task", "value", "a test looks", sql), job_id, kind)
        attempt = await media_tasks.take_task(tx, task_id, "machine:1")
    assert attempt is not None
    return attempt


async def fail(shop: Shop, job_id: UUID, reason: Refusal) -> None:
    attempt = await take(shop, job_id)
    async with shop.database.transaction(service()) as tx:
        assert await media_tasks.fail(tx, attempt, reason)


async def job_of(shop: Shop, job_id: object) -> dict[str, Any]:
    (row,) = await shop.rows(f"/transcode_jobs?id=eq.{job_id}&select={COLUMNS}")
    return dict(row)


async def test_a_waiting_job_is_stopped_at_once_and_begun_anew_by_whoever_asked(studio: Shop) -> None:
    made = await submit(studio)
    assert await answer(studio, "cancel_encoding", {"job_id": str(made.job_id)}) == {
        "job_id": str(made.job_id), "state": "cancelled",
    }  # fmt: skip
    assert (await job_of(studio, made.job_id))["state"] == "cancelled"
    assert await refusal(studio, "cancel_encoding", {"job_id": str(made.job_id)}) == (409, errors.ILLEGAL_MOVE.code)
    again = await answer(studio, "retry_encoding", {"job_id": str(made.job_id)})
    fresh = await job_of(studio, again["job_id"])
    assert (fresh["state"], fresh["created_by"]) == ("queued", str(STAFF.user_id))
    assert [task["kind"] for task in fresh["tasks"]] == ["transcode"]
    assert await refusal(studio, "retry_encoding", {"job_id": str(made.job_id)}) == (409, errors.CONFLICT.code)


async def test_a_running_job_is_stopped_when_its_worker_says_so_and_what_it_built_is_given_up(studio: Shop) -> None:
    made = await submit(studio)
    attempt = await take(studio, made.job_id)
    stopped = await answer(studio, "cancel_encoding", {"job_id": str(made.job_id)})
    assert stopped["state"] == "cancelling"
    async with studio.database.transaction(service()) as tx:
        assert await media_tasks.renew(tx, attempt, 10, None, "encoding") == "cancel"
        assert await media_tasks.fail(tx, attempt, Refusal(errors.CANCELLED))
    assert (await job_of(studio, made.job_id))["state"] == "cancelled"
    again = await answer(studio, "retry_encoding", {"job_id": str(made.job_id)})
    other = await take(studio, UUID(again["job_id"]))
    # Its worker died: nobody has to be waited for, and the generation that it was building is given up at once.
    async with studio.database.transaction(service()) as tx:
        await tx.run(
            Statement("die", "none", "a test", "UPDATE transcode_tasks SET lease_until = now() - interval '1 second' WHERE id = $1"),
            other.task_id,
        )  # fmt: skip
    assert (await answer(studio, "cancel_encoding", {"job_id": again["job_id"]}))["state"] == "cancelled"
    states = await studio.rows(f"/generations?content_id=eq.{made.content_id}&select=state&order=number")
    assert [row["state"] for row in states] == ["failed", "failed"]


async def test_encoding_again_asks_otherwise_and_refuses_what_there_is_not(studio: Shop) -> None:
    made = await submit(studio)
    content_id = str(made.content_id)
    assert await refusal(studio, "encode_again", {"content_id": content_id}) == (409, errors.CONFLICT.code)
    await answer(studio, "cancel_encoding", {"job_id": str(made.job_id)})
    for wrong in ({"codecs": ["hevc"]}, {"codecs": ["h264", "vp9"]}, {"quality": "best"}, {"priority": 1001}):
        assert await refusal(studio, "encode_again", {"content_id": content_id, **wrong}) == (
            422,
            errors.BAD_FIELD.code,
        )
    assert await refusal(studio, "encode_again", {"content_id": str(uuid4())}) == (404, errors.CONTENT_NOT_FOUND.code)
    asked = {"codecs": ["h264", "av1"], "quality": "auto", "encrypt": True}
    again = await answer(studio, "encode_again", {"content_id": content_id, **asked})
    row = await job_of(studio, again["job_id"])
    assert (row["codecs"], row["quality"], row["is_encrypted"]) == (["h264", "av1"], "auto", True)


async def test_a_failure_says_rule_rendition_and_the_tools_words_but_not_where_they_were_said(studio: Shop) -> None:
    made = await submit(studio)
    path = f"/rpc/encoding_failures?job_id={made.job_id}"
    assert (await studio.rows(path))["failures"] == []
    said = "rule first-pts of video/720p/playlist.m3u8: begins at 0.083 s in /srv/scratch/9-1/out/0.m4s"
    await fail(studio, made.job_id, Refusal(errors.VERIFY_FAILED, "It did not pass.", details=said))
    (failure,) = (await studio.rows(path))["failures"]
    assert (failure["kind"], failure["state"], failure["code"]) == ("transcode", "failed", errors.VERIFY_FAILED.code)
    assert failure["rule"] == {
        "rule": "first-pts", "rendition": "video/720p/playlist.m3u8", "problem": "begins at 0.083 s in 0.m4s",
    }  # fmt: skip
    assert "/srv" not in str(failure)
    assert failure["log"] is not None


async def test_a_piece_that_is_tried_again_says_why_and_a_cancelled_one_is_no_failure(studio: Shop) -> None:
    made = await submit(studio)
    attempt = await take(studio, made.job_id)
    down = Refusal(errors.UNAVAILABLE, "The object store cannot be reached.", details="http://store.internal: 403")
    async with studio.database.transaction(service()) as tx:
        await media_tasks.give_back(
            tx, attempt, delay_s=60, refund=False, why=down.code, message=down.message or "", details=down.details
        )
    (failure,) = (await studio.rows(f"/rpc/encoding_failures?job_id={made.job_id}"))["failures"]
    assert (failure["state"], failure["attempts"], failure["log"]) == ("queued", 1, None)
    again = await take(studio, made.job_id)
    async with studio.database.transaction(service()) as tx:
        await media_tasks.fail(tx, again, Refusal(errors.CANCELLED))
    assert (await studio.rows(f"/rpc/encoding_failures?job_id={made.job_id}"))["failures"] == []


async def test_the_ladder_is_shown_as_soon_as_it_is_decided(studio: Shop) -> None:
    made = await submit(studio)
    attempt = await take(studio, made.job_id)
    assert (await job_of(studio, made.job_id))["ladder"] is None
    tall, sound = Planned("video", "720p", "h264", 1280, 720, 3_000_000), Planned("audio", "English", "aac", channels=2)
    async with studio.database.transaction(service()) as tx:
        assert await media_tasks.renew(tx, attempt, 1, None, "encoding", (tall, sound)) == "go_on"
        assert await media_tasks.renew(tx, attempt, 2, None, "encoding") == "go_on"
    assert (await job_of(studio, made.job_id))["ladder"] == [
        {"kind": "video", "name": "720p", "codec": "h264", "width": 1280, "height": 720, "bps": 3_000_000},
        {"kind": "audio", "name": "English", "codec": "aac", "channels": 2},
    ]
    async with studio.database.transaction(service()) as tx:
        assert await media_pieces.split(tx, attempt, Split(2, True, "{}", ladder=(tall,)))
    row = await job_of(studio, made.job_id)
    assert [entry["name"] for entry in row["ladder"]] == ["720p"]
    assert sorted((task["kind"], task["chunk_no"]) for task in row["tasks"] if task["kind"] == "encode") == [
        ("encode", 0), ("encode", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["cancel_encoding", "retry_encoding", "encoding_failures"])
async def test_nobody_else_sees_or_moves_a_job(studio: Shop, command: str) -> None:
    made = await submit(studio)
    asked = {"job_id": str(made.job_id)}
    studio.viewer = GUEST
    assert await refusal(studio, command, asked) == (401, errors.SIGN_IN_NEEDED.code)
    studio.viewer = MARA
    assert await refusal(studio, command, asked) == (403, errors.FORBIDDEN.code)
    assert await studio.rows(f"/transcode_jobs?id=eq.{made.job_id}&select=id") == []
    studio.viewer = Viewer(OTHER_TENANT, STAFF.user_id, "staff")
    assert await refusal(studio, command, asked) == (404, errors.NOT_FOUND.code)
    studio.viewer = STAFF
    assert (await job_of(studio, made.job_id))["state"] == "queued"


async def test_staff_of_another_workspace_encode_nothing_here_again(studio: Shop) -> None:
    made = await submit(studio)
    await answer(studio, "cancel_encoding", {"job_id": str(made.job_id)})
    studio.viewer = Viewer(OTHER_TENANT, STAFF.user_id, "staff")
    asked = {"content_id": str(made.content_id)}
    assert await refusal(studio, "encode_again", asked) == (404, errors.CONTENT_NOT_FOUND.code)
