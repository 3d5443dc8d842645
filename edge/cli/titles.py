"""From a file on disk to a title: handing it in, and following its encoding on the terminal."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from core.database import Database, DatabaseDown, Row
from core.domain import media, media_texts
from core.errors import bad_field
from core.ids import uuid7
from core.objects import ObjectStore
from core.queries import load
from core.viewer import service
from edge.api.partial import checksum_of

SQL = load("edge.cli", "library.sql")
POLL_S = 0.25
AWAY_S = 60.0
"""A database that is away for so long ends the watching, not the job."""
NOWHERE = UUID(int=0)
"""The id of a title that is not there yet."""
ENDED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Beside:
    """A subtitle file for a title that is being handed in."""

    language: str
    path: Path


def read_beside(given: str) -> Beside:
    """`LANG=FILE` as it is typed. Raises Refusal."""
    language, equals, name = given.partition("=")
    if not equals or not name:
        raise bad_field("subtitles", f"must be LANG=FILE such as de=film.de.srt, not {given[:80]!r}")
    path = Path(name)
    if not path.is_file():
        raise bad_field("subtitles", f"finds no file {name[:200]!r}")
    text = media_texts.NewText(NOWHERE, language, language)
    if refusal := media_texts.check_text(text, path.stat().st_size) or media_texts.check_document(path.read_bytes()):
        raise refusal
    return Beside(language, path)


async def hand_in(
    database: Database, objects: ObjectStore, path: Path, title: media.NewTitle, subtitles: Sequence[Beside] = ()
) -> media.Submitted:
    """Stores the files and their rows and wakes a worker. Raises Refusal, StoreDown, DatabaseDown."""
    size_bytes = path.stat().st_size + sum(one.path.stat().st_size for one in subtitles)
    async with database.transaction(service()) as tx:
        await media.check_quota(tx, size_bytes)
    file = await store_file(objects, path)
    texts = [(await store_file(objects, one.path), one.language) for one in subtitles]
    async with database.transaction(service()) as tx:
        made = await media.submit(tx, file, title)
        for text_file, language in texts:
            await media.submit_text(tx, text_file, media_texts.NewText(made.content_id, language, language))
        return made


async def store_file(objects: ObjectStore, path: Path) -> media.NewFile:
    """Puts a file of this machine into the store; the row that it is to have. Raises StoreDown."""
    file_id = uuid7()
    key = f"files/{file_id}/source"
    await objects.put(key, path)
    await objects.sync(key)
    return media.NewFile(
        file_id=file_id,
        name=re.sub(r"[\x00-\x1f\x7f\\]", "_", path.name)[:200],
        size_bytes=path.stat().st_size,
        mime_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        checksum=await asyncio.to_thread(checksum_of, path),
        storage_provider=objects.provider,
        bucket=objects.bucket,
        storage_key=key,
        uploader_id=None,
    )


async def follow(database: Database, jobs: Sequence[UUID], console: Console) -> Mapping[UUID, Row]:
    """Shows percent and time left until every job has ended; their last rows. Raises DatabaseDown after a minute without one."""
    loop = asyncio.get_running_loop()
    seen_at = loop.time()
    shown: dict[UUID, TaskID] = {}
    with Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
    ) as progress:
        while True:
            try:
                async with database.transaction(service()) as tx:
                    rows = await tx.many(SQL["jobs_progress"], list(jobs))
            except DatabaseDown:
                # An hour of encoding goes on without us: it must not look failed because of a second.
                if loop.time() - seen_at > AWAY_S:
                    raise
                await asyncio.sleep(POLL_S)
                continue
            seen_at = loop.time()
            for row in rows:
                if row["id"] not in shown:
                    shown[row["id"]] = progress.add_task(row["title"], total=100, note="waiting")
                progress.update(shown[row["id"]], completed=_percent(row), note=_note(row))
            if all(row["state"] in ENDED for row in rows):
                return {row["id"]: row for row in rows}
            await asyncio.sleep(POLL_S)


def _percent(row: Row) -> float:
    return 100.0 if row["state"] == "succeeded" else float(row["progress"])


def _note(row: Row) -> str:
    match row["state"]:
        case "succeeded":
            return "published"
        case "failed":
            return f"[red]failed: {row['error_message']}"
        case "cancelled":
            return "cancelled"
    left = f", {row['eta_s']} s left" if row["eta_s"] is not None else ""
    return f"{row['stage']}{left}"
