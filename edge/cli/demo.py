"""`penstock demo`: a small library made on the spot, three people to watch it as, a seeded crowd around them, and a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import orjson
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from core.database import Database, Row, Tx
from core.domain import identity, media
from core.objects import ObjectStore
from core.process import running
from core.viewer import service
from edge.api.access import AccessKeys
from edge.api.passwords import Passwords
from edge.cli.crowd import add_crowd
from edge.cli.pages import ensure_pages
from edge.cli.scenes import CAPTIONS, SCENES, Scene, argv, source_name, subtitles
from edge.cli.seed import FEWEST, MOST
from edge.cli.titles import SQL, follow, hand_in
from edge.cli.up import settings_for, stop_on_signals
from edge.local.fault import ServiceFault
from edge.local.ffmpeg import ffmpeg_path
from edge.local.installation import Installation
from edge.local.supervisor import Supervisor, open_socket
from edge.settings import Settings

PRICE = Decimal("4.90")
PASSWORD = "penstock-demo"  # noqa: S105 - printed on the screen of whoever starts the demo


@dataclass(frozen=True, slots=True)
class Person:
    """One of the demo's users, and what they own."""

    email: str
    name: str
    role: str
    owns: tuple[str, ...]
    note: str


PEOPLE = (
    Person("ada@example.com", "Ada", "admin", (), "staff: everything, and the studio"),
    Person(
        "vera@example.com",
        "Vera",
        "user",
        ("seahorse-valley", "still-lifes", "slow-light-1", "slow-light-2"),
        "owns every film and the series",
    ),
    Person("otto@example.com", "Otto", "user", ("seahorse-valley",), "owns one film"),
)


def run_demo(
    files: Sequence[Path], *, people: int, lines: int, port: int | None, data: Path | None, as_json: bool
) -> int:
    """Runs until a signal; the exit code. Raises ServiceFault for files or numbers that cannot be."""
    if people and not FEWEST <= people <= MOST:
        raise ServiceFault("demo", f"cannot invent {people} people", f"Give {FEWEST} to {MOST}, or 0 for none.")
    for file in files:
        if not file.is_file():
            raise ServiceFault("demo", f"finds no file {file}", "Give paths of video or audio files.")
    return asyncio.run(_demo(settings_for(port=port, data=data), files, people, lines, as_json))


async def _demo(settings: Settings, files: Sequence[Path], people: int, lines: int, as_json: bool) -> int:
    console = Console(stderr=True)
    ensure_pages(console)
    installation = Installation(settings)
    supervisor = Supervisor(
        installation,
        open_socket(settings),
        on_fall=lambda name, code: console.print(f"[yellow]{name} ended ({code}): starting it again"),
    )
    stop = stop_on_signals(supervisor.kill)
    try:
        with console.status("Starting PostgreSQL, Valkey and the edge"):
            await installation.start()
            supervisor.start(edges=settings.edge_processes, workers=1)
            await supervisor.wait_ready()
        watching = asyncio.create_task(supervisor.watch(stop))
        filling = asyncio.create_task(_fill(installation.settings, files, people, lines, console))
        try:
            await asyncio.wait({watching, filling}, return_when=asyncio.FIRST_COMPLETED)
            if filling.done():
                contents = filling.result()
                if as_json:
                    sys.stdout.write(_ready_line(supervisor.url, installation.settings, contents))
                    sys.stdout.flush()
                else:
                    _greet(console, supervisor.url, contents)
                await watching
        finally:
            # Else what is about to be ended is taken for fallen, and started again.
            stop.set()
            filling.cancel()
            await watching
    finally:
        await asyncio.to_thread(supervisor.stop)
    return 0


async def _fill(settings: Settings, files: Sequence[Path], people: int, lines: int, console: Console) -> list[Row]:
    """Makes whatever of the library is missing; all titles that have a file."""
    assert settings.database_url is not None
    database = await Database.connect(settings.database_url, name="demo", max_size=4)
    objects = ObjectStore(settings.store_url)
    try:
        async with database.transaction(service()) as tx:
            known = {row["title"]: row for row in await tx.many(SQL["content_list"])}
        scenes = [scene for scene in SCENES if scene.title not in known]
        jobs = [await _make(database, objects, settings, scene, lines, console) for scene in scenes]
        fresh = [(file, file.stem[:300] or "Untitled") for file in files]
        jobs += [
            await hand_in(database, objects, file, media.NewTitle(title=title, is_free=True))
            for file, title in fresh
            if title not in known
        ]
        if people:  # now, so that the worker has something to do meanwhile
            await add_crowd(database, settings, people, [person.email for person in PEOPLE], PASSWORD, console)
        if jobs:
            ended = await follow(database, [job.job_id for job in jobs], console)
            for row in ended.values():
                if row["state"] != "succeeded":
                    console.print(f"[red]{row['title']}: {row['error_message']}")
        async with database.transaction(service()) as tx:
            await _shelve(tx)
            await _people(tx)
            return await tx.many(SQL["content_list"])
    finally:
        await database.close()


