"""`penstock jobs ...`"""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli.commands.options import Data, is_for_a_command, new_group

group = new_group("Show what is being encoded: `show`, `log`, `cancel`, `retry` one job, or `figures` for a monitor.")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The last digits of the job's id, six at least.")]


@group.callback()
def jobs_list(
    context: typer.Context,
    data: Data = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until interrupted.")] = False,
) -> None:
    """Show what is being encoded: `show`, `log`, `cancel`, `retry` one job, or `figures` for a monitor."""
    from edge.cli.jobs import run_list

    if not is_for_a_command(context, data):
        raise typer.Exit(run_list(data=data, watch=watch))


@group.command("show")
def jobs_show(job: JobId, data: Data = None) -> None:
    """Show every piece of a job: its state, its worker, its tries."""
    from edge.cli.jobs import run_show

    raise typer.Exit(run_show(job, data=data))


@group.command("log")
def jobs_log(job: JobId, data: Data = None) -> None:
    """Show why a job failed, in the encoder's own words."""
    from edge.cli.jobs import run_log

    raise typer.Exit(run_log(job, data=data))


@group.command("cancel")
def jobs_cancel(job: JobId, data: Data = None) -> None:
    """Stop a job; its workers notice within a second or two."""
    from edge.cli.jobs import run_cancel

    raise typer.Exit(run_cancel(job, data=data))


@group.command("retry")
def jobs_retry(job: JobId, data: Data = None) -> None:
    """Begin a failed or cancelled job anew."""
    from edge.cli.jobs import run_retry

    raise typer.Exit(run_retry(job, data=data))


@group.command("figures")
def jobs_figures(data: Data = None) -> None:
    """Print the queue's figures as Prometheus text."""
    from edge.cli.jobs import run_figures

    raise typer.Exit(run_figures(data=data))
