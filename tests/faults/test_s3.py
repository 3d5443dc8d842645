"""An installation whose store is a bucket, with a disk cache before it: published, played, restarted, slow, and gone."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from core import keys
from edge.api.access import AccessKeys
from edge.cli.up import settings_for
from edge.local.installation import running_settings
from edge.local.secrets import SecretFile
from tests.clips import make_clip
from tests.e2e.paths import read_tree, uris
from tests.faults.test_restart import renew
from tests.inside import inside
from tests.running import Penstock, run_penstock
from tests.s3 import Bucket, running_bucket
from tests.waiting import until
from tests.web import TIMEOUT_S, Person, raw

pytestmark = [pytest.mark.timeout(1200), pytest.mark.needs("moto")]

UP_S = 240
CLIP_S = 12


@dataclass
class House:
    """A running installation over a bucket."""

    data: Path
    bucket: Bucket
    penstock: Penstock
    url: str
    database_url: str
    anon_key: str

    @property
    def on_disk(self) -> int:
        """Objects in the disk cache."""
        return sum(path.is_file() and path.suffix != ".new" for path in (self.data / "cache").rglob("*"))

    async def missing(self) -> str:
        """What /readyz answers."""
        return (await raw(self.url, "/readyz")).body.decode()


@pytest.fixture
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="psq-", dir="/tmp"))
    folder.chmod(0o755)
    with running_bucket() as bucket:
        env = {**bucket.variables, "PENSTOCK_DISK_CACHE_MB": "64"}
        up = Penstock(["up", "--port", "0", "--edges", "1", "--workers", "1", "--data", folder / "d"], env)
        up.start()
        try:
            said = up.wait_said("serves at", UP_S)
            url = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert url is not None
            settings = running_settings(settings_for(port=None, data=folder / "d"))
            assert settings is not None
            assert settings.database_url is not None
            ring = keys.parse_ring(SecretFile(folder / "d" / "secrets.json", lambda name: name).get("keys"))
            anon_key = AccessKeys(ring).anon_key()
            yield House(folder / "d", bucket, up, url[0], settings.database_url, anon_key)
            up.stop()
        finally:
            if up.process is not None and up.process.poll() is None:
                up.process.kill()
            shutil.rmtree(folder, ignore_errors=True)


async def test_a_film_in_a_bucket(house: House, tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "film.mp4", seconds=CLIP_S, size="320x180")
    done = await asyncio.to_thread(
        run_penstock,
        *("publish", clip, "--title", "In a bucket", "--free", "--data", house.data),
        timeout_s=300,
        env=house.bucket.variables,
    )
    assert done.returncode == 0, done.stderr
    async with inside(house.database_url) as tx:
        content_id = str(await tx.connection.fetchval("SELECT id FROM contents WHERE title = 'In a bucket'"))
    assert not (house.data / "store").exists() or not any((house.data / "store").rglob("*.m4s"))

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as http:
        person = Person(http, house.url, house.anon_key)
        grant = await person.play(content_id)
        tree = await read_tree(person, grant)
        playlist = next(name for name in tree.playlists if name != "master.m3u8")
        segments = [name for name in uris(tree.playlists[playlist]) if name.endswith(".m4s")]
        warm, cold, colder = (tree.folder_of(playlist) + name for name in segments[:3])

        name = warm.removeprefix(f"{tree.base}/")
        before = house.bucket.reads(name)  # the worker has read back what it stored
        first = await person.get(warm)
        assert first.status == 200
        assert first.body[4:8] in (b"styp", b"moof", b"sidx")
        reads = house.bucket.reads(name)
        assert reads == before + 1
        assert house.on_disk >= 1

        # Another web process has nothing in memory: what it serves now comes from the disk, and not from the bucket.
        await renew(house.penstock)
        assert (await person.get(warm)).body == first.body
        assert house.bucket.reads(name) == reads

        with house.bucket.silent():
            assert (await person.get(warm)).status == 200
            late = await person.get(cold)
            assert late.status == 503
            assert 1 <= int(late.headers["retry-after"]) <= 5
            assert (await person.get(cold)).status == 503, "the next is told at once"
            await until(lambda: _says_store(house), 180, "/readyz to name the store")
        await until(lambda: _serves(person, cold), 180, "the bucket to be back")
        await until(lambda: _is_ready(house), 180, "to be ready again")

        house.bucket.kill()
        assert (await person.get(warm)).body == first.body
        gone = await person.get(colder)
        assert gone.status == 503
        assert b"AWS" not in gone.body
        assert b"127.0.0.1" not in gone.body
        await until(lambda: _says_store(house), 180, "/readyz to name the store")
        log = (house.data / "logs" / "edge.log").read_text()
        assert "a-secret-of-tests" not in log


async def _says_store(house: House) -> bool:
    return '"store"' in await house.missing()


async def _is_ready(house: House) -> bool:
    return (await raw(house.url, "/readyz")).status == 200


async def _serves(person: Person, path: str) -> bool:
    return (await person.get(path)).status == 200
