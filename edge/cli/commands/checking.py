"""The commands for who works on Penstock itself: tests, checks, benchmarks."""

from __future__ import annotations

from typing import Annotated

import typer


def test(
    context: typer.Context,
    long: Annotated[
        bool, typer.Option("--long", help="Also the campaigns: soak, fault storms, full benchmarks.")
    ] = False,
) -> None:
    """Run the tests; what they need from Debian or npm is installed where that is allowed. Further arguments go to pytest."""
    from edge.cli.testing import run_tests

    raise typer.Exit(run_tests(context.args, long=long))


def check(fix: Annotated[bool, typer.Option("--fix", help="Let ruff mend what it can.")] = False) -> None:
    """Run formatter, linters, type checkers and the house rules."""
    from edge.cli.check import run_check

    raise typer.Exit(run_check(fix=fix))


def bench(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which benchmark; without it, the list of them.")
    ] = None,
) -> None:
    """Run a benchmark: figures as ratios against a peer measured in the same run."""
    from edge.cli.benching import run_bench

    raise typer.Exit(run_bench(name, context.args))
