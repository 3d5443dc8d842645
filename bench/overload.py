"""What is left of the throughput when far more is asked than can be answered: the catalogue, which the slow lane serves."""

from __future__ import annotations

import asyncio
from statistics import median

from bench.flood import flood
from bench.peers import Peer, Runner, cpu_s
from bench.stage import Stage
from bench.throughput import Plan
from bench.verdict import Figure, Target

TARGET = "/rest/v1/contents?select=id,title&limit=10"
PEAK_CONNECTIONS = 64
"""Fewer than there are places: nobody is refused, and a connection asks again as soon as it is answered."""
FLOOD_CONNECTIONS = 1024
ENDLESS = 50_000.0
TIMES = (3, 15)
RECOVERY_S = 5.0


async def overload(stage: Stage, runner: Runner, plan: Plan) -> Figure:
    """Answers for a second of processor time at 3 and 15 times the peak, against the peak; each round its own."""
    rounds = []
    async with runner.edge(stage) as edge:
        _asked(edge, PEAK_CONNECTIONS, ENDLESS, 1, 0)
        for number in range(plan.rounds):
            peak = _asked(edge, PEAK_CONNECTIONS, ENDLESS, plan.seconds, number)
            found = {"peak": peak["served_per_s"], "peak per cpu s": peak["served_per_cpu_s"]}
            for times in TIMES:
                seen = _asked(edge, FLOOD_CONNECTIONS, peak["served_per_s"] * times, plan.seconds, number)
                found |= {
                    f"{times}x": seen["served_per_s"],
                    f"{times}x share": seen["served_per_cpu_s"] / peak["served_per_cpu_s"],
                    f"{times}x 503": seen["sent_away"] / seen["seconds"],
                    f"{times}x 503 p99": seen["away_p99_ms"],
                    f"{times}x other": seen["other"] + seen["cut"] + seen["unanswered"],
                }
            await asyncio.sleep(RECOVERY_S)
            after = _asked(edge, PEAK_CONNECTIONS, ENDLESS, plan.seconds, number)
            found["after share"] = after["served_per_cpu_s"] / peak["served_per_cpu_s"]
            found["after 503"] = after["sent_away"]
            rounds.append(found)
            plan.say(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    notes = tuple(
        f"{times}x: {median(found[f'{times}x share'] for found in rounds):.2f} of the peak for a second of processor time, "
        f"{median(found[f'{times}x'] for found in rounds):,.0f}/s served, "
        f"{median(found[f'{times}x 503'] for found in rounds):,.0f}/s refused, "
        f"p99 of a refusal {median(found[f'{times}x 503 p99'] for found in rounds):.0f} ms"
        for times in TIMES
    )
    back = f"5 s after: {median(found['after share'] for found in rounds):.2f} of the peak"
    return Figure(
        "overload",
        "answers at 15 times the peak, for a second of processor time",
        "/s",
        rounds,
        median(found["15x share"] for found in rounds),
        Target("least", 0.8, "x"),
        (*notes, back),
    )


def _asked(edge: Peer, connections: int, rate: float, seconds: float, seed: int) -> dict[str, float]:
    before = cpu_s(edge.pid)
    seen = flood(edge, TARGET, rate=rate, seconds=seconds, connections=connections, seed=seed)
    used_s = cpu_s(edge.pid) - before
    return {
        **seen,
        "served_per_s": seen["served"] / seen["seconds"],
        "served_per_cpu_s": seen["served"] / max(used_s, 0.01),
    }
