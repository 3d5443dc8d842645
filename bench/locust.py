"""Players in real time over HTTP (locust): requests per second, latencies by kind, failures, stalls."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from core.process import running
from core.settings import ROOT

RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """An installation and the accounts that may be used."""

    url: str
    accounts: list[dict[str, str]]


def main(argv: list[str]) -> int:
    """0 when no request failed and nobody stalled, else 1."""
    parser = argparse.ArgumentParser(prog="penstock bench locust", description=__doc__)
    parser.add_argument("--players", type=int, default=50, metavar="N", help="how many play at once (default 50)")
    parser.add_argument("--minutes", type=float, default=1.0, metavar="M", help="for how long (default 1)")
    parser.add_argument(
        "--url", help="an installation that is running; without it a demo is started in a temporary folder"
    )
    parser.add_argument(
        "--account", action="append", default=[], metavar="E-MAIL:PASSWORD", help="somebody to sign in as; repeat it"
    )
    asked = parser.parse_args(argv)
    if asked.players < 1 or asked.minutes <= 0:
        parser.error("--players and --minutes must be more than 0")
    accounts = [
        dict(zip(("email", "password"), text.split(":", 1), strict=True)) for text in asked.account if ":" in text
    ]
    return asyncio.run(_run(asked.url, accounts, asked.players, asked.minutes))


async def _run(url: str | None, accounts: list[dict[str, str]], players: int, minutes: float) -> int:
    console = Console(stderr=True)
    if url is not None:
        results = await _load(Target(url.rstrip("/"), accounts), players, minutes, console)
    else:
        async with _demo(console) as target:
            results = await _load(target, players, minutes, console)
    _show(results, console)
    path = _store({"players": players, "minutes": minutes, "cpus": os.cpu_count(), **results})
    console.print(f"Stored in {path.relative_to(ROOT)}")
    return 0 if not results["failures"] and not results["playing"]["stalls"] else 1


@asynccontextmanager
async def _demo(console: Console) -> AsyncIterator[Target]:
    """A demo on a free port, gone afterwards. Raises RuntimeError with its last words when it does not start."""
    # A unix socket's path is short, so the folder lies directly below the temporary one.
    folder = Path(tempfile.mkdtemp(prefix="psb-"))
    os.chmod(folder, 0o755)  # PostgreSQL runs under another account when we are root
    argv = [sys.executable, "-m", "edge.cli", "demo", "--json", "--port", "0", "--data", str(folder / "d")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        async with running(argv, cwd=ROOT, env=environment) as child:
            with console.status("Making a demo library (a minute or two)"):
                line = await anext(aiter(child.lines()), "")
            if not line:
                raise RuntimeError(f"the demo did not start: {child.stderr_tail[-1500:]}")
            said = json.loads(line)
            try:
                yield Target(said["url"], [person for person in said["users"] if person["role"] == "user"])
            finally:
                os.kill(child.pid, signal.SIGTERM)
                await child.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _load(target: Target, players: int, minutes: float, console: Console) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="psb-") as folder:
        out = Path(folder) / "results.json"
        argv = [
            *(sys.executable, "-m", "locust", "--locustfile", str(ROOT / "bench" / "locustfile.py"), "--headless"),
            *(
                "--users",
                str(players),
                "--spawn-rate",
                str(max(1, players // 5)),
                "--run-time",
                f"{round(minutes * 60)}s",
            ),
            *("--host", target.url, "--only-summary", "--loglevel", "WARNING", "--stop-timeout", "3"),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BENCH_OUT": str(out),
            "BENCH_ACCOUNTS": json.dumps(target.accounts),
        }
        with console.status(f"{players} players for {minutes:g} min at {target.url}"):
            async with running(argv, cwd=ROOT, env=environment) as child:
                async for _ in child.lines():
                    pass  # its own table; ours has the same figures and the stalls
                await child.wait()
                if not out.exists():
                    raise RuntimeError(f"locust left no results: {child.stderr_tail[-1500:]}")
        results: dict[str, Any] = json.loads(out.read_bytes())
        return results


def _show(results: dict[str, Any], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "requests", "failures", "p50 ms", "p95 ms", "p99 ms", "MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for kind, figures in sorted(results["kinds"].items()):
        percentiles = (f"{figures[f'p{share}_ms'] or 0:.0f}" for share in (50, 95, 99))
        table.add_row(
            kind, str(figures["requests"]), str(figures["failures"]), *percentiles, f"{figures['bytes'] / 1e6:.1f}"
        )
    console.print(table)
    playing = results["playing"]
    console.print(
        f"{results['requests_per_s']:.0f} requests/s, {results['failures']} of {results['requests']} failed; "
        f"{playing['plays']} viewings, {playing['segments']} segments, {playing['stalls']} stalls "
        f"({playing['stalled_s']:.1f} s)"
    )
    for error in results["errors"]:
        console.print(f"[red]{error}", markup=True)


def _store(results: dict[str, Any]) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"locust-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    return path
