"""The power fails while there is no Redis: heartbeats go straight to PostgreSQL, whose disk is all that is left.

As in test_power_cuts.py; every process of the server stands still while the image is copied.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from core.database import Database, dedicated
from core.errors import Refusal
from core.ids import DEFAULT_TENANT, uuid7
from edge.local.postgres import EmbeddedPostgres, new_password
from edge.local.secrets import SecretFile
from edge.migrate import migrate
from edge.progress.batcher import Batcher
from edge.progress.beat import Beat
from edge.progress.fold import DEFAULT_RULES
from edge.progress.write import write_beats
from tests.edge.progress.taken import TAKEN
from tests.faults.test_power_cuts import CUTS, SENDERS, Journal, mounted, new_image, run
from tests.faults.test_power_cuts import folder as folder
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

IMAGE_MB = 2048


@dataclass
class Site:
    """Where a server keeps its things; its secret outlives the power."""

    folder: Path
    secret: SecretFile
    user: UUID = field(default_factory=uuid7)
    film: UUID = field(default_factory=uuid7)
    session: UUID = field(default_factory=uuid7)

    @contextmanager
    def server(self, disk: Path, *options: str) -> Iterator[EmbeddedPostgres]:
        """The server on this disk; killed at the end, as far as it still lives."""
        made = EmbeddedPostgres(
            disk / "pg",
            self.folder / "run",
            self.folder / "pg.log",
            self.secret,
            options=(*options, "max_connections=40"),
        )
        made.start()
        try:
            yield made
        finally:
            end(processes(made))
            if made.process is not None:
                made.process.wait(60)

    async def prepare(self, server: EmbeddedPostgres) -> None:
        """Schema, a person, a film and a session in which it is watched."""
        await server.prepare()
        await migrate(server.url("penstock_owner"))
        admin = await dedicated(server.url("postgres"))
        await admin.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
        await admin.execute("INSERT INTO users (id, name, email) VALUES ($1, 'Vera', 'vera@example.com')", self.user)
        await admin.execute("INSERT INTO contents (id, title, content_type) VALUES ($1, 'Film', 'MOVIE')", self.film)
        await admin.execute(
            """INSERT INTO playback_sessions (id, user_id, content_id, device_id, expires_at)
               VALUES ($1, $2, $3, 'tv', now() + interval '1 day')""",
            self.session,
            self.user,
            self.film,
        )
        await admin.close()

    def a_beat(self, seq: int) -> Beat:
        """One of the session's, of a millisecond."""
        at_ms = self.session.int >> 80
        return Beat(
            uuid4(), self.session, DEFAULT_TENANT, self.user, self.film, None, seq % 60_000, 60_000, 1, "beat", seq, at_ms + seq, None,
            at_ms, False,
        )  # fmt: skip


def processes(server: EmbeddedPostgres) -> list[psutil.Process]:
    """All of its processes that are there."""
    if server.process is None or server.process.poll() is not None:
        return []
    first = psutil.Process(server.process.pid)
    return [first, *first.children(recursive=True)]


def end(running: list[psutil.Process]) -> None:
    """kill -9, and they are gone: what still dies holds the disk."""
    for process in running:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(running, timeout=30)


async def keep_sending(batcher: Batcher, site: Site, journal: Journal, stop: asyncio.Event) -> None:
    while not stop.is_set():
        beats = [site.a_beat(len(journal.acknowledged) + n) for n in range(random.randint(1, 20))]
        try:
            await batcher.add(beats)
        except Refusal:
            await asyncio.sleep(
                0.02
            )  # the server is slow, or stands still: nothing was acknowledged, a client tries again
            continue
        journal.acknowledged.update(beat.event_id for beat in beats)


async def cut(site: Site, image: Path, *options: str) -> tuple[int, int]:
    """Beats until the power fails; how many were acknowledged, and how many of these are gone."""
    after = site.folder / "after.img"
    journal, stop = Journal(), asyncio.Event()
    with mounted(image, site.folder / "before") as disk, site.server(disk, *options) as server:
        database = await Database.connect(server.url(), name="test", max_size=4)
        batcher = Batcher(partial(write_beats, database, DEFAULT_RULES))
        batcher.start()
        run("sync", "-f", disk)
        senders = [asyncio.create_task(keep_sending(batcher, site, journal, stop)) for _ in range(SENDERS)]
        goal = random.randint(200, 3000)
        await until(lambda: len(journal.acknowledged) >= goal, 120, f"{goal} beats")
        stopped = processes(server)
        for process in stopped:
            process.suspend()
        acknowledged = set(journal.acknowledged)
        await asyncio.to_thread(run, "cp", "--sparse=always", image, after)
        stop.set()
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        await asyncio.to_thread(end, stopped)
        await batcher.stop()
        await database.close()
    with mounted(after, site.folder / "after") as disk, site.server(disk) as server:
        admin = await dedicated(server.url("postgres"))
        found = {row["event_id"] for row in await admin.fetch(TAKEN)}
        watched_ms = await admin.fetchval("SELECT watched_ms FROM playback_sessions WHERE id = $1", site.session)
        assert watched_ms == len(found), "what is noted has had its effect, once"
        await admin.close()
    after.unlink()
    return len(acknowledged), len(acknowledged - found)


async def made(folder: Path) -> tuple[Site, Path]:
    """A site, and the image of a disk on which everything is installed."""
    await asyncio.to_thread(folder.chmod, 0o755)
    site = Site(folder, SecretFile(folder / "secrets.json", lambda _: new_password()))
    image = new_image(folder / "installed.img", megabytes=IMAGE_MB)
    with mounted(image, folder / "installing") as disk:
        disk.chmod(0o755)
        with site.server(disk) as server:
            await site.prepare(server)
            server.stop()
    return site, image


async def a_copy(site: Site, image: Path) -> Path:
    copy = site.folder / "before.img"
    await asyncio.to_thread(run, "cp", "--sparse=always", image, copy)
    return copy


async def test_no_beat_that_postgres_took_is_lost_when_the_power_fails(folder: Path) -> None:
    site, image = await made(folder)
    cuts = [await cut(site, await a_copy(site, image)) for _ in range(CUTS)]
    assert [lost for _, lost in cuts] == [0] * CUTS
    assert sum(acknowledged for acknowledged, _ in cuts) > CUTS * 200
    print(f"{CUTS} cuts, {sum(sent for sent, _ in cuts):,} acknowledged, 0 lost")  # noqa: T201 - a campaign's figure


async def test_that_power_cut_is_one(folder: Path) -> None:
    """The negative control: a server that does not wait for its log to be on the disk loses what it took."""
    site, image = await made(folder)
    acknowledged, lost = await cut(site, await a_copy(site, image), "synchronous_commit=off", "wal_writer_delay=10s")
    assert 0 < lost <= acknowledged
