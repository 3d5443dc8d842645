"""What a benchmark leaves: a table for people, and everything that was measured as JSON with a chart for each figure."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.plot import chart
from bench.verdict import Figure, shown
from core.settings import ROOT

RESULTS = ROOT / "bench" / "results"


def show(figures: Sequence[Figure], failures: Mapping[str, str], peers: Sequence[str] = ()) -> None:
    """The figures, what each of `peers` reached, and why some could not be measured."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", *peers, "value", "target", "verdict"):
        table.add_column(heading, justify="left" if heading in ("figure", "verdict") else "right")
    for figure in figures:
        medians = figure.medians()
        reached = (shown(medians[peer], figure.unit) if peer in medians else "" for peer in peers)
        verdict = "[green]holds" if figure.holds else "[red]misses"
        table.add_row(figure.what, *reached, shown(figure.value, figure.target.unit), str(figure.target), verdict)
    for name, why in failures.items():
        table.add_row(name, *[""] * len(peers), "", "", f"[red]not measured: {why[:80]}")
    # A table in a file or a pipe must not be folded to 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for figure in figures:
        for note in figure.notes:
            console.print(f"[dim]{figure.name}: {note}", highlight=False)


def store(bench: str, figures: Sequence[Figure], failures: Mapping[str, str], **asked: object) -> Path:
    """Everything measured as JSON, and a chart for each figure; `asked` says how it was measured."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = RESULTS / f"{bench}-{stamp}"
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(chart(figure), encoding="utf-8")
    record = {
        "at": stamp,
        **asked,
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": sys.version.split()[0],
            "load_average": os.getloadavg(),
        },
        "figures": [figure.record() for figure in figures],
        "not_measured": dict(failures),
    }
    path = folder / "results.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
