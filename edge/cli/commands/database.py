"""The commands that look after the database: `migrate`, `backup`, `restore`, `database`."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli.commands.options import Data, is_for_a_command, new_group

backup = new_group(
    "Back up the embedded PostgreSQL of a running installation now; `list` what there is, `verify` that it restores."
)


@backup.callback()
def backup_now(context: typer.Context, data: Data = None) -> None:
    """Back up the embedded PostgreSQL of a running installation now; `list` what there is, `verify` that it restores."""
    from edge.cli.backup import run_backup

    if not is_for_a_command(context, data):
        raise typer.Exit(run_backup(data=data))


@backup.command("list")
def backup_list(data: Data = None) -> None:
    """Show which backups there are, and from when on any moment can be had."""
    from edge.cli.backup import run_list

    raise typer.Exit(run_list(data=data))


@backup.command("verify")
def backup_verify(data: Data = None) -> None:
    """Restore the newest one into a folder of its own, look at every page and index, remove it again."""
    from edge.cli.backup import run_verify

    raise typer.Exit(run_verify(data=data))


def restore(
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="A moment, 2026-11-21T14:05:00Z; the latest otherwise.")
    ] = None,
    data: Data = None,
) -> None:
    """Put a stopped installation's database back to a moment. What it was is kept beside it."""
    from edge.cli.backup import run_restore

    raise typer.Exit(run_restore(at, data=data))


def migrate(
    to: Annotated[
        int | None,
        typer.Option(
            "--down",
            min=0,
            metavar="NUMBER",
            help="Take back every migration after this number, while Penstock stands.",
        ),
    ] = None,
    status: Annotated[
        bool,
        typer.Option("--status", help="Only say which there are, and which were applied; also while Penstock runs."),
    ] = False,
    data: Data = None,
) -> None:
    """Bring the database to the present schema, or back to an earlier one. All of it is done, or nothing."""
    from edge.cli.migrating import run_migrate, run_roll_back, run_status

    if status and to is not None:
        raise typer.BadParameter("goes with no other option.", param_hint="'--status'")
    if status:
        raise typer.Exit(run_status(data=data))
    raise typer.Exit(run_migrate(data=data) if to is None else run_roll_back(to, data=data))


def figures(
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for a program.")] = False,
    data: Data = None,
) -> None:
    """Show the size of tables and indexes, indexes that nobody reads, dead rows, slow statements, connections."""
    from edge.cli.database import run_figures

    raise typer.Exit(run_figures(data=data, as_json=as_json))
