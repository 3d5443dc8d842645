"""Rolling restarts under load: SIGHUP replaces every web process, and no client sees it."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.beats import beat
from tests.e2e.paths import media_paths
from tests.faults.conftest import UP_S, Box
from tests.faults.load import Request, get, post, running_load
from tests.founded import found
from tests.inside import inside
from tests.running import Penstock
from tests.waiting import until
from tests.web import Person

pytestmark = [pytest.mark.timeout(1200)]

RATE = 500
QUICK, PATIENT = 40, 10
PATIENT_S = 2.5
"""A player asks for a segment now and then; its connection idles in between."""
LONG_BYTES = 48 * 1024 * 1024


def web_processes(penstock: Penstock) -> set[int]:
    """The pids of those that serve."""
    return {process.pid for process in penstock.named("-m edge serve")}


async def renew(penstock: Penstock) -> None:
    """One rolling restart, over when every old process has left."""
    before, said = web_processes(penstock), penstock.stderr.count("Renewed")
    assert penstock.process is not None
    penstock.process.send_signal(signal.SIGHUP)
    await until(lambda: penstock.stderr.count("Renewed") > said, 180, "the renewal to be over")
    after = web_processes(penstock)
    assert len(after) == len(before)
    assert not after & before, "an old process is still there"


async def requests_of(person: Person, grant: dict[str, Any]) -> list[Request]:
    """What one viewer asks for: playlists and media by the fast lane, beats and health by the slow one."""
    paths = await media_paths(person, grant)
    sequence = itertools.count()
    asked: list[Request] = [get(person.url, path) for path in paths]
    asked.append(
        post(person.url, "/progress", grant["token"], lambda: beat(grant, 1.0, next(sequence), watched_s=0.001))
    )
    return [*asked, *asked, get(person.url, "/healthz")]


async def restarts_go_unnoticed(box: Box, *, restarts: int) -> None:
    await box.ready()
    async with AsyncExitStack() as stack:
        clients: list[tuple[Sequence[Request], float]] = []
        for number in range(4):
            person = await stack.enter_async_context(box.newcomer())
            asked = await requests_of(person, await person.play(box.content_id))
            clients += [(asked[at:] + asked[:at], QUICK / RATE) for at in range(QUICK // 4)]
            clients += [(asked, PATIENT_S)] * (PATIENT // 4 + number % 2)
        async with running_load(box.url, clients) as load:
            await until(lambda: load.total > RATE, 180, "the load to be under way")
            for _ in range(restarts):
                await renew(box.penstock)
                goal = load.total + RATE // 2
                await until(lambda goal=goal: load.total > goal, 180, "the load to go on")
    assert load.failures == []
    assert set(load.answered) <= {200, 204}, load.answered
    # Half a second's worth was answered after every restart: how fast the machine was is not what is tested.
    assert load.total > RATE + restarts * (RATE // 2)


async def test_three_rolling_restarts_fail_no_request(box: Box) -> None:
    await restarts_go_unnoticed(box, restarts=3)


@pytest.mark.long
async def test_twenty_rolling_restarts_fail_no_request(box: Box) -> None:
    await restarts_go_unnoticed(box, restarts=20)


async def test_a_download_in_progress_is_finished_by_the_process_that_began_it(box: Box) -> None:
    await box.ready()
    async with inside(box.database_url) as tx:
        prefix = await tx.connection.fetchval(
            "SELECT store_prefix FROM generations WHERE content_id = $1::uuid AND state = 'published'", box.content_id
        )
    (box.data / "store" / prefix / "long.m4s").write_bytes(bytes(range(256)) * (LONG_BYTES // 256))
    async with box.newcomer() as person:
        grant = await person.play(box.content_id)
        path = grant["manifest_url"].replace("master.m3u8", "long.m4s")
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        slow.setblocking(False)
        where = urlsplit(box.url)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, (where.hostname, where.port))
        reader, writer = await asyncio.open_connection(sock=slow, limit=64 * 1024)
        writer.write(get(box.url, path)())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Content-Length: %d\r\n" % LONG_BYTES in head
        got = len(await reader.readexactly(1024 * 1024))
        renewal = asyncio.create_task(renew(box.penstock))
        before = web_processes(box.penstock)
        await until(lambda: len(web_processes(box.penstock) - before) == 2, 180, "both successors")
        while got < LONG_BYTES:
            got += len(await reader.readexactly(min(1024 * 1024, LONG_BYTES - got)))
            await asyncio.sleep(0)
        writer.close()
        await renewal


async def test_a_successor_that_cannot_start_leaves_the_old_processes_serving(box: Box) -> None:
    await box.ready()
    secrets = box.data / "secrets.json"
    whole = secrets.read_bytes()
    before = web_processes(box.penstock)
    assert box.penstock.process is not None
    try:
        secrets.write_bytes(re.sub(rb'"keys": "[^"]*"', b'"keys": "k1:short"', whole))
        box.penstock.process.send_signal(signal.SIGHUP)
        await until(lambda: "Not renewed" in box.penstock.stderr, 180, "to be told")
    finally:
        secrets.write_bytes(whole)
    assert web_processes(box.penstock) == before
    async with box.newcomer() as person:
        await person.play(box.content_id)


def test_a_second_signal_ends_everything_at_once() -> None:
    folder = Path(tempfile.mkdtemp(prefix="psr-", dir="/tmp"))
    folder.chmod(0o755)
    found(folder / "d")
    up = Penstock(["up", "--port", "0", "--edges", "1", "--workers", "0", "--data", folder / "d"])
    up.start()
    try:
        url = re.search(r"http://127\.0\.0\.1:(\d+)", up.wait_said("serves at", UP_S))
        assert url is not None
        assert up.process is not None
        family = up.family()
        with socket.create_connection(("127.0.0.1", int(url.group(1)))) as unfinished:
            # Half a body: the process has something to wait for.
            unfinished.sendall(
                b"POST /progress HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n{"
            )
            up.process.send_signal(signal.SIGTERM)
            up.wait_said("Stopping", 180)
            up.process.send_signal(signal.SIGTERM)
            assert up.process.wait(60) == 130
        assert psutil.wait_procs(family, timeout=60)[1] == []
    finally:
        if up.process is not None and up.process.poll() is None:
            up.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
