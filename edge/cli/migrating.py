"""`penstock migrate`: forwards and back while Penstock stands; what there is can be read at any time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from edge.cli.up import settings_for
from edge.local.installation import Installation, running_settings
from edge.migrate import Standing, roll_back, status
from edge.settings import Settings


def run_migrate(*, data: Path | None) -> int:
    """Brings the database to the present schema. Raises ServiceFault, SettingsError, MigrationError."""
    installation = Installation(settings_for(port=None, data=data))
    try:
        done = asyncio.run(installation.start())
    finally:
        installation.stop()
    Console().print(f"Migrated: {', '.join(done)}" if done else "The database is up to date.", soft_wrap=True)
    return 0


def run_roll_back(to: int, *, data: Path | None) -> int:
    """Takes back every migration after number `to`. Raises ServiceFault, SettingsError, MigrationError, DatabaseDown."""
    installation = Installation(settings_for(port=None, data=data))
    try:
        back = asyncio.run(_roll_back(installation, to))
    finally:
        installation.stop()
    Console().print(f"Taken back: {', '.join(back)}" if back else f"There is nothing after {to:04}.", soft_wrap=True)
    return 0


async def _roll_back(installation: Installation, to: int) -> list[str]:
    return await roll_back(await installation.open_database(), to)


def run_status(*, data: Path | None) -> int:
    """Says which migrations there are and how the database stands to each. Changes nothing, and makes no installation."""
    settings = settings_for(port=None, data=data)
    console = Console(soft_wrap=True, highlight=False)
    running = running_settings(settings)
    if running is None and not (settings.data / "postgres" / "PG_VERSION").exists():
        console.print(
            f"There is no database in {settings.data} yet: `./penstock up` or `migrate` makes one.", markup=False
        )
        return 0
    standing = _standing_of(settings if running is None else running, is_running=running is not None)
    if standing is None:
        console.print("The database has no schema yet: `./penstock up` or `migrate` makes it.", markup=False)
    elif not standing:
        console.print("The schema is there; this release has no migrations yet.")
    for one in standing or ():
        console.print(f"{one.number:04} {one.name}: {one.state}", markup=False)
    return 0


def _standing_of(settings: Settings, *, is_running: bool) -> list[Standing] | None:
    """Asks the server that is there; starts the embedded one for as long as it takes where none is."""
    if is_running:
        assert settings.migrate_database_url is not None
        return asyncio.run(status(settings.migrate_database_url))
    installation = Installation(settings)
    try:
        return asyncio.run(_opened(installation))
    finally:
        installation.stop()


async def _opened(installation: Installation) -> list[Standing] | None:
    return await status(await installation.open_database())
