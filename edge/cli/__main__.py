"""The entry of `./penstock`: every command by its name, and what an operator is told when one fails."""

from __future__ import annotations

import sys

import structlog
import typer

from edge.cli.commands import checking, database, installing, jobs, keys, piles

app = typer.Typer(
    name="penstock",
    help="A self-hosted media streaming edge with its domain engine inside.\n\nStart with `./penstock demo`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# What follows the name of these is another program's.
HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

for command in (
    installing.demo,
    installing.up,
    installing.worker,
    installing.publish,
    installing.subtitles,
    database.migrate,
    database.restore,
    installing.seed,
):
    app.command()(command)
app.command(context_settings=HANDED_ON)(checking.test)
app.command()(checking.check)
app.command(context_settings=HANDED_ON)(checking.bench)
app.command("database")(database.figures)
app.add_typer(database.backup, name="backup")
app.add_typer(keys.group, name="keys")
app.add_typer(piles.deadletters, name="deadletters")
app.add_typer(piles.outbox, name="outbox")
app.add_typer(jobs.group, name="jobs")


def main() -> None:
    """The entry of `./penstock`: what an operator can mend is told in a line, anything else keeps its trace."""
    # structlog's own default is stdout, which belongs to the answer: a slow database once spoke there before `demo --json`.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        app(prog_name="penstock")
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """The exit code for `error`, told on stderr; raises it again when it is a mistake of ours."""
    # Only now: these imports cost half a second, and pytest wants to be the first to import what it rewrites.
    from core.database import DatabaseDown
    from core.errors import Refusal
    from core.objects import StoreDown
    from core.variables import SettingsError
    from edge.local.fault import ServiceFault
    from edge.migrate import MigrationError

    if isinstance(error, SettingsError | ServiceFault | MigrationError):
        sys.stderr.write(f"penstock: {error}\n")
        return 2
    if isinstance(error, DatabaseDown | StoreDown | Refusal):
        sys.stderr.write(f"penstock: {error}\nThe logs are in the data folder's logs/.\n")
        return 1
    raise error


if __name__ == "__main__":
    main()
