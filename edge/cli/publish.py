"""`penstock publish FILE`: beside a running installation, or with one started for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from core.database import Database
from core.domain import media
from core.domain.media_encoding import AS_SET, Encoding
from core.errors import Refusal
from core.objects import ObjectStore
from edge.cli.titles import Beside, follow, hand_in, read_beside
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import Installation, running_settings
from edge.local.supervisor import Supervisor, open_socket
from edge.settings import Settings


def run_publish(
    file: Path,
    *,
    title: str,
    content_type: str,
    description: str | None,
    free: bool,
    data: Path | None,
    encoding: Encoding = AS_SET,
    subtitles: Sequence[str] = (),
) -> int:
    """Transcodes and publishes; 0 when the title can be watched, 1 when the file was refused."""
    if not file.is_file():
        raise ServiceFault("publish", f"finds no file {file}", "Give the path of a video or audio file.")
    new = media.NewTitle(
        title=title, content_type=content_type.upper(), description=description, is_free=free, encoding=encoding
    )
    if refusal := media.check_title(new):
        raise ServiceFault("publish", f"was refused: {refusal.message}", "See `./penstock publish --help`.")
    try:
        beside = [read_beside(one) for one in subtitles]
    except Refusal as refusal:
        told = " ".join(filter(None, (refusal.message or refusal.code.message, refusal.hint or refusal.code.hint)))
        raise ServiceFault(
            "publish", f"was refused: {told.removesuffix('.')}", "See `./penstock publish --help`."
        ) from None
    return asyncio.run(_publish(settings_for(port=0, data=data), file, new, beside))


async def _publish(settings: Settings, file: Path, title: media.NewTitle, subtitles: Sequence[Beside]) -> int:
    console = Console(stderr=True)
    if (running := running_settings(settings)) is not None:
        return await publish_into(running, file, title, console, subtitles)
    installation = Installation(settings)
    supervisor = Supervisor(installation, open_socket(settings))
    try:
        with console.status("Starting PostgreSQL, Valkey and a worker"):
            await installation.start()
            supervisor.start(edges=0, workers=1)
        watching = asyncio.create_task(supervisor.watch(stop := asyncio.Event()))
        try:
            return await publish_into(installation.settings, file, title, console, subtitles)
        finally:
            # Else what is about to be ended is taken for fallen, and started again.
            stop.set()
            await watching
    finally:
        await asyncio.to_thread(supervisor.stop)


async def publish_into(
    settings: Settings, file: Path, title: media.NewTitle, console: Console, subtitles: Sequence[Beside] = ()
) -> int:
    """Hands the file in and follows it to its end."""
    assert settings.database_url is not None
    database = await Database.connect(settings.database_url, name="publish", max_size=2)
    try:
        job = await hand_in(database, ObjectStore(settings.store_url), file, title, subtitles)
        row = (await follow(database, [job.job_id], console))[job.job_id]
    except Refusal as refusal:
        console.print(f"[red]{refusal.message or refusal.code.message}")
        return 1
    finally:
        await database.close()
    if row["state"] != "succeeded":
        console.print(f"[red]{row['error_code']}: {row['error_message']}")
        return 1
    for warning in row["warnings"]:
        console.print(warning, style="yellow", markup=False)
    console.print(f"Published “{title.title}” as {job.content_id}")
    return 0
