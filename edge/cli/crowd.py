"""Who is around the demo's library: a seed, where nothing speaks against it. The films play without it, too."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from core.database import Database
from core.errors import Refusal
from core.viewer import service
from edge.cli.seed import seed
from edge.cli.titles import SQL
from edge.local.fault import ServiceFault
from edge.settings import Settings


async def add_crowd(
    database: Database, settings: Settings, people: int, hosts: Sequence[str], password: str, console: Console
) -> bool:
    """Seeds people, courses, posts and orders, once and only where nobody is but the hosts (e-mail addresses); whether it did."""
    async with database.transaction(service()) as tx:
        if not await tx.value(SQL["crowd_has_room"], list(hosts)):
            return False
    try:
        with console.status(f"Inviting {people} people"):
            return await seed(settings, users=people, number=1, password=password, into_existing=True)
    except (ServiceFault, Refusal) as refused:
        # The films play without a crowd, too: on a database of somebody else's, say, whose owner we are not.
        console.print(f"[yellow]The demo goes without a crowd: {escape(str(refused))}")
        return False
