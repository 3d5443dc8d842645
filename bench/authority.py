"""Figures of what must never fail: how fast a revocation bites on every process, how often a cold segment is read."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from statistics import median

from bench.asking import ask, read_answer
from bench.browser import request
from bench.peers import Peer, Runner
from bench.stage import PLAYLIST, SQL, Grant, Person, Stage
from bench.throughput import MANY, Plan
from bench.verdict import Figure, Target, percentile
from bench.waiting import metric, metrics_of
from core.viewer import service

REVOCATIONS = 500
AT_ONCE = 20
POLL_S = 0.01
GIVE_UP_S = 10.0
WATCHED = "audio/en/0.m4s"
CLIENTS = 1000
COLD = 5
PULSE_S = 1.5
"""Metrics are counted once a second."""


@dataclass(slots=True)
class _Poll:
    """One client that asks for a segment every 10 ms. Times are monotonic."""

    served: asyncio.Event
    last_200: float = 0.0
    status: int = 0


async def revocation(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """From the commit that ends a right to the last segment served, over two edge processes, for 500 sessions."""
    people = await stage.people(REVOCATIONS)
    rounds: list[dict[str, float]] = []
    async with runner.edge(stage) as first, runner.edge(stage) as second:
        grants = await stage.grants(first.port, len(people), people)
        by_person = list(zip(people, grants, strict=True))
        kinds = itertools.cycle(("session", "ban", "library"))
        for at in range(0, len(by_person), AT_ONCE):
            batch = [
                _revoke(stage, (first, second), person, grant, next(kinds))
                for person, grant in by_person[at : at + AT_ONCE]
            ]
            rounds += await asyncio.gather(*batch)
            if (at // AT_ONCE) % 5 == 4:
                plan.say(f"{len(rounds)} revoked")
    lags = sorted(found["lag"] for found in rounds)
    kinds_said = tuple(
        f"p99 of {kind}: {percentile(sorted(found['lag'] for found in rounds if found['kind'] == number), 0.99):.0f} ms"
        for number, kind in enumerate(("session", "ban", "library"))
    )
    return Figure(
        "revocation",
        "from commit to the last segment served, p99 of 500 over 2 processes",
        "ms",
        rounds,
        percentile(lags, 0.99),
        Target("most", 1000, "ms"),
        (f"median {median(lags):.0f} ms, worst {lags[-1]:.0f} ms", *kinds_said),
    )


async def _revoke(stage: Stage, edges: tuple[Peer, Peer], person: Person, grant: Grant, kind: str) -> dict[str, float]:
    """One session: both processes serve it, its right ends, both refuse it."""
    polls = [_Poll(asyncio.Event()) for _ in edges]
    running = [
        asyncio.create_task(_keep_asking(peer, grant.prefix + WATCHED, poll))
        for peer, poll in zip(edges, polls, strict=True)
    ]
    async with asyncio.timeout(GIVE_UP_S):
        await asyncio.gather(*(poll.served.wait() for poll in polls))
    async with stage.database.transaction(service()) as tx:
        match kind:
            case "session":
                await tx.run(SQL["session_end"], grant.session_id)
            case "ban":
                await tx.run(SQL["person_ban"], person.user_id)
            case _:
                await tx.run(SQL["library_delete"], person.user_id, stage.sold)
    committed = time.monotonic()
    await asyncio.gather(*running)
    if any(poll.status not in (401, 403, 410) for poll in polls):
        raise RuntimeError(f"{kind}: still served after {GIVE_UP_S:g} s, or failed: {[poll.status for poll in polls]}")
    last = max(poll.last_200 for poll in polls)
    return {"lag": max(0.0, last - committed) * 1000, "kind": ("session", "ban", "library").index(kind)}


async def _keep_asking(peer: Peer, target: str, poll: _Poll) -> None:
    """Until refused, or given up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    message = request(peer.port, target)
    began = time.monotonic()
    try:
        while time.monotonic() - began < GIVE_UP_S:
            writer.write(message)
            answer = await read_answer(reader)
            poll.status = answer.status
            if answer.status != 200:
                return
            poll.last_200 = time.monotonic()
            poll.served.set()
            await asyncio.sleep(POLL_S)
    finally:
        writer.close()


async def cold(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """1,000 clients ask at the same moment for a segment that is not in memory: how often the store is read."""
    rounds = []
    async with runner.edge(stage) as edge:
        for number in range(max(COLD, plan.rounds)):
            reads = await _stampede(stage, edge, edge.prefix + MANY[number])
            rounds.append({"reads": reads})
            plan.say(f"{CLIENTS} clients, {reads:.0f} read")
    return Figure(
        "cold",
        "store reads for 1,000 clients on one cold segment",
        "reads",
        rounds,
        max(found["reads"] for found in rounds),
        Target("exactly", 1, "reads"),
    )


async def _stampede(stage: Stage, edge: Peer, target: str) -> float:
    connections = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", edge.port) for _ in range(CLIENTS)))
    try:
        # Every connection is accepted and the token known: only the segment is cold.
        for reader, writer in connections[:1]:
            await ask(reader, writer, edge.prefix + PLAYLIST)
        await asyncio.sleep(PULSE_S)
        before = metric(await metrics_of(edge), "penstock_cache_events")['{kind="miss"}']
        message = request(edge.port, target)
        for _, writer in connections:
            writer.write(message)
        answers = await asyncio.gather(*(read_answer(reader) for reader, _ in connections))
        if {answer.status for answer in answers} != {200} or len({answer.body for answer in answers}) != 1:
            raise RuntimeError(f"not everybody got the segment: {sorted({answer.status for answer in answers})}")
        await asyncio.sleep(PULSE_S)
        return metric(await metrics_of(edge), "penstock_cache_events")['{kind="miss"}'] - before
    finally:
        for _, writer in connections:
            writer.close()
