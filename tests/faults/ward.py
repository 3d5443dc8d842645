"""An installation whose servers nobody starts again: what is stopped or killed stays so until the test has had its look."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson
import psutil

from core.database import dedicated
from core.ids import DEFAULT_TENANT, uuid7
from edge.api.access import AccessKeys
from edge.local.installation import Installation
from edge.local.supervisor import Supervisor, open_socket
from edge.settings import read_settings
from tests.e2e.beats import beat
from tests.founded import found
from tests.waiting import until
from tests.web import Answer, Person, enter, raw

DURATION_MS = 600_000
SEGMENTS = 40
READY_S = 240
MASTER = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nv.m3u8\n"


@dataclass
class Ward:
    """Two web processes over their own PostgreSQL and Valkey, with one free title whose segments are plain bytes."""

    installation: Installation
    supervisor: Supervisor
    content_id: UUID
    prefix: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.supervisor.url

    @property
    def store(self) -> Path:
        """The folder of the title's objects."""
        return self.installation.settings.data / "store" / self.prefix

    def server(self, name: str) -> list[psutil.Process]:
        """All processes of `redis` or `database`."""
        server = {"redis": self.installation.valkey, "database": self.installation.postgres}[name]
        assert server is not None
        assert server.process is not None
        first = psutil.Process(server.process.pid)
        return [first, *first.children(recursive=True)]

    @contextmanager
    def without(self, *names: str, how: str = "stop") -> Iterator[None]:
        """These servers stopped (`stop`: silent, not dead) or killed (`kill`), and back at the end of the block."""
        gone = [(name, process) for name in names for process in self.server(name)]
        for _, process in gone:
            if how == "stop":
                process.suspend()
            else:
                process.kill()
        try:
            yield
        finally:
            for name in names:
                server = {"redis": self.installation.valkey, "database": self.installation.postgres}[name]
                assert server is not None
                if how == "kill":
                    assert server.process is not None
                    server.process.wait(60)
                    server.start()
            for _, process in gone if how == "stop" else []:
                process.resume()

    @asynccontextmanager
    async def newcomer(self) -> AsyncIterator[Person]:
        """Somebody who has just made an account."""
        settings = self.installation.settings
        assert settings.secret_keys is not None
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as http:
            person = Person(http, self.url, AccessKeys(settings.secret_keys).anon_key())
            await enter(person, f"{uuid4().hex[:12]}@example.com", "a long enough password", new=True)
            yield person

    async def change(self, sql: str, *args: object) -> None:
        """A change from outside."""
        assert self.installation.postgres is not None
        connection = await dedicated(self.installation.postgres.url("postgres"))
        try:
            await connection.execute(sql, *args)
        finally:
            await connection.close()

    async def ask(self, sql: str, *args: object) -> list[Any]:
        """Rows, as the superuser sees them."""
        assert self.installation.postgres is not None
        connection = await dedicated(self.installation.postgres.url("postgres"))
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()

    async def doubt_everything(self) -> None:
        """Makes every web process look at each session again when it is next used."""
        await self.change("""NOTIFY penstock_changed, '{"t": "test", "all": true}'""")

    async def missing(self) -> list[str]:
        """What /readyz says is missing; it asks at most once a second."""
        answer = await raw(self.url, "/readyz")
        return list(orjson.loads(answer.body)["missing"])

    async def well(self, within_s: float) -> None:
        """Waits until every process is ready again. Raises AssertionError when that takes longer."""

        async def ready() -> bool:
            # New connections each time: both processes are asked.
            return all([(await raw(self.url, "/readyz")).status == 200 for _ in range(6)])

        await until(ready, within_s, "to be ready again")


async def timed(asking: Any) -> tuple[float, Any]:
    """How long it took, and its result."""
    began = time.monotonic()
    result = await asking
    return time.monotonic() - began, result


async def send_beat(person: Person, grant: dict[str, Any], seq: int) -> Answer:
    """One heartbeat by the playback token, on a connection of its own."""
    body = orjson.dumps(beat(grant, seq / 10, seq, watched_s=0.1))
    headers = {
        "Authorization": f"Bearer {grant['token']}", "Content-Type": "application/json", "Content-Length": str(len(body)),
    }  # fmt: skip
    return await raw(person.url, "/progress", method="POST", headers=headers, body=body)


async def fetch(person: Person, grant: dict[str, Any], name: str) -> Answer:
    """One object of the title, on a connection of its own: any of the processes answers."""
    return await raw(person.url, grant["manifest_url"].replace("master.m3u8", name))


@contextmanager
def running_ward(**variables: str) -> Iterator[Ward]:
    """Starts it with these settings besides, ends it."""
    folder = Path(tempfile.mkdtemp(prefix="psw-", dir="/tmp"))
    folder.chmod(0o755)
    found(folder / "d")
    settings = read_settings({"PENSTOCK_DATA": str(folder / "d"), "PENSTOCK_LISTEN": "127.0.0.1:0", **variables})
    installation = Installation(settings)
    supervisor = Supervisor(installation, open_socket(settings))
    try:
        asyncio.run(installation.start())
        content_id = uuid7()
        ward = Ward(installation, supervisor, content_id, f"hls/{content_id}/1-1")
        asyncio.run(_publish(ward))
        supervisor.start(edges=2, workers=0)
        asyncio.run(supervisor.wait_ready(READY_S))
        yield ward
    finally:
        supervisor.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _publish(ward: Ward) -> None:
    generation = uuid4()
    await ward.change(
        f"""SET app.tenant_id = '{DEFAULT_TENANT}';
        INSERT INTO contents (id, title, content_type, is_free, is_published, published_at)
        VALUES ('{ward.content_id}', 'Film', 'MOVIE', true, true, now());
        INSERT INTO generations (id, content_id, number, state, store_prefix, duration_ms, has_video, published_at)
        VALUES ('{generation}', '{ward.content_id}', 1, 'published', '{ward.prefix}', {DURATION_MS}, true, now());
        UPDATE contents SET generation_id = '{generation}' WHERE id = '{ward.content_id}'"""
    )
    ward.store.mkdir(parents=True)
    (ward.store / "master.m3u8").write_text(MASTER)
    for number in range(SEGMENTS):
        (ward.store / f"s{number}.m4s").write_bytes(number.to_bytes(2, "big") * 20_000)
