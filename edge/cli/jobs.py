"""`penstock jobs`: what is encoded, how far each piece is, why one failed; to cancel, to try again, and figures for a monitor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from core.database import Database, Row
from core.domain import media_commands, media_tasks
from core.queries import load
from core.viewer import Viewer, service
from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings

SQL = load("edge.cli", "jobs.sql")
LISTED = 20
REFRESH_S = 1.0
SHORT_ID = 12
_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "done": "green"}
_FIGURES = {
    "queued": ("penstock_jobs_queued", "Jobs that no worker has begun."),
    "running": ("penstock_jobs_running", "Jobs that are being encoded."),
    "failed_day": ("penstock_jobs_failed_day", "Jobs that failed within the last 24 hours."),
    "succeeded_day": ("penstock_jobs_succeeded_day", "Jobs that succeeded within the last 24 hours."),
    "oldest_s": ("penstock_jobs_oldest_queued_seconds", "How long the oldest queued job has waited."),
    "tasks_running": ("penstock_tasks_running", "Pieces that a worker holds a live lease on."),
    "tasks_queued": ("penstock_tasks_queued", "Pieces that wait for a worker."),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A job and the viewer who sees it."""

    viewer: Viewer
    job_id: UUID


Work = Callable[[Database, Console], Awaitable[int]]


