"""`penstock subtitles TITLE LANG=FILE ...`: words for a title that is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rich.console import Console

from core.database import Database
from core.domain import media, media_tasks, media_texts
from core.domain.media_subtitles import TextKind
from core.errors import Refusal
from core.objects import ObjectStore
from core.viewer import Viewer, service
from edge.cli.titles import SQL, Beside, read_beside, store_file
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings

HELP = "See `./penstock subtitles --help`."
_FEWEST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Title:
    """A title and the viewer who may change it."""

    viewer: Viewer
    content_id: UUID
    name: str


def run_subtitles(title: str, given: Sequence[str], *, kind: TextKind, is_default: bool, data: Path | None) -> int:
    """Hands the files in; 0 when all of them are tracks of the title, none of them when one is refused. Raises ServiceFault."""
    settings = settings_for(port=None, data=data)
    settings = running_settings(settings) or settings
    if settings.database_url is None:
        raise ServiceFault(
            "subtitles",
            "finds no running installation",
            "Start one with `./penstock up`, or set PENSTOCK_DATABASE_URL.",
        )
    try:
        beside = [read_beside(one) for one in given]
        return asyncio.run(
            _subtitles(
                settings.database_url, ObjectStore(settings.store_url), title, beside, kind, is_default=is_default
            )
        )
    except Refusal as refusal:
        told = " ".join(filter(None, (refusal.message or refusal.code.message, refusal.hint or refusal.code.hint)))
        raise ServiceFault("subtitles", f"was refused: {told.removesuffix('.')}", HELP) from None


async def _subtitles(
    url: str, objects: ObjectStore, title: str, given: Sequence[Beside], kind: TextKind, *, is_default: bool
) -> int:
    database = await Database.connect(url, name="subtitles", max_size=2)
    try:
        found = await find_title(database, title)
        await add_subtitles(database, objects, found, given, kind, is_default=is_default)
    finally:
        await database.close()
    languages = ", ".join(one.language for one in given)
    Console().print(f"“{found.name}” has {languages}. A worker offers them within seconds.", markup=False)
    return 0


async def find_title(database: Database, wanted: str) -> Title:
    """The title called so, or whose id ends so. Raises ServiceFault when there is none, or more than one."""
    digits = wanted.strip().lower()
    end = None if len(digits) < _FEWEST_DIGITS or digits.strip("0123456789abcdef-") else digits
    async with database.transaction(service()) as tx:
        viewers = [service(tenant_id) for tenant_id in await media_tasks.tenants(tx)]
    found = []
    for viewer in viewers:
        async with database.transaction(viewer) as tx:
            rows = await tx.many(SQL["titles_found"], wanted.strip(), end)
            found += [Title(viewer, row["id"], row["title"]) for row in rows]
    if len(found) != 1:
        what = "no title" if not found else "more than one title"
        raise ServiceFault(
            "subtitles",
            f"knows {what} of {wanted[:80]!r}",
            "Give its name, or at least six of the last digits of its id.",
        )
    return found[0]


async def add_subtitles(
    database: Database,
    objects: ObjectStore,
    title: Title,
    given: Sequence[Beside],
    kind: TextKind,
    *,
    is_default: bool = False,
) -> None:
    """Makes the files tracks of `title`, each in place of the one of its kind and language. Raises Refusal, StoreDown."""
    async with database.transaction(title.viewer) as tx:
        await media.check_quota(tx, sum(one.path.stat().st_size for one in given))
        await media_texts.check_place(tx, title.content_id)
    files = [(await store_file(objects, one.path), one.language) for one in given]
    async with database.transaction(title.viewer) as tx:
        for number, (file, language) in enumerate(files):
            text = media_texts.NewText(title.content_id, language, language, kind, is_default and number == 0)
            await media.submit_text(tx, file, text)
