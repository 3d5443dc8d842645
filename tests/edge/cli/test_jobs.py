"""`penstock jobs`, as an operator types it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from core import errors
from core.database import Database
from core.domain import media, media_pieces, media_tasks
from core.domain.media_results import Split
from core.errors import Refusal
from core.ids import uuid7
from core.queries import Statement
from core.viewer import service
from edge.cli.__main__ import app
from edge.local.fault import ServiceFault
from tests.conftest import TestDatabase

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(database_urls: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a command against the test's database."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", database_urls.app_url)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    async def typed(*words: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, ["jobs", *words]))

    return typed


async def submit(database: Database, title: str) -> UUID:
    key = f"uploads/{uuid7()}"
    file = media.NewFile(uuid7(), "film.mp4", 1000, "video/mp4", f"sha256:{'a' * 64}", "file", None, key, None)
    async with database.transaction(service()) as tx:
        return (await media.submit(tx, file, media.NewTitle(title))).job_id


async def first_attempt(database: Database, job_id: UUID, kind: str = "transcode") -> media_tasks.Attempt:
    sql = "SELECT id FROM transcode_tasks WHERE job_id = $1 AND kind = $2::text::task_kind ORDER BY chunk_no LIMIT 1"
    async with database.transaction(service()) as tx:
        task_id = await tx.value(Statement("task", "value", "a test looks", sql), job_id, kind)
        attempt = await media_tasks.take_task(tx, task_id, "machine:1")
    assert attempt is not None
    return attempt


async def test_every_job_is_listed_with_its_pieces(database: Database, run: Run) -> None:
    waiting = await submit(database, "Waiting [film]")
    split = await submit(database, "In pieces")
    attempt = await first_attempt(database, split)
    async with database.transaction(service()) as tx:
        assert await media_pieces.split(tx, attempt, Split(3, True, "{}"))
    piece = await first_attempt(database, split, "encode")
    async with database.transaction(service()) as tx:
        assert await media_pieces.finish_piece(tx, piece)
    said = await run()
    assert said.exit_code == 0, said.output
    lines = {line.split()[0]: line for line in said.output.splitlines() if line.strip()}
    assert "queued" in lines[str(waiting)[-12:]]
    assert "Waiting [film]" in lines[str(waiting)[-12:]]
    assert "1/4" in lines[str(split)[-12:]]
    shown = await run("show", str(split)[-12:])
    assert [line.split()[:3] for line in shown.output.splitlines()[2:5]] == [
        ["encode", "0", "done"], ["encode", "1", "queued"], ["encode", "2", "queued"],
    ]  # fmt: skip


async def test_a_failure_is_shown_in_the_encoders_words_and_tried_again(database: Database, run: Run) -> None:
    job_id = await submit(database, "Broken")
    attempt = await first_attempt(database, job_id)
    async with database.transaction(service()) as tx:
        await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED, details="[error] bad [thing]"))
    short = str(job_id)[-8:]
    assert "PS608" in (await run()).output
    said = (await run("log", short)).output
    assert "PS608" in said
    assert "[error] bad [thing]" in said
    again = await run("retry", short)
    assert again.exit_code == 0
    assert "Begun anew as" in again.output
    refused = await run("retry", short)
    assert isinstance(refused.exception, Refusal)
    assert refused.exception.code is errors.CONFLICT


async def test_a_job_is_cancelled(database: Database, run: Run) -> None:
    job_id = await submit(database, "Not wanted")
    assert "cancelled" in (await run("cancel", str(job_id))).output
    assert "cancelled" in (await run()).output
    again = await run("cancel", str(job_id))
    assert isinstance(again.exception, Refusal)
    assert again.exception.code is errors.ILLEGAL_MOVE


@pytest.mark.parametrize("words", ["", "xyz", "12345", "%%%%%%", "ffffffffffff"])
async def test_what_names_no_job_is_refused_with_a_mend(run: Run, words: str) -> None:
    said = await run("show", words)
    assert isinstance(said.exception, ServiceFault), said.output


async def test_the_figures_are_what_a_monitor_reads(database: Database, run: Run) -> None:
    await submit(database, "One")
    attempt = await first_attempt(database, await submit(database, "Two"))
    async with database.transaction(service()) as tx:
        await media_tasks.fail(tx, attempt, Refusal(errors.ENCODE_FAILED))
    said = (await run("figures")).output
    figures = {line.split()[0]: float(line.split()[1]) for line in said.splitlines() if not line.startswith("#")}
    assert figures["penstock_jobs_queued"] == 1
    assert figures["penstock_jobs_failed_day"] == 1
    assert figures["penstock_tasks_queued"] == 1
    assert figures["penstock_tasks_running"] == 0
    assert figures["penstock_jobs_oldest_queued_seconds"] >= 0
    assert said.count("# TYPE ") == len(figures) == 7


async def test_without_an_installation_it_says_how_to_start_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_DATABASE_URL")
    said = await run()
    assert isinstance(said.exception, ServiceFault)
    assert "./penstock up" in str(said.exception)


async def test_what_a_title_does_without_is_said(database: Database, run: Run) -> None:
    job_id = await submit(database, "In pieces")
    attempt = await first_attempt(database, job_id)
    said = "A sound track (Deutsch) was left out: its codec, wavpack, is not accepted."
    async with database.transaction(service()) as tx:
        assert await media_pieces.split(tx, attempt, Split(2, True, "{}", warnings=(said,)))
    assert said in " ".join((await run("show", str(job_id)[-12:])).output.split())