def run_list(*, data: Path | None, watch: bool) -> int:
    """The table of jobs, once or until interrupted."""

    async def work(database: Database, console: Console) -> int:
        if not watch:
            console.print(await _table(database))
            return 0
        with Live(await _table(database), console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(REFRESH_S)
                live.update(await _table(database), refresh=True)

    return _with_database(data, work)


def run_show(job: str, *, data: Path | None) -> int:
    """Every piece of one job."""

    async def work(database: Database, console: Console) -> int:
        found = await _find(database, job)
        async with database.transaction(found.viewer) as tx:
            rows = await tx.many(SQL["job_tasks"], found.job_id)
            warnings = await tx.value(SQL["job_warnings"], found.job_id)
        table = Table(box=None, padding=(0, 2, 0, 0))
        for title in ("piece", "state", "%", "tries", "worker", "seconds", "why"):
            table.add_column(title)
        for row in rows:
            piece = row["kind"] if row["chunk_no"] is None else f"{row['kind']} {row['chunk_no']}"
            why = f"{row['error_code']} {row['error_message']}" if row["error_code"] else ""
            tries = f"{row['attempts']}/{row['max_attempts']}"
            table.add_row(
                piece, _coloured(row["state"]), f"{row['progress']:.0f}", tries, escape(row["owner"] or ""), _took(row), escape(why)
            )  # fmt: skip
        console.print(table)
        for warning in warnings:
            console.print(warning, style="yellow", markup=False)
        return 0

    return _with_database(data, work)


def run_log(job: str, *, data: Path | None) -> int:
    """The last words of what failed."""

    async def work(database: Database, console: Console) -> int:
        found = await _find(database, job)
        async with database.transaction(found.viewer) as tx:
            rows = await tx.many(SQL["job_tasks"], found.job_id)
        failed = [row for row in rows if row["error_code"]]
        for row in failed:
            chunk = "" if row["chunk_no"] is None else f" {row['chunk_no']}"
            console.print(f"{row['kind']}{chunk}: {row['error_code']} {row['error_message']}", markup=False)
            console.print(row["error_details"] or "(it left no words)", markup=False, highlight=False)
        if not failed:
            console.print("Nothing of this job has failed.")
        return 0

    return _with_database(data, work)


def run_cancel(job: str, *, data: Path | None) -> int:
    """Stops a job."""

    async def work(database: Database, console: Console) -> int:
        found = await _find(database, job)
        async with database.transaction(found.viewer) as tx:
            asked = media_commands.CancelEncoding(found.job_id)
            stopped = await media_commands.do_cancel_encoding(tx, found.viewer, asked, datetime.now(UTC))
        console.print(f"{found.job_id}: {stopped.state}")
        return 0

    return _with_database(data, work)


def run_retry(job: str, *, data: Path | None) -> int:
    """Begins a failed or cancelled job anew."""

    async def work(database: Database, console: Console) -> int:
        found = await _find(database, job)
        async with database.transaction(found.viewer) as tx:
            asked = media_commands.RetryEncoding(found.job_id)
            again = await media_commands.do_retry_encoding(tx, found.viewer, asked, datetime.now(UTC))
        console.print(f"Begun anew as {again.job_id}")
        return 0

    return _with_database(data, work)


def run_figures(*, data: Path | None) -> int:
    """Prometheus text, for a textfile collector."""

    async def work(database: Database, console: Console) -> int:
        sums = dict.fromkeys(_FIGURES, 0.0)
        for viewer in await _viewers(database):
            async with database.transaction(viewer) as tx:
                row = await tx.one(SQL["jobs_figures"])
            assert row is not None  # an aggregate
            for name in sums:
                sums[name] = max(sums[name], row[name]) if name == "oldest_s" else sums[name] + row[name]
        for name, (metric, purpose) in _FIGURES.items():
            print(f"# HELP {metric} {purpose}\n# TYPE {metric} gauge\n{metric} {sums[name]:g}")
        return 0

    return _with_database(data, work)


def _with_database(data: Path | None, work: Work) -> int:
    settings = settings_for(port=None, data=data)
    url = (running_settings(settings) or settings).database_url
    if url is None:
        raise ServiceFault(
            "jobs", "finds no running installation", "Start one with `./penstock up`, or set PENSTOCK_DATABASE_URL."
        )

    async def run() -> int:
        database = await Database.connect(url, name="jobs", max_size=2)
        try:
            return await work(database, Console())
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        return 0


async def _viewers(database: Database) -> list[Viewer]:
    """Row-level security shows one tenant at a time."""
    async with database.transaction(service()) as tx:
        return [service(tenant_id) for tenant_id in await media_tasks.tenants(tx)]


async def _find(database: Database, job: str) -> Found:
    """The job whose id ends so. Raises ServiceFault when there is none, or more than one."""
    wanted = job.strip().lower()
    if len(wanted) < 6 or wanted.strip("0123456789abcdef-"):
        raise ServiceFault(
            "jobs",
            f"{job!r} is not the end of an id",
            "Give at least six of its last digits, as `penstock jobs` shows them.",
        )
    found = []
    for viewer in await _viewers(database):
        async with database.transaction(viewer) as tx:
            found += [Found(viewer, row["id"]) for row in await tx.many(SQL["jobs_found"], wanted)]
    if len(found) != 1:
        what = "no job" if not found else "more than one job"
        raise ServiceFault("jobs", f"knows {what} that ends in {wanted}", "`./penstock jobs` lists them.")
    return found[0]


async def _table(database: Database) -> Table:
    rows: list[Row] = []
    for viewer in await _viewers(database):
        async with database.transaction(viewer) as tx:
            rows += await tx.many(SQL["jobs_recent"], LISTED)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("job", "title", "state", "%", "pieces", "left", "note"):
        table.add_column(title)
    is_open = ("queued", "running")
    for row in sorted(rows, key=lambda row: (row["state"] not in is_open, -row["created_at"].timestamp()))[:LISTED]:
        pieces = f"{row['pieces_done']}/{row['pieces']}" if row["pieces"] else ""
        left = _span(row["eta_s"]) if row["eta_s"] is not None and row["state"] in is_open else ""
        table.add_row(
            str(row["id"])[-SHORT_ID:], escape(row["title"][:40]), _coloured(row["state"]), f"{row['progress']:.0f}", pieces, left,
            escape(_note(row)),
        )  # fmt: skip
    return table


def _note(row: Row) -> str:
    if row["state"] == "failed":
        return f"{row['error_code']} {row['error_message']}"
    if row["state"] != "running":
        return " ".join(row["warnings"])
    return f"{row['stage']}, {row['at_work']} at work{', playable' if row['is_previewed'] else ''}"


def _coloured(state: str) -> str:
    return f"[{_COLOURS[state]}]{state}[/]" if state in _COLOURS else state


def _took(row: Row) -> str:
    if row["started_at"] is None:
        return ""
    return f"{((row['finished_at'] or datetime.now(UTC)) - row['started_at']).total_seconds():.0f}"


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
