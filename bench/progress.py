"""Heartbeats: how many one edge core acknowledges, against one upsert for each, and how fast the backlog drains."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType

import uvloop
from rich.console import Console

from bench.asking import free_port, wait_until_answers
from bench.peers import Peer, Runner, cores
from bench.programs import install
from bench.progress_drain import RAW_TABLE, drained_per_s
from bench.progress_load import CONNECTIONS, beat_away
from bench.progress_stage import ProgressStage, progress_staged
from bench.report import show, store
from bench.stage import MASTER
from bench.throughput import Plan, per_busy_second, told
from bench.verdict import Figure, Round, Target, median_ratio, with_ratio
from bench.wrk import LoadFault
from core.settings import ROOT
from edge.redis_client import Redis

PLAYERS = 1000
BATCH = 20
PIPELINE = 500
WARM_S = 2.0
SHARES = (0.6, 0.8)
"""Of the peak, at which the wait is measured too."""


async def intake(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """Acknowledged beats a second, one in each post and twenty in each; the latter is a client catching up."""
    rounds: dict[int, list[Round]] = {1: [], BATCH: []}
    paced: dict[float, list[Round]] = {share: [] for share in SHARES}
    for number in range(plan.rounds):
        async with runner.edge(stage.stage) as edge:
            tokens = await _tokens(stage, edge.port)
            await _beat(stage, edge, tokens, 1, WARM_S)
            for size, kept in rounds.items():
                kept.append(await _beat(stage, edge, tokens, size, plan.seconds))
                plan.say(f"{size} in a post: {told(kept[-1])}")
            for share, waits in paced.items():
                rate = rounds[1][number]["beats"] * share
                waits.append(await _beat(stage, edge, tokens, 1, plan.seconds, rate))
                plan.say(f"about {share:.0%} of that: {told(waits[-1])}")
        await _emptied(stage.redis)
    xadd = await _pipelined(stage.redis)
    return [
        _rate("single", "acknowledged beats/s per edge core, one in each post", rounds[1], ()),
        _rate("batched", f"the same, {BATCH} in each post", rounds[BATCH], (f"bare pipelined XADD: {xadd:,.0f}/s",)),
        Figure(
            "wait",
            f"the 99th percentile of the wait for an acknowledgement, {CONNECTIONS} posts of one beat under way",
            "ms",
            [{"edge": found["p99 ms"]} for found in rounds[1]],
            median(found["p99 ms"] for found in rounds[1]),
            Target("most", 25, "ms"),
            (
                _waits("at full load", rounds[1]),
                *(_waits(f"at {median(found['beats'] for found in kept):,.0f}/s", kept) for kept in paced.values()),
                _waits(f"{BATCH} in a post, at full load", rounds[BATCH]),
            ),
        ),
    ]


def _waits(when: str, rounds: list[Round]) -> str:
    p50, p99 = (median(found[name] for found in rounds) for name in ("p50 ms", "p99 ms"))
    return f"{when}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _rate(name: str, what: str, rounds: list[Round], notes: tuple[str, ...]) -> Figure:
    value = median(found["beats"] for found in rounds)
    busy = median(found["beats"] / found["busy"] for found in rounds)
    by_cpu = f"for each second of the edge's processor time: {busy:,.0f}"
    shares = f"of its core the edge used {median(found['busy'] for found in rounds):.0%}"
    measured = [{"edge": found["beats"], **found} for found in rounds]
    return Figure(name, what, "beats/s", measured, value, Target("least", 30_000, "beats/s"), (by_cpu, shares, *notes))


async def upserts(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """One beat in each post, against a handler that upserts each and answers when PostgreSQL has it on disk."""
    rounds = []
    for number in range(plan.rounds):
        async with _both(stage, runner) as turns:
            rounds.append(await _compared(stage, turns, number, plan))
        await _emptied(stage.redis)
    what = "beats/s against aiohttp with one durable upsert for each"
    return [
        Figure("upserts", what, "beats/s", rounds, median_ratio(rounds), Target("least", 8, "x"), _by_cpu(rounds)),
    ]


async def direct(stage: ProgressStage, runner: Runner, plan: Plan) -> list[Figure]:
    """The same while Redis is away: each batch is a transaction with ledger, session, view and position."""
    rounds = []
    for number in range(plan.rounds):
        async with _both(stage, runner) as turns:
            stage.stop_redis()
            try:
                rounds.append(await _compared(stage, turns, number, plan))
            finally:
                await stage.start_redis()
        await _emptied(stage.redis)
    what = "without Redis, straight to PostgreSQL: beats/s against the same"
    return [Figure("direct", what, "beats/s", rounds, median_ratio(rounds), Target("least", 1, "x"), _by_cpu(rounds))]


@asynccontextmanager
async def _both(stage: ProgressStage, runner: Runner) -> AsyncIterator[list[tuple[Peer, list[str]]]]:
    """The edge and the handler, warm, each with its players' credentials."""
    await stage.admin.execute(RAW_TABLE)
    async with runner.edge(stage.stage) as edge, _plain(stage, runner) as plain:
        people = [f"any.{viewer.user_id}" for viewer in await stage.viewers(PLAYERS)]
        turns = [(edge, await _tokens(stage, edge.port)), (plain, people)]
        for peer, credentials in turns:
            await _beat(stage, peer, credentials, 1, WARM_S)
        yield turns


