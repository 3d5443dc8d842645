"""The outbox: what an effect costs to deliver, in processor time and in time, against a plain loop over a table with the same rows.

Effects of distinct subjects, each told to one webhook; nothing is sent over a network. The loop is spared the search: it knows
what waits, takes one after another with `FOR UPDATE SKIP LOCKED`, writes its delivery, marks it done and commits.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console

from bench.peers import cpu_s
from bench.report import show, store
from bench.throughput import told
from bench.verdict import Figure, Round, Target, median_ratio, with_ratio
from core.database import Connection, Database, Row, dedicated
from core.ids import DEFAULT_TENANT
from core.settings import ROOT
from core.viewer import service
from edge.effects.courier import Courier
from edge.effects.line import Item, Outcome
from edge.effects.outbox import Outbox
from edge.local.installation import Installation
from edge.settings import read_settings

EFFECTS = 5_000
WARM_EFFECTS = 500
POOL_SIZE = 8
PATIENCE_S = 100

_FILL = """
INSERT INTO outbox (topic, subject, payload)
SELECT 'content.published', 'content:' || gen_random_uuid(), jsonb_build_object('content_id', gen_random_uuid(), 'title', 'A title ' || n)
FROM generate_series(1, $1::integer) AS n
"""
_WEBHOOK = """
INSERT INTO webhooks (url, event_types, secret) VALUES ('https://example.com/', '{content.published}', repeat('x', 40))
"""
_WAITING = "SELECT seq FROM outbox WHERE delivered_at IS NULL AND given_up_at IS NULL ORDER BY seq"
_TAKE = "SELECT id, topic, subject, payload, created_at FROM outbox WHERE seq = $1 FOR UPDATE SKIP LOCKED"
_TELL = """
INSERT INTO webhook_deliveries (webhook_id, event_id, event_type, subject, happened_at, data)
SELECT id, $1, $2::text, $3, $4, $5 FROM webhooks WHERE enabled AND $2 = ANY (event_types)
"""
_END = "UPDATE outbox SET delivered_at = now() WHERE seq = $1"


Way = Callable[["Connection[Row]"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took, of this process and of PostgreSQL's together, and by the clock."""

    cpu_s: float
    wall_s: float


def main(argv: list[str]) -> int:
    """0 when the figure meets its target, 1 when it misses."""
    parser = argparse.ArgumentParser(prog="penstock bench outbox", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each (default 3)")
    parser.add_argument("--effects", type=int, default=EFFECTS, metavar="N", help=f"a round (default {EFFECTS})")
    asked = parser.parse_args(argv)
    if asked.rounds < 1 or asked.effects < 1:
        parser.error("--rounds and --effects must be at least 1")
    console = Console(stderr=True)
    figures = uvloop.run(_measure(asked.rounds, asked.effects, console))
    show(figures, {}, ("courier", "loop"))
    path = store("outbox", figures, {}, rounds=asked.rounds, effects=asked.effects)
    console.print(f"Stored in {path.relative_to(ROOT)}, charts beside it", highlight=False)
    return 0 if all(figure.holds for figure in figures) else 1


async def _measure(count: int, effects: int, console: Console) -> list[Figure]:
    rounds: list[Round] = []
    with console.status("Starting PostgreSQL"):
        async with _staged() as (database, admin):
            ways: dict[str, Way] = {"courier": partial(_courier, database), "loop": partial(_loop, database)}
            for way in ways.values():
                await _timed(admin, WARM_EFFECTS, way)
            for number in range(count):
                found: dict[str, float] = {}
                for name in ways if number % 2 else reversed(ways):
                    spent = await _timed(admin, effects, ways[name])
                    found[name] = spent.cpu_s * 1000 / effects
                    found[f"{name} wall"] = spent.wall_s * 1000 / effects
                rounds.append(with_ratio(found, over="courier", of="loop"))
                console.print(told(rounds[-1]), style="dim", highlight=False)
    each = [found["courier"] for found in rounds]
    wall = ", ".join(f"{name} {median(found[f'{name} wall'] for found in rounds):.2f} ms" for name in ways)
    return [
        Figure("each", "processor time of an effect, ours and PostgreSQL's", "ms", rounds, median(each),
               Target("most", 0.4, "ms"), (f"by the clock: {wall}",)),
        Figure("loop", "the same, a plain loop's over ours", "ms", rounds, median_ratio(rounds), Target("least", 2, "x")),
    ]  # fmt: skip


@asynccontextmanager
async def _staged() -> AsyncIterator[tuple[Database, Connection[Row]]]:
    """PostgreSQL of its own with one webhook; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="psb-"))
    folder.chmod(0o755)  # noqa: ASYNC240 - PostgreSQL runs under another account when we are root
    installation = Installation(read_settings({"PENSTOCK_DATA": str(folder)}))
    try:
        await installation.start()
        assert installation.postgres is not None
        assert installation.settings.database_url is not None
        database = await Database.connect(installation.settings.database_url, name="bench", max_size=POOL_SIZE)
        admin = await dedicated(installation.postgres.url("postgres"))
        await admin.execute("SELECT set_config('app.tenant_id', $1, false)", str(DEFAULT_TENANT))
        await admin.execute(_WEBHOOK)
        try:
            yield database, admin
        finally:
            await admin.close()
            await database.close()
    finally:
        installation.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _timed(admin: Connection[Row], effects: int, way: Way) -> Spent:
    """Delivers so many with nothing else in the queues. Raises RuntimeError when some are left."""
    await admin.execute("TRUNCATE outbox, webhook_deliveries")
    await admin.execute(_FILL, effects)
    await admin.execute("VACUUM ANALYZE outbox, webhook_deliveries")
    server = _parent(await admin.fetchval("SELECT pg_backend_pid()"))
    cpu_s, began = _cpu_s(server), time.perf_counter()
    await way(admin)
    spent = Spent(_cpu_s(server) - cpu_s, time.perf_counter() - began)
    told = await admin.fetchval("SELECT count(*) FROM webhook_deliveries")
    if told != effects:
        raise RuntimeError(f"{told} of {effects} effects were told")
    return spent


async def _courier(database: Database, admin: Connection[Row]) -> None:
    """The product's own, with mail that never comes."""
    courier = Courier(database, Outbox(database, _no_mail).lines())
    running = asyncio.create_task(courier.run())
    async with asyncio.timeout(PATIENCE_S):
        while await admin.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE delivered_at IS NULL)"):  # noqa: ASYNC110 - PostgreSQL
            await asyncio.sleep(0.02)
    courier.stop()
    await running


async def _no_mail(_: Item) -> Outcome:
    raise AssertionError("no mail was asked for")


async def _loop(database: Database, admin: Connection[Row]) -> None:
    """One after another, each in a transaction of its own, as the service of its tenant."""
    for (seq,) in await admin.fetch(_WAITING):
        async with database.transaction(service()) as tx:
            row = await tx.connection.fetchrow(_TAKE, seq)
            assert row is not None
            told = (row["id"], row["topic"], row["subject"], row["created_at"], row["payload"])
            await tx.connection.execute(_TELL, *told)
            await tx.connection.execute(_END, seq)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _cpu_s(server: int) -> float:
    """Of this process and of all that PostgreSQL runs."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return time.process_time() + sum(cpu_s(int(pid)) for pid in children)
