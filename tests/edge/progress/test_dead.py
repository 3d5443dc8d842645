"""What cannot be written is tried a few times by itself, then set aside; it holds up nothing and is never lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from core.database import Database
from core.errors import RULE_BROKEN, Refusal
from core.settings import ROOT
from edge.cli.__main__ import app
from edge.local.fault import ServiceFault
from edge.local.valkey import EmbeddedValkey
from edge.progress import drain as drain_module
from edge.progress.dead import DeadLetters
from edge.progress.drain import Drain
from edge.progress.fold import Batch
from edge.progress.ledger import Ledger
from edge.progress.partitions import dead_key, stream_key, trials_key
from edge.progress.stored import StoredBeat
from edge.progress.stream import GROUP, DrainStream, IntakeStream
from edge.redis_client import Breaker, Redis, connect
from tests.edge.progress.test_drain import a_beat, a_session, point, rows, write_batch
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.running import run_penstock
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

STREAM, DEAD = stream_key(0), dead_key(0)


@pytest.fixture
async def blocking(valkey: EmbeddedValkey, redis: Redis) -> AsyncIterator[Redis]:
    client = connect(valkey.url, blocking=True, max_connections=8)
    yield client
    await client.aclose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left undone is claimed again at once."""
    monkeypatch.setattr(drain_module, "CLAIM_IDLE_MS", 0)
    monkeypatch.setattr(drain_module, "CLAIM_EVERY_S", 0)
    monkeypatch.setattr(drain_module, "BLOCK_MS", 10)


class Picky:
    """Writes everything but what holds a certain title."""

    def __init__(self, content: UUID) -> None:
        self.content = content
        self.tries = 0
        self.mended = False

    async def __call__(self, database: Database, ledger: Ledger, batch: Batch[StoredBeat]) -> int:
        titles = {beat.content_id for beat in batch.beats}
        if not self.mended and str(self.content) in titles:
            self.tries += len(titles) == 1
            raise Refusal(RULE_BROKEN, details="on purpose")
        return await write_batch(database, ledger, batch)


async def until_drained(worker: Drain, redis: Redis) -> None:
    task = asyncio.create_task(worker.run())

    async def empty() -> bool:
        return bool(await redis.exists(STREAM)) and not await redis.xlen(STREAM)

    await until(empty, 60, "an empty stream")
    worker.stop()
    await task


