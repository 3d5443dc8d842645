"""Heartbeats: how many one edge core acknowledges, against one upsert for each, and how fast the backlog drains."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import MappingProxyType

import uvloop
from rich.console import Console
from rich.table import Table

from bench.asking import free_port, wait_until_answers
from bench.peers import Peer, Runner, cores
from bench.plot import chart
from bench.progress_drain import RAW_TABLE, drained_per_s
from bench.progress_load import Load, beat_away
from bench.progress_stage import Bodies, ProgressStage, progress_staged
from bench.stage import MASTER
from bench.throughput import Plan, told
from bench.verdict import Figure, Round, Target, median_ratio, shown, with_ratio
from core.redis_client import Redis
from core.settings import ROOT

RESULTS = ROOT / "bench" / "results"
PLAYERS = 256
BATCH = 20
PIPELINE = 500
WARM_S = 1.0


async def intake(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """Acknowledged beats a second, one in each post and twenty in each; the latter is a client catching up."""
    rounds: dict[int, list[Round]] = {1: [], BATCH: []}
    for number in range(plan.rounds + 1):
        async with runner.edge(stage.stage) as edge:
            tokens = await _tokens(stage, edge.port)
            for size, kept in rounds.items():
                load = await _beat(stage, edge, tokens, size, plan.seconds if number else WARM_S)
                found = {"edge": load.beats_per_s, "p50 ms": load.p50_ms, "p99 ms": load.p99_ms, "busy": load.busy}
                plan.say(f"{size} in a post: {told(found)}")
                if number:
                    kept.append(found)
        await _emptied(stage.redis)
    xadd = await _pipelined(stage.redis)
    best = max(rounds.values(), key=lambda kept: median(found["edge"] for found in kept))
    return [
        _rate("single", "acknowledged beats/s per edge core, one in each post", rounds[1], ()),
        _rate("batched", f"the same, {BATCH} in each post", rounds[BATCH], (f"bare pipelined XADD: {xadd:,.0f}/s",)),
        Figure(
            "wait",
            "the 99th percentile of the wait for an acknowledgement, at full load",
            "ms",
            [{"edge": found["p99 ms"]} for found in best],
            median(found["p99 ms"] for found in best),
            Target("most", 25, "ms"),
            tuple(
                f"{size} in a post: p50 {median(f['p50 ms'] for f in kept):.1f} ms, p99 {median(f['p99 ms'] for f in kept):.1f} ms"
                for size, kept in rounds.items()
            ),
        ),
    ]


def _rate(name: str, what: str, rounds: list[Round], notes: tuple[str, ...]) -> Figure:
    value = median(found["edge"] for found in rounds)
    busy = median(found["edge"] / found["busy"] for found in rounds)
    by_cpu = f"for each second of the edge's processor time: {busy:,.0f}"
    return Figure(name, what, "beats/s", rounds, value, Target("least", 30_000, "beats/s"), (by_cpu, *notes))


async def upserts(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """One beat in each post, against a handler that upserts each, without a ledger and without waiting for the disk."""
    await stage.admin.execute(RAW_TABLE)
    rounds = []
    for number in range(plan.rounds + 1):
        async with AsyncExitStack() as stack:
            edge = await stack.enter_async_context(runner.edge(stage.stage))
            plain = await stack.enter_async_context(_plain(stage, runner))
            tokens = await _tokens(stage, edge.port)
            people = [f"any.{viewer.user_id}" for viewer in await stage.viewers(PLAYERS)]
            seconds = plan.seconds if number else WARM_S
            found: dict[str, float] = {}
            turns = [(edge, tokens), (plain, people)]
            for peer, credentials in turns if number % 2 else reversed(turns):
                load = await _beat(stage, peer, credentials, 1, seconds)
                found[peer.name] = load.beats_per_s
                found[f"{peer.name} busy"] = load.busy
            plan.say(told(found))
            if number:
                rounds.append(with_ratio(found, over="aiohttp"))
        await _emptied(stage.redis)
    what = "beats/s against aiohttp with one upsert for each"
    return [Figure("upserts", what, "beats/s", rounds, median_ratio(rounds), Target("least", 8, "x"))]


async def drain(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """The backlog into all tables, against bare upserts of the same beats into one."""
    rounds = []
    for _ in range(plan.rounds):
        found = await drained_per_s(stage, runner)
        plan.say(told(found))
        rounds.append(with_ratio(found, of="drain", over="upserts"))
    what = "beats drained/s (ledger, session, view, position) against bare unnest upserts"
    return [Figure("drain", what, "beats/s", rounds, median_ratio(rounds), Target("least", 0.7, "x"))]


Measure = Callable[[ProgressStage, Runner, Plan], Awaitable[list[Figure]]]
FIGURES: Mapping[str, Measure] = MappingProxyType({"intake": intake, "upserts": upserts, "drain": drain})


def main(argv: list[str]) -> int:
    """0 when every figure that was measured meets its target, 1 when one misses, 2 when something needed is not here."""
    parser = argparse.ArgumentParser(prog="penstock bench progress", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of each figure (default 5)")
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="of load per server and round (default 5)")
    parser.add_argument(
        "--fsync", choices=("everysec", "always"), default="everysec", help="Redis's appendfsync (default everysec)"
    )
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {', '.join(FIGURES)}; repeat it"
    )
    asked = parser.parse_args(argv)
    if asked.rounds < 1 or asked.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    console = Console(stderr=True)
    try:
        under_test, others = cores()
    except RuntimeError as error:
        console.print(f"[red]{error}", highlight=False)
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {others})
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = asked.only or list(FIGURES)
    figures = uvloop.run(_measure(names, Runner(under_test), asked, console))
    _show(figures)
    path = _store(figures, asked)
    console.print(f"Stored in {path.relative_to(ROOT)}, charts beside it", highlight=False)
    return 0 if all(figure.holds for figure in figures) else 1


async def _measure(names: list[str], runner: Runner, asked: argparse.Namespace, console: Console) -> list[Figure]:
    figures: list[Figure] = []
    with console.status("Starting PostgreSQL and Valkey") as status:
        async with progress_staged(asked.fsync) as stage:
            for name in names:
                status.update(f"[bold]{name}")

                def say(text: str, name: str = name) -> None:
                    console.print(f"[dim]{name}: {text}", highlight=False)

                figures += await FIGURES[name](stage, runner, Plan(asked.rounds, asked.seconds, say))
    return figures


async def _tokens(stage: ProgressStage, port: int) -> list[str]:
    """The playback tokens of signed-in owners of the film that is sold, from POST /play."""
    grants = await stage.stage.grants(port, PLAYERS, await stage.stage.people(PLAYERS))
    assert all(grant.prefix.endswith("/") and MASTER not in grant.prefix for grant in grants)
    return [grant.prefix.split("/")[2] for grant in grants]


async def _beat(stage: ProgressStage, peer: Peer, tokens: list[str], size: int, seconds: float) -> Load:
    bodies = [Bodies(stage.film, number, size) for number in range(len(tokens))]
    return await beat_away(peer.port, peer.pid, tokens, bodies, size=size, seconds=seconds)


@asynccontextmanager
async def _plain(stage: ProgressStage, runner: Runner) -> AsyncIterator[Peer]:
    port = free_port()
    assert stage.stage.installation.postgres is not None
    url = stage.stage.installation.postgres.url("postgres")
    argv: list[str | Path] = [sys.executable, "-m", "bench.progress_plain", str(port), url]
    async with runner.run(argv, stage.stage.folder / "plain.log") as process:
        await wait_until_answers(port, "/ready")
        yield Peer("aiohttp", port, process.pid, "")


async def _emptied(redis: Redis) -> None:
    """What was acknowledged is of no more interest, and a long stream would slow the next round."""
    await redis.flushdb()


async def _pipelined(redis: Redis) -> float:
    """Entries a second that a client can add at most: one field of 150 bytes, 500 to a round trip."""
    loop = asyncio.get_running_loop()
    began, entries = loop.time(), 0
    while loop.time() - began < 2:
        async with redis.pipeline(transaction=False) as pipe:
            for _ in range(PIPELINE):
                pipe.xadd("bench", {b"b": b"x" * 150})
            await pipe.execute()
        entries += PIPELINE
    await redis.delete("bench")
    return entries / (loop.time() - began)


def _show(figures: list[Figure]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "value", "target", "verdict"):
        table.add_column(heading, justify="left" if heading in ("figure", "verdict") else "right")
    for figure in figures:
        verdict = "[green]holds" if figure.holds else "[red]misses"
        table.add_row(figure.what, shown(figure.value, figure.target.unit), str(figure.target), verdict)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for figure in figures:
        for note in figure.notes:
            console.print(f"[dim]{figure.name}: {note}", highlight=False)


def _store(figures: list[Figure], asked: argparse.Namespace) -> Path:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = RESULTS / f"progress-{stamp}"
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(chart(figure), encoding="utf-8")
    record = {
        "at": stamp,
        "rounds": asked.rounds,
        "seconds": asked.seconds,
        "appendfsync": asked.fsync,
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()},
        "figures": [figure.record() for figure in figures],
    }
    path = folder / "results.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
