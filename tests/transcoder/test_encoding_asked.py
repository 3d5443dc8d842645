"""What a job asks of its encoding reaches the encoder, whole or in chunks, and outweighs the installation's settings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from core import errors
from core.database import Database
from core.domain import media_commands
from core.domain.media_encoding import USUAL, Encoding
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.objects import ObjectStore
from core.viewer import service
from tests.transcoder.sources import FAST, make, picture
from tests.transcoder.test_chunks import tasks, work_off
from tests.transcoder.test_worker import job, look, submit, task_of
from transcoder import abilities
from transcoder.abilities import Abilities
from transcoder.worker import Worker

BOTH = Encoding(codecs=("h264", "av1"))


async def names(database: Database) -> list[str]:
    """The pictures of what is published, and their codecs."""
    row = await look(
        database, "SELECT coalesce(array_agg(r.name || ' ' || left(r.codecs, 4) ORDER BY r.name), '{}') AS names FROM contents c"
        " JOIN renditions r USING (generation_id) WHERE r.kind = 'video'",
    )  # fmt: skip
    found = row["names"]
    assert isinstance(found, list)
    return found


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("asked") / "clip.mp4", *picture("128x72", "25", 9), *FAST, "-g", "60")


@pytest.mark.parametrize(
    ("asked", "set_to", "made"),
    [
        (Encoding(), Encoding(("h264",), "fast", False), ["72p avc1"]),
        (Encoding(), Encoding(("h264", "av1"), "fast", False), ["72p avc1", "72p-av1 av01"]),
        (Encoding(codecs=("h264",)), Encoding(("h264", "av1"), "fast", False), ["72p avc1"]),
        (Encoding(codecs=("h264", "hevc")), USUAL, ["72p avc1", "72p-hevc hvc1"]),
    ],
    ids=["neither", "set", "less than set", "asked"],
)
async def test_a_job_outweighs_the_settings(
    asked: Encoding,
    set_to: Encoding,
    made: list[str],
    database: Database,
    objects: ObjectStore,
    clip: Path,
    tmp_path: Path,
) -> None:
    submitted = await submit(database, objects, clip, asked)
    worker = Worker(database, objects, tmp_path / "scratch", encoding=set_to)
    await worker.handle(DEFAULT_TENANT, await task_of(database, submitted.job_id))
    assert (await job(database, submitted.job_id))["state"] == "succeeded"
    assert await names(database) == made


async def test_every_chunk_is_made_as_the_first_task_decided(
    database: Database, objects: ObjectStore, clip: Path, tmp_path: Path
) -> None:
    """Measured once; whoever encodes the chunks and joins them, set to whatever, makes that ladder."""
    submitted = await submit(database, objects, clip, Encoding(("h264", "av1"), "auto"))
    first = Worker(database, objects, tmp_path / "one", chunk_s=4)
    other = Worker(database, objects, tmp_path / "two", chunk_s=30, encoding=Encoding(("h264", "hevc"), "fast", False))
    await work_off(first, database, submitted.job_id, "transcode")
    assert [t["kind"] for t in await tasks(database, submitted.job_id)].count("encode") == 2
    shared = await look(database, "SELECT source->'wishes' AS wishes FROM transcode_jobs")
    assert '"crf"' in str(shared["wishes"])
    await work_off(first, database, submitted.job_id, "preview")
    await work_off(other, database, submitted.job_id, "encode", "audio", "stitch")
    assert (await job(database, submitted.job_id))["state"] == "succeeded"
    assert await names(database) == ["72p avc1", "72p-av1 av01"]


async def test_encoding_again_may_ask_otherwise_and_a_retry_asks_the_same(
    database: Database, objects: ObjectStore, clip: Path
) -> None:
    submitted = await submit(database, objects, clip)

    async def asked_of(job_id: object) -> dict[str, object]:
        return await look(database, "SELECT codecs, quality, is_encrypted FROM transcode_jobs WHERE id = $1", job_id)

    assert await asked_of(submitted.job_id) == {"codecs": None, "quality": None, "is_encrypted": None}
    now = datetime.now(UTC)
    async with database.transaction(service()) as tx:
        await media_commands.do_cancel_encoding(tx, service(), media_commands.CancelEncoding(submitted.job_id), now)
        with pytest.raises(Refusal) as refused:
            await media_commands.do_encode_again(
                tx, service(), media_commands.EncodeAgain(submitted.content_id, codecs=("hevc",)), now
            )
        assert refused.value.code is errors.BAD_FIELD
        wanted = media_commands.EncodeAgain(submitted.content_id, codecs=("h264", "av1"), quality="auto", encrypt=True)
        again = await media_commands.do_encode_again(tx, service(), wanted, now)
    expected = {"codecs": ["h264", "av1"], "quality": "auto", "is_encrypted": True}
    assert await asked_of(again.job_id) == expected
    assert isinstance(again.job_id, UUID)
    async with database.transaction(service()) as tx:
        await media_commands.do_cancel_encoding(tx, service(), media_commands.CancelEncoding(again.job_id), now)
        retried = await media_commands.do_retry_encoding(tx, service(), media_commands.RetryEncoding(again.job_id), now)
    assert await asked_of(retried.job_id) == expected


async def test_a_worker_whose_ffmpeg_cannot_leaves_the_job_to_others(
    database: Database, objects: ObjectStore, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = await submit(database, objects, clip, BOTH)
    worker = Worker(database, objects, tmp_path / "scratch")
    with monkeypatch.context() as lacking:
        lacking.setattr(abilities, "find_abilities", lambda _: Abilities(frozenset({"libx264"}), frozenset()))
        await worker.handle(DEFAULT_TENANT, await task_of(database, submitted.job_id))
    row = await look(database, "SELECT state::text, error_code, error_message FROM transcode_tasks")
    assert row == {
        "state": "queued",
        "error_code": errors.ENCODER_LACKS.code,
        "error_message": "This worker's ffmpeg was built without libsvtav1.",
    }
