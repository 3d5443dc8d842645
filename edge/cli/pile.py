"""What could not be done and waits for a person, whatever it is: listed, shown, tried again or dropped, by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings
from edge.settings import Settings

Verb = Literal["again", "drop"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that waits: `facts` as JSON has them, `cells` as a table does."""

    facts: Mapping[str, object]
    cells: tuple[str, ...]


class Pile(Protocol):
    """Things that wait, open for as long as a command runs."""

    def entries(self) -> AsyncIterator[Entry]:
        """All, as they are listed."""
        ...

    async def one(self, name: str) -> Mapping[str, object] | None:
        """Everything about one; None when it is not there."""
        ...

    async def names(self) -> list[str]:
        """Those that `--all` means."""
        ...

    async def act(self, verb: Verb, name: str) -> bool:
        """Tries it again, or drops it; False when that cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of pile, and what is said of it."""

    command: str
    open: Callable[[Path | None], AbstractAsyncContextManager[Pile]]
    headings: tuple[str, ...]
    numbers: frozenset[str]
    """The headings above numbers."""
    nothing: str
    """Said when nothing waits."""
    choice: str
    """Said when neither names nor `--all` are given, or both."""
    done: Callable[[Verb, int], str]
    absent: Callable[[str], str]
    """What is said of names that nothing could be done with."""


def run_list(kind: Kind, *, data: Path | None, as_json: bool) -> int:
    """Prints what waits, as a table or a line of JSON each."""
    return asyncio.run(_list(kind, data, as_json))


def run_show(kind: Kind, name: str, *, data: Path | None) -> int:
    """Prints one as JSON; 1 when there is none."""
    return asyncio.run(_show(kind, name, data))


def run_each(kind: Kind, verb: Verb, names: list[str], *, every: bool, data: Path | None) -> int:
    """Tries again, or drops, the named ones or, with `every`, all; 1 when one of those named could not be."""
    return asyncio.run(_each(kind, verb, names, every, data))


def reach(data: Path | None, variable: str, url: Callable[[Settings], str | None]) -> tuple[Settings, str]:
    """The settings of what runs on `data`, and the address of the server that `variable` may name. Raises ServiceFault."""
    settings = settings_for(port=None, data=data)
    running = settings if url(settings) is not None else running_settings(settings)
    if running is None or (found := url(running)) is None:
        mend = f"Start it with `./penstock up`, name its folder with --data, or set {variable}."
        raise ServiceFault("Penstock", f"is not running on {settings.data}", mend)
    return running, found


async def _list(kind: Kind, data: Path | None, as_json: bool) -> int:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in kind.headings:
        table.add_column(heading, justify="right" if heading in kind.numbers else "left", overflow="fold")
    async with kind.open(data) as pile:
        async for entry in pile.entries():
            if as_json:
                print(json.dumps(entry.facts))
            else:
                table.add_row(*map(escape, entry.cells))
    if not as_json:
        Console().print(table if table.row_count else kind.nothing)
    return 0


async def _show(kind: Kind, name: str, data: Path | None) -> int:
    async with kind.open(data) as pile:
        facts = await pile.one(name)
    if facts is None:
        return _absent(kind, [name])
    print(json.dumps(facts, indent=2))
    return 0


async def _each(kind: Kind, verb: Verb, names: list[str], every: bool, data: Path | None) -> int:
    if bool(names) == every:
        raise ServiceFault(kind.command, kind.choice, f"`penstock {kind.command}` lists them.")
    async with kind.open(data) as pile:
        if every:
            names = await pile.names()
        absent = [name for name in names if not await pile.act(verb, name)]
    Console().print(kind.done(verb, len(names) - len(absent)))
    return _absent(kind, absent) if absent and not every else 0


def _absent(kind: Kind, names: list[str]) -> int:
    Console(stderr=True).print(kind.absent(", ".join(names)), markup=False, highlight=False)
    return 1
