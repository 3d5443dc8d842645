"""Redis goes and comes under the intake: nothing acknowledged is lost, nothing counts twice, whichever way a beat went."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from core.database import Database
from edge.local.valkey import EmbeddedValkey
from edge.progress.beat import Beat
from edge.progress.fold import DEFAULT_RULES
from edge.progress.intake import Intake
from edge.progress.stream import IntakeStream
from edge.redis_client import Breaker, Redis, connect
from tests.edge.progress.conftest import be_patient
from tests.edge.progress.taken import TAKEN
from tests.edge.progress.test_drain import a_beat, a_session, drained, point, rows, write_beats
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.waiting import until


@pytest.fixture(autouse=True)
def slow_to_despair(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that answers late, on a loaded machine, is not away; one that has been stopped is, after this long."""
    be_patient(monkeypatch, 15.0)


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """A Valkey that the test may stop and kill."""
    folder = Path(tempfile.mkdtemp(prefix="psi-", dir="/tmp"))
    server = EmbeddedValkey(folder / "data", folder / "v.sock", folder / "valkey.log")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.process.send_signal(signal.SIGCONT)
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def client(own_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    made = connect(own_valkey.url)
    yield made
    await made.aclose()


@pytest.fixture
async def intake(client: Redis, database: Database) -> AsyncIterator[Intake]:
    made = Intake(IntakeStream(client, Breaker()), partial(write_beats, database, DEFAULT_RULES))
    yield made
    await made.close()


async def drain_all(database: Database, server: EmbeddedValkey, client: Redis) -> None:
    blocking = connect(server.url, blocking=True, max_connections=4)
    try:
        await drained(database, blocking, client)
    finally:
        await blocking.aclose()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_beats_go_to_postgres_while_redis_is_away_and_each_counts_once(
    database: Database, cast: Cast, own_valkey: EmbeddedValkey, client: Redis, intake: Intake, how: str
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    sent = [a_beat(cast, session, n, n, 1) for n in range(1, 31)]
    for beat in sent[:10]:
        await intake.store([beat])
    assert not intake.is_direct
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP if how == "stop" else signal.SIGKILL)
    for beat in sent[10:20]:
        await intake.store([beat])
    assert (intake.is_direct, intake.direct) == (True, 10)
    row = await point(cast)
    assert (row["position_ms"], row["watched_ms"]) == (20_000, 10_000), "at once, without a drain"
    if how == "stop":
        # It wakes up with the first of them in its socket: that one is in the stream and in PostgreSQL.
        own_valkey.process.send_signal(signal.SIGCONT)
    else:
        own_valkey.process.wait(60)
        own_valkey.start()
    await until(lambda: not intake.is_direct, 120, "the stream to be used again")
    for beat in [*sent[20:], *sent[15:25]]:
        await intake.store([beat])
    assert intake.direct == 10
    await drain_all(database, own_valkey, client)
    row = await point(cast)
    assert (row["position_ms"], row["watched_ms"], row["seq"]) == (30_000, 30_000, 30)
    assert len(await rows(cast, TAKEN)) == 30


async def test_an_older_beat_left_in_the_stream_moves_nothing_back(
    database: Database, cast: Cast, own_valkey: EmbeddedValkey, client: Redis, intake: Intake
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await intake.store([a_beat(cast, session, 1, 5)])
    assert own_valkey.process is not None
    own_valkey.process.kill()
    own_valkey.process.wait(60)
    await intake.store([a_beat(cast, session, 2, 40)])
    own_valkey.start()
    await until(lambda: not intake.is_direct, 120, "the stream to be used again")
    await drain_all(database, own_valkey, client)
    row = await point(cast)
    assert (row["position_ms"], row["watched_ms"]) == (40_000, 10_000)


async def test_what_redis_refuses_to_write_goes_to_postgres(
    database: Database, cast: Cast, client: Redis, intake: Intake
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await client.config_set("maxmemory", "1")
    await intake.store([a_beat(cast, session, 1, 7)])
    assert intake.direct == 1
    assert (await point(cast))["position_ms"] == 7_000


async def test_with_both_away_the_sender_hears_of_it(own_valkey: EmbeddedValkey, client: Redis, cast: Cast) -> None:
    async def gone(beats: object) -> None:
        raise ConnectionRefusedError

    intake = Intake(IntakeStream(client, Breaker()), gone)
    assert own_valkey.process is not None
    own_valkey.process.kill()
    own_valkey.process.wait(60)
    session = await a_session(cast, cast.vera, cast.free_film)
    beat: Beat = a_beat(cast, session, 1, 7)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await intake.store([beat])
    assert intake.direct == 0
    await intake.close()


async def test_batches_that_fail_together_begin_one_probing(
    client: Redis, own_valkey: EmbeddedValkey, cast: Cast
) -> None:
    written: list[object] = []

    async def write(beats: object) -> None:
        written.append(beats)

    intake = Intake(IntakeStream(client, Breaker()), write)
    session = await a_session(cast, cast.vera, cast.free_film)
    assert own_valkey.process is not None
    own_valkey.process.kill()
    own_valkey.process.wait(60)
    before = asyncio.all_tasks()
    await asyncio.gather(*(intake.store([a_beat(cast, session, n, n)]) for n in range(3)))
    assert len(written) == 3
    assert len(asyncio.all_tasks() - before) == 1
    await intake.close()
    assert asyncio.all_tasks() <= before, "nobody probes for ever"
