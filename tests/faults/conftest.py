"""An installation to be mistreated: `./penstock up` with two edges, one drain and one worker."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from core import keys
from edge.api.access import AccessKeys
from edge.cli.up import settings_for
from edge.local.installation import running_settings
from edge.local.secrets import SecretFile
from tests.clips import make_clip
from tests.founded import found
from tests.inside import inside
from tests.running import Penstock, run_penstock
from tests.waiting import until
from tests.web import TIMEOUT_S, Person, enter, raw

UP_S = 240
CLIP_S = 8


@dataclass
class Box:
    """A running installation with one free title."""

    data: Path
    penstock: Penstock
    url: str
    database_url: str
    redis_url: str
    anon_key: str
    content_id: str = ""

    async def ready(self) -> None:
        """Waits until what an earlier test killed is back."""

        async def answers() -> bool:
            try:
                return (await raw(self.url, "/readyz")).status == 200
            except (OSError, EOFError, TimeoutError):
                return False

        await until(answers, UP_S, f"an installation that is ready; it said: {self.penstock.stderr[-500:]}")

    @asynccontextmanager
    async def newcomer(self) -> AsyncIterator[Person]:
        """Somebody who has just made an account."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as http:
            person = Person(http, self.url, self.anon_key)
            await enter(person, f"{uuid4().hex[:12]}@example.com", "a long enough password", new=True)
            yield person


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """The installation of the run."""
    folder = Path(tempfile.mkdtemp(prefix="psf-", dir="/tmp"))
    folder.chmod(0o755)
    data = folder / "d"
    found(data)
    up = Penstock(["up", "--port", "0", "--edges", "2", "--workers", "1", "--data", data])
    up.start()
    try:
        said = up.wait_said("serves at", UP_S)
        url = re.search(r"http://127\.0\.0\.1:\d+", said)
        settings = running_settings(settings_for(port=None, data=data))
        assert url is not None
        assert settings is not None
        assert settings.database_url is not None
        assert settings.redis_url is not None
        ring = keys.parse_ring(SecretFile(data / "secrets.json", lambda name: name).get("keys"))
        running = Box(data, up, url.group(0), settings.database_url, settings.redis_url, AccessKeys(ring).anon_key())
        clip = asyncio.run(make_clip(folder / "clip.mp4", seconds=CLIP_S))
        done = run_penstock("publish", clip, "--title", "Fault clip", "--free", "--data", data)
        assert done.returncode == 0, done.stderr
        running.content_id = asyncio.run(_title(running.database_url, "Fault clip"))
        yield running
    finally:
        try:
            up.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def _title(url: str, title: str) -> str:
    async with inside(url) as tx:
        return str(await tx.connection.fetchval("SELECT id FROM contents WHERE title = $1", title))
