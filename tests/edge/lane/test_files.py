"""Segments that memory has no room for, from the page cache to real sockets: the same bytes as by the slow lane, in order."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from edge.hls.cache import WANTED_AFTER
from edge.hls.stored import prepare
from edge.lane.files import OpenFiles
from tests.edge.lane.stage import FILM, GOOD, Stage, get, open_stage
from tests.waiting import until

LAST = b"GET /nothing HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n"
_DATE = re.compile(rb"\r\n(Date|X-Request-ID): [^\r]+", re.IGNORECASE)
SIZES = {"v/1.m4s": 1, "v/2.m4s": 70_000, "v/huge.m4s": 24 << 20}
"""The last is more than the kernel takes off our hands at once."""


class Shop:
    """A stage over a folder, without memory for segments, on a port."""

    def __init__(self, stage: Stage, folder: Path, port: int) -> None:
        self.stage = stage
        self.folder = folder
        self.port = port

    def body(self, path: str) -> bytes:
        return (self.folder / str(FILM) / path).read_bytes()

    async def ask(self, *requests: bytes, in_turn: bool = True) -> bytes:
        """All that comes back until the server closes; each request after the first byte of the last answer, or all at once."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 16)
        got = b""
        try:
            async with asyncio.timeout(60):
                for request in requests:
                    writer.write(request)
                    await writer.drain()
                    if in_turn:
                        got += await reader.readuntil(b"\r\n\r\n")
                        length = re.search(rb"Content-Length: ([0-9]+)", got[got.rfind(b"HTTP/1.1 ") :])
                        assert length is not None
                        got += await reader.readexactly(int(length[1]))
                writer.write(LAST)
                return got + await reader.read(-1)
        finally:
            writer.close()

    async def slow(self, path: str) -> bytes:
        """The answer by aiohttp: a header that the lane does not know."""
        answer = await self.ask(get(path).replace(b"\r\n\r\n", b"\r\nX-Unknown: 1\r\nIf-Range: x\r\n\r\n"))
        return answer[: answer.rfind(b"HTTP/1.1 404")]


def flood(stage: Stage) -> None:
    """Memory full of something else, and what was in it before forgotten."""
    for number in range(200):
        stage.delivery.cache.put(f"filler {number}", prepare("filler.m4s", b""))
    assert not any(ready.body for ready in stage.lane.learned.plain.values())


@asynccontextmanager
async def _open() -> AsyncIterator[Shop]:
    folder = Path(tempfile.mkdtemp(prefix="psl-", dir="/tmp"))
    for path, size in SIZES.items():
        file = folder / str(FILM) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])

    async def read(key: str) -> bytes:
        try:
            return (folder / key).read_bytes()
        except FileNotFoundError:
            raise LookupError(key) from None

    stage = await open_stage(read, cache_bytes=1 << 16, file_of=lambda key: f"{folder}/{key}")
    server = await asyncio.get_running_loop().create_server(stage.fast, "127.0.0.1", 0)
    shop = Shop(stage, folder, server.sockets[0].getsockname()[1])
    for path in SIZES:
        await shop.ask(get(path))
    flood(stage)
    try:
        yield shop
    finally:
        for connection in list(stage.traffic.connections):
            connection.transport.abort()
        await until(lambda: not stage.traffic.connections, 60)
        server.close()
        await stage.close()
        stage.lane.files.close()
        shutil.rmtree(folder)


def on_uvloop(scenario: Callable[[Shop], Awaitable[None]]) -> Callable[[], None]:
    """A test that pytest calls without a loop."""

    async def run() -> None:
        async with _open() as shop:
            await scenario(shop)

    def test() -> None:
        uvloop.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@pytest.mark.parametrize("path", SIZES)
def test_the_same_bytes_as_by_the_slow_lane(path: str) -> None:
    async def scenario(shop: Shop) -> None:
        before = shop.stage.hits
        fast = await shop.ask(get(path))
        assert shop.stage.hits == before + 1
        fast = fast[: fast.rfind(b"HTTP/1.1 404")]
        slow = await shop.slow(path)
        assert shop.stage.hits == before + 1
        assert fast.endswith(b"\r\n\r\n" + shop.body(path))
        assert _DATE.sub(b"", fast) == _DATE.sub(b"", slow)

    on_uvloop(scenario)()


@on_uvloop
async def test_answers_come_whole_and_in_order_however_fast_they_are_asked_for(shop: Shop) -> None:
    paths = ["v/huge.m4s", "v/1.m4s", "v/2.m4s", "v/huge.m4s", "v/1.m4s"]
    for in_turn in (True, False):
        got = await shop.ask(*(get(path) for path in paths), in_turn=in_turn)
        for path in paths:
            head, _, got = got.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            body, got = got[: SIZES[path]], got[SIZES[path] :]
            assert body == shop.body(path), path
        assert got.startswith(b"HTTP/1.1 404")


@on_uvloop
async def test_what_is_asked_for_again_soon_goes_the_way_that_leads_into_memory(shop: Shop) -> None:
    before = shop.stage.hits
    await shop.ask(*[get("v/1.m4s")] * WANTED_AFTER)
    assert shop.stage.hits == before + WANTED_AFTER
    await shop.ask(get("v/1.m4s"))
    assert shop.stage.hits == before + WANTED_AFTER
    assert f"{FILM}/v/1.m4s" in shop.stage.delivery.cache
    await shop.ask(get("v/1.m4s"))
    assert shop.stage.hits == before + WANTED_AFTER + 1, "and from memory it is the lane's again"


@on_uvloop
async def test_a_file_that_is_gone_or_another_is_not_sent(shop: Shop) -> None:
    file = shop.folder / str(FILM) / "v/2.m4s"
    before = shop.stage.hits
    file.write_bytes(b"another")
    answer = await shop.ask(get("v/2.m4s"))
    assert b"\r\n\r\nanother" in answer, "what the store holds now"
    flood(shop.stage)
    file.unlink()
    assert (await shop.ask(get("v/2.m4s"))).startswith(b"HTTP/1.1 404")
    assert shop.stage.hits == before


def handles(folder: Path) -> int:
    """How many files below `folder` this process has open."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(folder)) for link in links if os.path.islink(link))


def test_files_stay_open_while_they_are_sent_and_no_more_than_may_be(tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(4)]
    for path in paths:
        Path(path).write_bytes(b"abc")
    loop = asyncio.new_event_loop()
    files = OpenFiles(loop, 3)
    assert files.handle_of(paths[0], 2) is None, "not as long as it should be"
    assert files.handle_of(str(tmp_path / "nothing"), 3) is None
    for path in paths:
        handle = files.handle_of(path, 3)
        assert handle is not None
        assert files.handle_of(path, 3) == handle
    assert len(files) == handles(tmp_path) == 3
    files.close_idle()
    assert files.handle_of(paths[3], 3) is not None
    files.close_idle()
    assert len(files) == handles(tmp_path) == 1, "what was not sent since the last time is closed"
    files.close()
    assert handles(tmp_path) == 0
    loop.close()


@on_uvloop
async def test_a_client_that_leaves_in_the_middle_takes_nobody_along(shop: Shop) -> None:
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write(get("v/huge.m4s", token=GOOD))
        await reader.readexactly(10)
        writer.transport.abort()
    await until(lambda: not shop.stage.traffic.connections, 60)
    assert (await shop.ask(get("v/2.m4s"))).startswith(b"HTTP/1.1 200")
