"""The edge on one core against nginx and plain aiohttp: playlists, segments, latency, memory, revocation."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
from collections.abc import Mapping
from subprocess import TimeoutExpired
from types import MappingProxyType

from rich.console import Console

from bench import authority, overload, throughput, waiting
from bench.peers import Runner, cores
from bench.programs import PACKAGES, install
from bench.report import show, store
from bench.stage import staged
from bench.throughput import Measure, Plan
from bench.verdict import Figure
from bench.wrk import LoadFault
from core.settings import ROOT

FIGURES: Mapping[str, Measure] = MappingProxyType(
    {
        "playlists": throughput.playlists,
        "memory": throughput.memory,
        "pages": throughput.pages,
        "latency": waiting.latency,
        "idle": waiting.idle,
        "tokens": throughput.tokens,
        "revocation": authority.revocation,
        "cold": authority.cold,
        "overload": overload.overload,
    }
)


def main(argv: list[str]) -> int:
    """0 when every figure that was measured meets its target, 1 when one misses, 2 when something needed is not here."""
    parser = argparse.ArgumentParser(prog="penstock bench edge", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="interleaved rounds of each figure (default 5)"
    )
    parser.add_argument("--seconds", type=int, default=5, metavar="S", help="of load per server and round (default 5)")
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {', '.join(FIGURES)}; repeat it"
    )
    asked = parser.parse_args(argv)
    if asked.rounds < 1 or asked.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    console = Console(stderr=True)
    try:
        under_test, others = cores()
        install(console, *PACKAGES)
    except RuntimeError as error:
        console.print(f"[red]{error}", highlight=False)
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Children inherit it: only what is under test is moved to the other core.
    os.sched_setaffinity(0, {others})
    # Ended from outside, it still stops its servers and takes its 2.5 GB away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = asked.only or list(FIGURES)
    figures, failures = asyncio.run(_measure(names, Runner(under_test), asked.rounds, asked.seconds, console))
    show(figures, failures, ("nginx", "edge", "aiohttp"))
    if figures:
        path = store("edge", figures, failures, rounds=asked.rounds, seconds=asked.seconds)
        console.print(f"Stored in {path.relative_to(ROOT)}, charts beside it", highlight=False)
    return 0 if not failures and all(figure.holds for figure in figures) else 1


async def _measure(
    names: list[str], runner: Runner, rounds: int, seconds: float, console: Console
) -> tuple[list[Figure], dict[str, str]]:
    """The figures, and why some could not be measured."""
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    with console.status("Starting PostgreSQL and Valkey, writing 2.5 GB of segments") as status:
        async with staged() as stage:
            for name in names:
                status.update(f"[bold]{name}")

                def say(text: str, name: str = name) -> None:
                    console.print(f"[dim]{name}: {text}", highlight=False)

                try:
                    figures.append(await FIGURES[name](stage, runner, Plan(rounds, seconds, say)))
                except (LoadFault, RuntimeError, TimeoutError, OSError, EOFError, TimeoutExpired) as error:
                    failures[name] = f"{type(error).__name__}: {error}"
                    console.print(f"[red]{name}: {failures[name]}", highlight=False)
            status.update("Stopping")
    return figures, failures
