"""The transcoder: a ladder against one ffmpeg, what chunks cost and do to the picture, the first playable second, many workers."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.table import Table

from bench.transcode_stage import Stage, made
from bench.transcode_work import chunks, ladder, preview, workers
from bench.verdict import Figure, shown
from core.settings import ROOT

RESULTS = ROOT / "bench" / "results"
Measure = Callable[[Stage], Awaitable[list[Figure]]]
FIGURES: Mapping[str, Measure] = MappingProxyType(
    {"ladder": ladder, "chunks": chunks, "preview": preview, "workers": workers}
)


def main(argv: list[str]) -> int:
    """0 when every figure meets its target, 1 when one misses."""
    parser = argparse.ArgumentParser(prog="penstock bench transcode", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=60, metavar="S", help="length of the film to encode (default 60)"
    )
    parser.add_argument("--size", default="1920x1080", metavar="WxH", help="its size (default 1920x1080)")
    parser.add_argument("--chunk", type=int, default=15, metavar="S", help="seconds of a chunk (default 15)")
    parser.add_argument(
        "--long", type=int, default=600, metavar="S", help="length of the film to preview (default 600)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each figure (default 3)")
    parser.add_argument(
        "--only", action="append", choices=list(FIGURES), metavar="NAME", help=f"one of {', '.join(FIGURES)}"
    )
    asked = parser.parse_args(argv)
    width, _, height = asked.size.partition("x")
    if not (width.isdigit() and height.isdigit()) or min(asked.seconds, asked.rounds, asked.chunk, asked.long) < 1:
        parser.error("--size is WIDTHxHEIGHT, and the numbers are at least 1")
    figures = asyncio.run(_measure(asked))
    _show(figures)
    _store(figures, vars(asked))
    return 0 if all(figure.holds for figure in figures) else 1


async def _measure(asked: argparse.Namespace) -> list[Figure]:
    console = Console(stderr=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name, console.status("Making the films") as status:
        stage = await made(
            Path(name),
            size=asked.size,
            seconds=asked.seconds,
            long_s=asked.long,
            chunk_s=asked.chunk,
            rounds=asked.rounds,
        )
        for what in asked.only or list(FIGURES):
            status.update(f"[bold]{what}")
            figures += await FIGURES[what](stage)
    return figures


def _show(figures: list[Figure]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "measured", "value", "target", "verdict"):
        table.add_column(heading)
    for figure in figures:
        measured = ", ".join(
            f"{name} {shown(value, figure.unit)}" for name, value in figure.medians().items() if name != "ratio"
        )
        verdict = "[green]holds" if figure.holds else "[red]misses"
        table.add_row(figure.what, measured, shown(figure.value, figure.target.unit), str(figure.target), verdict)
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(table)
    for figure in figures:
        for note in figure.notes:
            console.print(f"[dim]{figure.name}: {note}", highlight=False)


def _store(figures: list[Figure], asked: Mapping[str, object]) -> None:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = RESULTS / f"transcode-{stamp}"
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()}
    record = {"at": stamp, "asked": dict(asked), "machine": machine, "figures": [figure.record() for figure in figures]}
    (folder / "results.json").write_text(json.dumps(record, indent=2) + "\n")