async def _compared(
    stage: ProgressStage, turns: list[tuple[Peer, list[str]]], number: int, plan: Plan
) -> dict[str, float]:
    """One round, another of the two first each time."""
    found: dict[str, float] = {}
    for peer, credentials in turns if number % 2 else reversed(turns):
        load = await _beat(stage, peer, credentials, 1, plan.seconds)
        found[peer.name], found[f"{peer.name} busy"] = load["beats"], load["busy"]
    plan.say(told(found))
    return with_ratio(found, over="aiohttp")


def _by_cpu(rounds: list[dict[str, float]]) -> tuple[str, ...]:
    return per_busy_second(rounds, over="aiohttp")


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
FIGURES: Mapping[str, Measure] = MappingProxyType(
    {"intake": intake, "upserts": upserts, "direct": direct, "drain": drain}
)


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
        install(console, "wrk", "taskset")
    except RuntimeError as error:
        console.print(f"[red]{error}", highlight=False)
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {others})
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = asked.only or list(FIGURES)
    figures, failures = uvloop.run(_measure(names, Runner(under_test), asked, console))
    show(figures, failures, ("edge", "aiohttp"))
    path = store("progress", figures, failures, rounds=asked.rounds, seconds=asked.seconds, appendfsync=asked.fsync)
    console.print(f"Stored in {path.relative_to(ROOT)}, charts beside it", highlight=False)
    return 0 if not failures and all(figure.holds for figure in figures) else 1


async def _measure(
    names: list[str], runner: Runner, asked: argparse.Namespace, console: Console
) -> tuple[list[Figure], dict[str, str]]:
    """The figures, and why some could not be measured."""
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    with console.status("Starting PostgreSQL and Valkey") as status:
        async with progress_staged(asked.fsync) as stage:
            for name in names:
                status.update(f"[bold]{name}")

                def say(text: str, name: str = name) -> None:
                    console.print(f"[dim]{name}: {text}", highlight=False)

                try:
                    figures += await FIGURES[name](stage, runner, Plan(asked.rounds, asked.seconds, say))
                except (LoadFault, RuntimeError, TimeoutError, OSError) as error:
                    failures[name] = f"{type(error).__name__}: {error}"
                    console.print(f"[red]{name}: {failures[name]}", highlight=False)
    return figures, failures


async def _tokens(stage: ProgressStage, port: int) -> list[str]:
    """The playback tokens of signed-in owners of the film that is sold, from POST /play."""
    grants = await stage.stage.grants(port, PLAYERS, await stage.stage.people(PLAYERS))
    assert all(grant.prefix.endswith("/") and MASTER not in grant.prefix for grant in grants)
    return [grant.prefix.split("/")[2] for grant in grants]


async def _beat(
    stage: ProgressStage, peer: Peer, tokens: list[str], size: int, seconds: float, posts_per_s: float = 0
) -> dict[str, float]:
    work = partial(beat_away, size=size, seconds=seconds, posts_per_s=posts_per_s)
    load = await asyncio.to_thread(work, stage.stage.folder, peer, tokens, stage.film)
    return {"beats": load.requests_per_s * size, "p50 ms": load.p50_ms, "p99 ms": load.p99_ms, "busy": load.busy}


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
