"""`penstock backup` and `penstock restore`: the embedded PostgreSQL, saved while it runs, put back while it stands."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from edge.cli.up import settings_for
from edge.local.backups import Backups, Base, bases
from edge.local.fault import ServiceFault
from edge.local.installation import Installation, open_secrets, running_postgres, scratch_sockets
from edge.local.restore import verify


def run_backup(*, data: Path | None) -> int:
    """Takes one now."""
    settings = settings_for(port=None, data=data)
    server = running_postgres(settings)
    if server is None:
        raise ServiceFault(
            "Backup",
            f"needs an installation that runs on {settings.data} with its own PostgreSQL",
            "Start it with `./penstock up`. A server of your own is backed up with its own tools.",
        )
    if not settings.backups_keep:
        raise ServiceFault("Backup", "is turned off by PENSTOCK_BACKUPS_KEEP", "Unset it and start Penstock again.")
    base = asyncio.run(Backups(settings.backups, settings.backups_keep, server).take(datetime.now(UTC)))
    Console().print(f"Backed up: {_told(base)}", soft_wrap=True)
    return 0


def run_list(*, data: Path | None) -> int:
    """Says which there are, and from when on any moment can be had."""
    settings = settings_for(port=None, data=data)
    console = Console()
    found = bases(settings.backups)
    for base in found:
        console.print(_told(base), soft_wrap=True)
    if not found:
        console.print("There is no backup yet.")
    return 0


def run_verify(*, data: Path | None) -> int:
    """Restores the newest beside the installation, looks at all of it, and removes it again."""
    settings = settings_for(port=None, data=data)
    scratch = settings.data / "backups" / "scratch" / "postgres"
    found = asyncio.run(verify(settings.backups, scratch, scratch_sockets(settings.data), open_secrets(settings.data)))
    Console().print(
        f"Sound: {_told(found.base)}; restored with the log up to {_moment(found.until)}, {found.tables} tables,"
        f" {found.people} people, every page and index looked at",
        soft_wrap=True,
    )
    return 0


def run_restore(at: str | None, *, data: Path | None) -> int:
    """Puts a stopped installation's database back."""
    found = asyncio.run(
        Installation(settings_for(port=None, data=data)).restore(None if at is None else read_moment(at))
    )
    Console().print(
        f"Restored: {_told(found.base)} and the log up to {_moment(found.until)}. The database before is kept as"
        " postgres.before-... in the data folder; remove it when all is well.",
        soft_wrap=True,
    )
    return 0


def read_moment(text: str) -> datetime:
    """A moment as ISO 8601 writes it, in UTC where it names no zone. Raises ServiceFault."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ServiceFault("Backup", f"{text!r} is no moment", "Write it like 2026-11-21T14:05:00Z.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _told(base: Base) -> str:
    return f"{base.folder} ({base.size_bytes / 1e6:.1f} MB), good for any moment since {_moment(base.ended_at)}"


def _moment(at: datetime | None) -> str:
    return "its end" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
