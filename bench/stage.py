"""What every figure needs: an installation of its own in a temporary folder, a film in its store, people, and grants.

The servers behind the edge run where the load generator runs, so that the core under test has nothing but the edge on it.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import orjson

from bench.asking import ask
from core.database import Database
from core.queries import load
from core.viewer import service
from edge.api.access_keys import AccessKeys
from edge.local.installation import Installation
from edge.redis_client import connect
from edge.settings import read_settings
from edge.tokens.entitlements import ALLOWED_TTL_S
from transcoder.playlists import Piece, media_playlist

SQL = load("bench", "stage.sql")

PLAYLIST = "video/720p/playlist.m3u8"
MASTER = "master.m3u8"
LARGE = tuple(f"large/{number}.m4s" for number in range(8))
LARGE_BYTES = 2_000_000
SEGMENT_BYTES = 200_000
SEGMENTS = 10_000
VIDEO = tuple(f"video/720p/{number}.m4s" for number in range(150))
AUDIO = tuple(f"audio/en/{number}.m4s" for number in range(150))
VIDEO_BYTES = 1_000_000
AUDIO_BYTES = 64_000
AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who owns the film that is sold."""

    user_id: UUID
    access_token: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What POST /play gave: `prefix` is all of a target before the object's name."""

    session_id: UUID
    prefix: str


@dataclass(slots=True)
class Stage:
    """A started installation with two films, one free and one sold, made of the same objects."""

    folder: Path
    installation: Installation
    database: Database
    free: UUID
    sold: UUID
    _batches: int = 0

    @property
    def media(self) -> Path:
        """The folder of the free film's objects."""
        return self.folder / "store" / "hls" / str(self.free) / "1"

    async def people(self, count: int) -> list[Person]:
        """Signed-in owners of the sold film."""
        assert self.installation.settings.secret_keys is not None
        keys = AccessKeys(self.installation.settings.secret_keys)
        self._batches += 1
        async with self.database.transaction(service()) as tx:
            rows = await tx.many(SQL["people_insert"], count, self.sold, f"viewer-{self._batches}-")
        now = datetime.now(UTC)
        return [
            Person(
                row["user_id"],
                keys.mint(
                    user_id=row["user_id"],
                    session_id=row["session_id"],
                    email=row["email"],
                    platform_role="user",
                    providers=["email"],
                    user_metadata={},
                    now=now,
                )[0],
            )
            for row in rows
        ]

    async def just_played(self) -> None:
        """As if everybody had pressed play this moment: what Redis remembers of rights to watch, it remembers for a minute more."""
        assert self.installation.settings.redis_url is not None
        redis = connect(self.installation.settings.redis_url)
        try:
            async with redis.pipeline(transaction=False) as pipe:
                async for key in redis.scan_iter(match="ent:*", count=1000):
                    pipe.expire(key, ALLOWED_TTL_S)
                await pipe.execute()
        finally:
            await redis.aclose()

    async def grants(self, port: int, count: int, people: Sequence[Person] = ()) -> list[Grant]:
        """`count` grants from POST /play of the edge at `port`, in order: guests' for the free film, or these people's for the other."""
        turns = iter(range(count))
        made: dict[int, Grant] = {}

        async def press_play() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for turn in turns:
                person = people[turn % len(people)] if people else None
                content = self.sold if person else self.free
                answer = await ask(
                    reader,
                    writer,
                    f"/play/{content}",
                    body=orjson.dumps({"device_id": f"bench-{turn}", "device_type": "web"}),
                    token=person.access_token if person else None,
                )
                if answer.status != 200:
                    raise RuntimeError(f"POST /play answered {answer.status}: {answer.body[:300]!r}")
                said = orjson.loads(answer.body)
                made[turn] = Grant(UUID(said["session_id"]), said["manifest_url"].removesuffix(MASTER))
            writer.close()

        await asyncio.gather(*(press_play() for _ in range(min(AT_ONCE, count))))
        return [made[turn] for turn in range(count)]


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """The stage, gone afterwards with all its files (2.5 GB)."""
    folder = temporary_folder()
    # Nothing of the caller's environment: a bench must never write into a real database.
    installation = Installation(read_settings({"PENSTOCK_DATA": str(folder)}))
    try:
        await installation.start()
        assert installation.settings.database_url is not None
        database = await Database.connect(installation.settings.database_url, name="bench", max_size=4)
        try:
            free, sold = [await _film(database, title, is_free=title == "Free") for title in ("Free", "Sold")]
            stage = Stage(folder, installation, database, free, sold)
            await asyncio.to_thread(_write_objects, stage.media)
            # The same files under the other title: hard links share their pages in memory.
            await asyncio.to_thread(
                shutil.copytree, stage.media, stage.media.parents[1] / str(sold) / "1", copy_function=os.link
            )
            yield stage
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(installation.stop)
        await asyncio.to_thread(shutil.rmtree, folder, True)


def temporary_folder() -> Path:
    """Where an installation may live for a while."""
    # A unix socket's path is short, so the folder lies directly below the temporary one.
    folder = Path(tempfile.mkdtemp(prefix="psb-"))
    folder.chmod(0o755)  # PostgreSQL and nginx run under other accounts when we are root
    return folder


async def _film(database: Database, title: str, *, is_free: bool) -> UUID:
    async with database.transaction(service()) as tx:
        content: UUID = await tx.value(SQL["content_insert"], title, is_free)
        # The prefix is what follows the token in a URL, so nginx serves the very same files.
        await tx.run(SQL["generation_insert"], content, f"hls/{content}/1")
        await tx.run(SQL["generation_use"], content)
    return content


def _write_objects(folder: Path) -> None:
    """A ten-minute film: playlists (with the .gz twin nginx wants), and segments of random, distinct bytes."""
    noise = random.Random(1).randbytes(LARGE_BYTES)
    pieces = [Piece(f"{number}.m4s", Fraction(4), VIDEO_BYTES) for number in range(150)]
    playlist = media_playlist(pieces, 4, init="init.mp4")
    master = (
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="audio/en/playlist.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=2300000,AVERAGE-BANDWIDTH=2100000,CODECS="avc1.4d401f,mp4a.40.2",RESOLUTION=1280x720,'
        f'AUDIO="a"\n{PLAYLIST}\n'
    )
    for name, text in ((MASTER, master), (PLAYLIST, playlist), ("audio/en/playlist.m3u8", playlist)):
        _write(folder / name, text.encode())
        _write(folder / f"{name}.gz", gzip.compress(text.encode(), 9, mtime=0))
    sizes = [("large/{}.m4s", len(LARGE), LARGE_BYTES), ("many/{}.m4s", SEGMENTS, SEGMENT_BYTES)]
    sizes += [("video/720p/{}.m4s", len(VIDEO), VIDEO_BYTES), ("audio/en/{}.m4s", len(AUDIO), AUDIO_BYTES)]
    for pattern, count, size_bytes in sizes:
        for number in range(count):
            name = pattern.format(number)
            _write(folder / name, f"{name:32}".encode() + noise[32:size_bytes])
    for kind in ("video/720p", "audio/en"):
        _write(folder / kind / "init.mp4", noise[:900])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
