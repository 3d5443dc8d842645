"""Figures of time and memory: latency under an open load, what an idle connection costs."""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import AsyncExitStack
from statistics import median

from bench import wrk
from bench.asking import ask_once
from bench.peers import Peer, Runner, rss_bytes
from bench.stage import PLAYLIST, Stage
from bench.throughput import WARM_S, Plan, in_turn, told
from bench.verdict import Figure, Target, median_ratio, with_ratio
from core.process import running
from core.settings import ROOT

SHARE_OF_PEAK = 0.6
VIEWERS = 2048
HELD = 10_000
SETTLE_S = 6.0
"""Longer than an idle connection takes to give its parser back (edge/lane/traffic.py)."""
HOLD_TIMEOUT_S = 120


async def latency(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """p99 of playlists at 60 % of what nginx takes at most."""
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(start) for start in (runner.nginx(stage), runner.edge(stage))]
        for peer in peers:
            wrk.cycle(stage.folder, peer, [PLAYLIST], seconds=WARM_S, connections=64)
        rounds = []
        for number in range(plan.rounds):
            peak = wrk.cycle(stage.folder, peers[0], [PLAYLIST], seconds=plan.seconds, connections=64)
            rate = peak.requests_per_s * SHARE_OF_PEAK
            found: dict[str, float] = {"rate": rate}
            for peer in in_turn(peers, number):
                seen = wrk.apart(
                    stage.folder, peer, PLAYLIST, rate=rate, seconds=plan.seconds, connections=VIEWERS, seed=number
                )
                found |= {
                    peer.name: seen.p99_ms,
                    f"{peer.name} p50": seen.p50_ms,
                    f"{peer.name} rate": seen.requests_per_s,
                    f"{peer.name} busy": seen.busy,
                }
            rounds.append(with_ratio(found))
            plan.say(told(rounds[-1]))
    return Figure(
        "latency",
        "p99 at 60 % of nginx's peak",
        "ms",
        rounds,
        median_ratio(rounds),
        Target("most", 1.2, "x"),
    )


async def idle(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """Memory of a connection that idles after one answer; for the edge one from the fast lane."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < HELD + 500:
        raise RuntimeError(f"10,000 connections need `ulimit -n {HELD + 500}`; the limit here is {hard}")
    rounds = []
    for number in range(plan.rounds):
        found: dict[str, float] = {}
        for start in (runner.nginx(stage), runner.edge(stage), runner.plain(stage)):
            async with start as peer:
                found[peer.name] = await _held_bytes(stage, peer) / HELD / 1024
        rounds.append(found)
        plan.say(f"{number + 1}: " + ", ".join(f"{name} {value:.2f} KiB" for name, value in found.items()))
    return Figure(
        "idle",
        "memory of an idle connection that has played, 10,000 of them",
        "KiB",
        rounds,
        median(found["edge"] for found in rounds),
        Target("most", 4, "KiB"),
    )


async def _held_bytes(stage: Stage, peer: Peer) -> int:
    """What resident memory grew by."""
    # Warm: the caches are full and allocators have their arenas before the first of the connections comes.
    wrk.cycle(stage.folder, peer, [PLAYLIST], seconds=WARM_S, connections=64)
    await asyncio.sleep(SETTLE_S)
    before, lane_before = rss_bytes(peer.pid), await lane_answers(peer)
    argv = [sys.executable, "-m", "bench.holding", str(peer.port), peer.prefix + PLAYLIST, str(HELD)]
    async with running(argv, cwd=ROOT) as child:
        async with asyncio.timeout(HOLD_TIMEOUT_S):
            said = await anext(aiter(child.lines()), "")
        if said != "held":
            raise RuntimeError(f"the connections were not held: {child.stderr_tail[-600:]}")
        await asyncio.sleep(SETTLE_S)
        grown = rss_bytes(peer.pid) - before
    if peer.name == "edge" and await lane_answers(peer) - lane_before < 0.95 * HELD:
        raise RuntimeError("the fast lane did not answer: is the browser's header block no longer one it learns?")
    return grown


async def lane_answers(peer: Peer) -> float:
    """How many answers the edge's fast lane has given, as its metrics say; 0 for others."""
    if peer.name != "edge":
        return 0
    return sum(metric(await metrics_of(peer), "penstock_lane_answers_total").values())


async def metrics_of(peer: Peer) -> str:
    """The edge's /metrics, Prometheus text."""
    return (await ask_once(peer.port, "/metrics")).body.decode()


def metric(text: str, name: str) -> dict[str, float]:
    """Samples of one metric by their labels, as written."""
    found = {}
    for line in text.splitlines():
        if line.startswith(name) and line[len(name)] in "{ ":
            labels, _, value = line[len(name) :].rpartition(" ")
            found[labels] = float(value)
    return found