async def test_a_poisonous_entry_is_tried_five_times_and_set_aside_while_others_pass(
    database: Database, cast: Cast, redis: Redis, blocking: Redis, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = Picky(cast.paid_film)
    monkeypatch.setattr(drain_module, "write_batch", picky)
    bad = await a_session(cast, cast.vera, cast.paid_film)
    good = await a_session(cast, cast.vera, cast.free_film)
    intake = IntakeStream(redis, Breaker())
    await intake.add([a_beat(cast, good, 1, 5)])
    await intake.add([a_beat(cast, bad, 1, 5, content_id=cast.paid_film)])
    for n in range(2, 8):
        await intake.add([a_beat(cast, good, n, 5 + n)])
    worker = Drain(database, blocking)
    await until_drained(worker, redis)
    assert (worker.beats, worker.buried) == (7, 1)
    assert picky.tries == drain_module.MAX_TRIALS
    assert await redis.hgetall(trials_key(0)) == {}
    letters = DeadLetters(redis, 1)
    (letter,) = [found async for found in letters.all()]
    assert (letter.tries, letter.reason) == (5, "PS503: A rule of the data is broken. on purpose")
    assert [beat.content_id for beat in letter.beats()] == [cast.paid_film]

    picky.mended = True
    assert await letters.replay(letter.name)
    assert not await letters.replay(letter.name), "it is there no more"
    await until_drained(Drain(database, blocking), redis)
    (row,) = await rows(cast, "SELECT position_ms FROM watch_progress WHERE content_id = $1", cast.paid_film)
    assert row["position_ms"] == 5_000
    assert await letters.count() == 0


async def test_an_entry_that_ends_its_readers_is_set_aside(
    database: Database, cast: Cast, redis: Redis, blocking: Redis, impatient: None
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    await IntakeStream(redis, Breaker()).add([a_beat(cast, session, 1, 5)])
    for n in range(drain_module.SUSPECT_DELIVERIES + 1):
        dying = DrainStream(blocking, 0, f"dying-{n}")
        await dying.open()
        entries = await dying.read(1, 10) or await dying.claim(1, 0)
        assert len(entries) == 1
    await redis.hset(trials_key(0), entries[0].id, str(drain_module.MAX_TRIALS))
    worker = Drain(database, blocking)
    await until_drained(worker, redis)
    assert (worker.beats, worker.buried) == (0, 1)
    (letter,) = [found async for found in DeadLetters(redis, 1).all()]
    assert letter.reason == "handed out 7 times, and nobody came to its end"


async def test_an_entry_handed_out_often_for_no_fault_of_its_own_is_written(
    database: Database, cast: Cast, redis: Redis, blocking: Redis, impatient: None
) -> None:
    """As after an outage of PostgreSQL through which it went from drain to drain."""
    session = await a_session(cast, cast.vera, cast.free_film)
    await IntakeStream(redis, Breaker()).add([a_beat(cast, session, 1, 5)])
    for n in range(20):
        other = DrainStream(blocking, 0, f"other-{n}")
        await other.open()
        assert len(await other.read(1, 10) or await other.claim(1, 0)) == 1
    worker = Drain(database, blocking)
    await until_drained(worker, redis)
    assert (worker.beats, worker.buried) == (1, 0)
    assert (await point(cast))["position_ms"] == 5_000


async def test_an_entry_is_buried_once_by_whoever_holds_it(redis: Redis, blocking: Redis) -> None:
    stream = DrainStream(blocking, 0, "one")
    await stream.open()
    await redis.xadd(STREAM, {b"b": b"?"})
    (entry,) = await stream.read(1, 10)
    assert await stream.bury(entry, "why", 1, 1)
    assert not await stream.bury(entry, "why", 1, 1)
    assert await redis.xlen(DEAD) == 1
    assert await redis.xlen(STREAM) == 0


async def test_nothing_unread_is_ever_trimmed(database: Database, cast: Cast, redis: Redis, blocking: Redis) -> None:
    """What one drain has finished leaves the stream; what others hold or nobody has read stays."""
    session = await a_session(cast, cast.vera, cast.free_film)
    intake = IntakeStream(redis, Breaker())
    for n in range(1, 7):
        await intake.add([a_beat(cast, session, n, n)])
    one, other = DrainStream(blocking, 0, "one"), DrainStream(blocking, 0, "other")
    await one.open()
    held = await one.read(2, 10)
    done = await other.read(2, 10)
    await other.done(done, Batch.of(beat for entry in done for beat in entry.beats()).positions.values())
    left = [entry_id for entry_id, _ in await redis.xrange(STREAM)]
    assert len(left) == 4
    assert left[:2] == [entry.id for entry in held]
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 2


def ran(*args: str) -> tuple[int, str, str]:
    """The command in this process: eleven starts of Python are a minute on a busy machine."""
    done = CliRunner().invoke(app, ["deadletters", *args])
    assert done.exception is None or isinstance(done.exception, SystemExit | ServiceFault), done.exception
    return (2 if isinstance(done.exception, ServiceFault) else done.exit_code), done.stdout, done.stderr


async def test_the_command_lists_shows_replays_and_drops(
    valkey: EmbeddedValkey, redis: Redis, blocking: Redis, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_REDIS_URL", valkey.url)

    async def penstock(*args: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(ran, *args)

    assert (await penstock())[:2] == (0, "There are no dead letters.\n")
    session = await a_session(cast, cast.vera, cast.free_film)
    stream = DrainStream(blocking, 2, "one")
    await stream.open()
    await IntakeStream(redis, Breaker()).add([a_beat(cast, session, 1, 5), a_beat(cast, session, 2, 6)])
    await redis.rename(STREAM, stream_key(2))
    await redis.xadd(stream_key(2), {b"b": b"\xff"})
    await redis.xgroup_create(stream_key(2), GROUP, id="0")
    for entry, reason in zip(await stream.read(2, 10), ("a reason", "unreadable"), strict=True):
        assert await stream.bury(entry, reason, 5, 1_800_000_000_000)
    code, said, _ = await penstock("--json")
    first, second = map(json.loads, said.splitlines())
    assert (code, first["reason"], first["beats"], first["tries"]) == (0, "a reason", "2", 5)
    assert (first["at"], second["beats"]) == ("2027-01-15T08:00:00+00:00", "?")
    code, said, _ = await penstock("show", first["letter"])
    shown: dict[str, Any] = json.loads(said)
    assert [beat["position_ms"] for beat in shown["contents"]] == [5000, 6000]
    assert shown["contents"][0]["user_id"] == str(cast.vera)
    assert json.loads((await penstock("show", second["letter"]))[1])["unreadable_hex"] == "ff"
    for wrong in ("9/1-1", "nonsense", "0/1-1", "2/1"):
        code, _, complained = await penstock("show", wrong)
        assert (code, wrong in complained) == (1, True)
    assert (await penstock("replay"))[0] == 2
    assert (await penstock("replay", first["letter"]))[:2] == (0, "Replayed 1 dead letter.\n")
    assert await redis.xlen(stream_key(2)) == 1
    assert (await penstock("drop", "--all"))[:2] == (0, "Dropped 1 dead letter.\n")
    assert (await penstock("drop", second["letter"]))[0] == 1
    assert (await penstock())[1] == "There are no dead letters.\n"


async def test_without_an_installation_the_command_says_so(tmp_path: Any) -> None:
    done = await asyncio.to_thread(run_penstock, "deadletters", "--data", tmp_path)
    assert done.returncode == 2
    assert "is not running" in done.stderr
    assert ROOT.name not in done.stdout
