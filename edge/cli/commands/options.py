"""Options that many commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="The folder that holds everything (default: .penstock, or PENSTOCK_DATA)."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="The port to listen on; 0 picks a free one (default: 8080, or PENSTOCK_LISTEN).",
    ),
]


def new_group(text: str) -> typer.Typer:
    """A group of commands that does something by itself, too."""
    return typer.Typer(help=text, invoke_without_command=True, rich_markup_mode="markdown")


def is_for_a_command(context: typer.Context, data: Path | None) -> bool:
    """Whether a command of the group follows; then `GROUP --data DIR COMMAND` means what `GROUP COMMAND --data DIR` does."""
    if context.invoked_subcommand is None:
        return False
    if data is not None:
        os.environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())
    return True