async def _make(
    database: Database, objects: ObjectStore, settings: Settings, scene: Scene, lines: int, console: Console
) -> media.Submitted:
    """Synthesises one scene's source and hands it in; the worker encodes the one before meanwhile."""
    folder = settings.data / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    if scene.captioned:
        for language in CAPTIONS:
            (folder / f"{scene.slug}.{language}.srt").write_text(subtitles(language, scene.seconds), encoding="utf-8")
    with console.status(f"Drawing “{scene.title}”"):
        async with running(argv(scene, ffmpeg_path(settings), folder, lines)) as child:
            if await child.wait() != 0:
                raise ServiceFault(
                    "ffmpeg",
                    f"could not draw {scene.slug}: {child.stderr_tail[-500:]}",
                    "Try PENSTOCK_FFMPEG with another build.",
                )
    source = folder / source_name(scene)
    title = media.NewTitle(
        title=scene.title,
        content_type=scene.content_type,
        description=scene.description,
        is_free=scene.is_free,
        language="en",
    )
    job = await hand_in(database, objects, source, title)
    source.unlink()
    return job


async def _shelve(tx: Tx) -> None:
    """Genres, prices and the series; safe to repeat, should an earlier start have been cut off."""
    by_title = {row["title"]: row["id"] for row in await tx.many(SQL["content_list"])}
    series: dict[str, list[UUID]] = {}
    for scene in SCENES:
        content_id = by_title.get(scene.title)
        if content_id is None:
            continue
        await tx.run(SQL["content_describe"], content_id, scene.genre, scene.genre.lower())
        if scene.price:
            await tx.run(SQL["price_set"], content_id, Decimal(scene.price), "EUR")
        if scene.series:
            series.setdefault(scene.series, []).append(content_id)
    for title, contents in series.items():
        series_id = await tx.value(SQL["series_create"], title, "Two studies in colour that hardly moves.")
        if series_id is not None:
            await tx.run(SQL["series_episodes_add"], series_id, contents)
    await tx.run(SQL["series_picture_set"])


async def _people(tx: Tx) -> None:
    """The demo's users and what they bought; those already there are left alone."""
    by_title = {row["title"]: row["id"] for row in await tx.many(SQL["content_list"])}
    by_slug = {scene.slug: by_title[scene.title] for scene in SCENES if scene.title in by_title}
    passwords = Passwords()
    try:
        for person in PEOPLE:
            if await tx.value(SQL["user_find"], person.email) is not None:
                continue
            hashed = await passwords.hash(PASSWORD)
            user_id = await identity.sign_up(
                tx, name=person.name, email=person.email, password_hash=hashed, now=datetime.now(UTC)
            )
            await tx.run(SQL["user_promote"], user_id, person.role)
            owned = [by_slug[slug] for slug in person.owns if slug in by_slug]
            if owned:
                order = await tx.value(SQL["order_create"], user_id, PRICE * len(owned), "EUR")
                await tx.run(SQL["order_fill"], order, owned, PRICE)
                await tx.run(SQL["library_fill"], user_id, order, owned)
    finally:
        passwords.close()


def _ready_line(url: str, settings: Settings, contents: Sequence[Row]) -> str:
    assert settings.secret_keys is not None
    access = AccessKeys(settings.secret_keys)
    ready: Mapping[str, object] = {
        "ready": True,
        "url": url,
        "anon_key": access.anon_key(),
        "service_key": access.service_key(),
        "database_url": settings.database_url,
        "redis_url": settings.redis_url,
        "users": [{"email": person.email, "password": PASSWORD, "role": person.role} for person in PEOPLE],
        "contents": [
            {
                "id": str(row["id"]),
                "title": row["title"],
                "content_type": row["content_type"],
                "free": row["is_free"],
                "duration_s": row["duration_ms"] / 1000 if row["duration_ms"] else None,
            }
            for row in contents
        ],
    }
    return orjson.dumps(ready).decode() + "\n"


def _greet(console: Console, url: str, contents: Sequence[Row]) -> None:
    people = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for person in PEOPLE:
        people.add_row(f"[bold]{person.email}", PASSWORD, f"[dim]{person.note}")
    console.print()
    console.print(Panel(people, title=f"[bold]{url}", subtitle=f"{len(contents)} titles", padding=(1, 2), expand=False))
    console.print(
        "Try next:\n"
        f"  · open [bold]{url}[/], press play, close the window, and come back in another browser: it goes on where you were\n"
        "  · sign in as Ada and upload a film of yours in the studio\n"
        "  · ./penstock publish film.mp4 --title 'My film' --free   (in another terminal)\n"
        "Ctrl-C stops everything; the library stays."
    )
