"""Heartbeats through a real cluster of three nodes, and through a master that a real sentinel names."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from core.database import Database
from edge.local.valkey import binary
from edge.progress.dead import DeadLetters
from edge.progress.drain import Drain
from edge.progress.newest import NewestPositions
from edge.progress.partitions import partition_of, stream_key
from edge.progress.stream import IntakeStream
from edge.redis_client import Breaker, Redis, RedisDown, RedisError, connect
from tests.edge.progress.test_drain import a_beat, a_session, rows
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.ports import free_ports
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

PARTS = 6
SLOTS = 16384


@contextmanager
def running(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """One server on that port, in a folder of its own."""
    home = folder / str(port)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [binary(), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", ""],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """redis-py leaves the connections of nodes that went away to the collector; their warnings are not the next test's."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pst-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def answering(url: str) -> Redis:
    """A client whose server answers."""
    client = connect(url)

    async def answers() -> bool:
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False

    await until(answers, 60, f"an answer from {url}")
    return client


@pytest.fixture
async def cluster(folder: Path) -> AsyncIterator[str]:
    """Three nodes that share the slots; the URL of the whole."""
    ports = free_ports(3)
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(running(folder, port, "--cluster-enabled", "yes", "--appendonly", "yes"))
        nodes = [await answering(f"redis://127.0.0.1:{port}") for port in ports]
        share = SLOTS // 3
        for number, node in enumerate(nodes):
            last = SLOTS - 1 if number == 2 else (number + 1) * share - 1
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last))
            for port in ports:
                await node.execute_command("CLUSTER", "MEET", "127.0.0.1", str(port))

        async def agreed() -> bool:
            states = [bytes(await node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)) for node in nodes]
            return all(b"cluster_state:ok" in state and b"cluster_known_nodes:3" in state for state in states)

        await until(agreed, 60, "the nodes to agree")
        for node in nodes:
            await node.aclose()
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)


async def through(url: str, database: Database, cast: Cast) -> None:
    """Beats of both people in, seen before the drain, drained, and nothing left."""
    client = await answering(url)
    intake = IntakeStream(client, Breaker(), PARTS)
    sent = []
    for person in (cast.vera, cast.otto):
        session = await a_session(cast, person, cast.free_film)
        sent += [a_beat(cast, session, n, n, 1, user_id=person) for n in range(1, 21)]
    for _ in range(12):
        guest = await a_session(cast, None, cast.free_film)
        sent.append(a_beat(cast, guest, 1, 50, 40, user_id=None))
    await intake.add(sent)
    await intake.add(sent[:7])
    newest = NewestPositions(client, Breaker(), PARTS)
    seen = await newest.of_title(cast.vera, cast.free_film)
    assert seen is not None
    assert seen.position_ms == 20_000
    blocking = connect(url, blocking=True, max_connections=32)
    worker = Drain(database, blocking, partitions=PARTS)
    task = asyncio.create_task(worker.run())

    async def emptied() -> bool:
        lengths = [await client.xlen(stream_key(part)) for part in range(PARTS)]
        return worker.beats == len(sent) and not any(lengths)

    await until(emptied, 60, "an empty stream")
    worker.stop()
    await task
    stored = await rows(cast, "SELECT position_ms, watched_ms FROM watch_progress")
    assert [(row["position_ms"], row["watched_ms"]) for row in stored] == [(20_000, 20_000)] * 2
    (views,) = await rows(cast, "SELECT count(*) AS views FROM content_views")
    assert views["views"] == 12
    assert await newest.of(cast.vera) == {}
    assert await DeadLetters(client, PARTS).count() == 0
    await blocking.aclose()
    await client.aclose()


async def test_through_a_cluster(cluster: str, database: Database, cast: Cast) -> None:
    await through(cluster, database, cast)


async def test_a_poisonous_entry_in_a_cluster_is_set_aside_and_replayed(
    cluster: str, database: Database, cast: Cast
) -> None:
    client = await answering(cluster)
    for part in range(PARTS):
        await client.xadd(stream_key(part), {b"b": b"\xff"})
    blocking = connect(cluster, blocking=True, max_connections=32)
    worker = Drain(database, blocking, partitions=PARTS)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.buried == PARTS, 60, "all of them set aside")
    letters = DeadLetters(client, PARTS)
    found = [letter async for letter in letters.all()]
    assert [letter.partition for letter in found] == list(range(PARTS))
    assert await letters.replay(found[0].name)
    await until(lambda: worker.buried == PARTS + 1, 60, "the replayed one back again")
    assert all([await letters.drop(letter.name) for letter in found[1:]])
    worker.stop()
    await task
    await blocking.aclose()
    await client.aclose()


async def test_a_sentinel_names_the_master(folder: Path, database: Database, cast: Cast) -> None:
    master, sentinel = free_ports(2)
    settings = folder / "sentinel.conf"
    settings.write_text(f"sentinel monitor shop 127.0.0.1 {master} 1\n")
    with (
        running(folder, master, "--appendonly", "yes"),
        running(folder, sentinel, str(settings), "--sentinel"),
    ):
        await through(f"redis+sentinel://127.0.0.1:{sentinel}/shop/0", database, cast)


async def test_a_cluster_that_is_away_is_an_outage_not_a_failure(cast: Cast) -> None:
    (port,) = free_ports(1)
    for kind in (f"redis+cluster://127.0.0.1:{port}", f"redis+sentinel://127.0.0.1:{port}/shop"):
        client = connect(kind)
        with pytest.raises(RedisDown):
            await IntakeStream(client, Breaker(), PARTS).add([])
        await client.aclose()


def test_the_parts_of_two_people_are_spread_by_their_ids() -> None:
    assert {partition_of(UUID(int=n), 4) for n in range(100)} == {0, 1, 2, 3}
