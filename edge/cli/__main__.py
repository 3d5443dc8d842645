"""The commands and their options."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.cli import database
from edge.cli.options import Data

app = typer.Typer(
    name="penstock",
    help="A self-hosted media streaming edge with its domain engine inside.\n\nStart with `./penstock demo`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="The port to listen on; 0 picks a free one (default: 8080, or PENSTOCK_LISTEN).",
    ),
]


@app.command()
def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Videos or music of yours to add to the demo library."),
    ] = None,
    port: Port = None,
    data: Data = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when all is ready, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Make a small library of titles and users, and serve it. The first start takes a minute or two, the next seconds."""
    from edge.cli.demo import run_demo

    raise typer.Exit(run_demo(files or [], port=port, data=data, as_json=json))


@app.command()
def up(
    port: Port = None,
    data: Data = None,
    edges: Annotated[
        int | None,
        typer.Option("--edges", min=1, max=64, help="Web processes (default: one per core, or PENSTOCK_WORKERS)."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, max=64, help="Transcoding workers on this machine.")] = 1,
) -> None:
    """Run Penstock: web processes, a drain, a deliverer and transcoding workers, with embedded PostgreSQL and Valkey unless told otherwise."""
    from edge.cli.up import run_up

    raise typer.Exit(run_up(port=port, data=data, edges=edges, workers=workers))


@app.command()
def worker() -> None:
    """Run one transcoding worker on this machine, against PENSTOCK_DATABASE_URL and PENSTOCK_STORE_URL."""
    from edge.cli.worker import run_worker

    raise typer.Exit(run_worker())


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video or audio file.")],
    title: Annotated[str, typer.Option("--title", "-t", help="What it is called.")],
    content_type: Annotated[
        str, typer.Option("--type", help="MOVIE, SERIES, EPISODE, MUSIC, LESSON, PODCAST_EPISODE or LIVE_RECORDING.")
    ] = "MOVIE",
    description: Annotated[str | None, typer.Option("--description", help="A sentence about it.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Everyone may watch it.")] = False,
    quality: Annotated[
        str | None, typer.Option("--quality", help="fast: the fixed ladder. auto: chosen by measuring the title.")
    ] = None,
    codecs: Annotated[str | None, typer.Option("--codecs", help="h264 and, beside it, hevc or av1: h264,av1.")] = None,
    encrypt: Annotated[
        bool | None, typer.Option("--encrypt/--no-encrypt", help="Encrypt the segments (AES-128).")
    ] = None,
    data: Data = None,
) -> None:
    """Transcode FILE and publish it. Works beside a running `./penstock up`, and without one."""
    from core.domain.media_encoding import Encoding, read_codecs
    from edge.cli.publish import run_publish

    encoding = Encoding(None if codecs is None else read_codecs(codecs), quality, encrypt)
    raise typer.Exit(
        run_publish(
            file,
            title=title,
            content_type=content_type,
            description=description,
            free=free,
            data=data,
            encoding=encoding,
        )
    )


app.command()(database.migrate)


@app.command()
def seed(
    users: Annotated[int, typer.Option("--users", min=10, max=5000, help="How many people.")] = 1000,
    number: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same number gives the same rows.")
    ] = 1,
    password: Annotated[str, typer.Option("--password", help="The password of every person in it.")] = "penstock-demo",  # noqa: S107 - printed on the screen of whoever seeds
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="Also where there are users or titles already.")
    ] = False,
    data: Data = None,
) -> None:
    """Fill an empty installation with people, titles, courses, podcasts and what they did. Titles come without media."""
    from edge.cli.seed import run_seed

    raise typer.Exit(run_seed(users=users, number=number, password=password, into_existing=into_existing, data=data))


keys = typer.Typer(
    help="Show the keys that sign this installation's tokens, or rotate them: `add`, `sign`, `retire`.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
app.add_typer(keys, name="keys")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `penstock keys` lists it.")]


@keys.callback()
def keys_list(context: typer.Context, data: Data = None) -> None:
    """Show the keys that sign this installation's tokens, or rotate them: `add`, `sign`, `retire`."""
    from edge.cli.keys import run_list

    if context.invoked_subcommand is None:
        raise typer.Exit(run_list(data=data))
    if data is not None:  # `keys --data DIR add` means what `keys add --data DIR` does
        os.environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())


@keys.command("add")
def keys_add(
    key_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its id; one is chosen otherwise.")] = None,
    data: Data = None,
) -> None:
    """Add a key that verifies and does not sign yet."""
    from edge.cli.keys import run_add

    raise typer.Exit(run_add(key_id, data=data))


@keys.command("sign")
def keys_sign(key_id: KeyId, data: Data = None) -> None:
    """Let this key sign from now on."""
    from edge.cli.keys import run_sign

    raise typer.Exit(run_sign(key_id, data=data))


@keys.command("retire")
def keys_retire(
    key_id: KeyId,
    now: Annotated[bool, typer.Option("--now", help="Also while tokens that it signed are alive.")] = False,
    data: Data = None,
) -> None:
    """Forget a key: what it signed is refused."""
    from edge.cli.keys import run_retire

    raise typer.Exit(run_retire(key_id, at_once=now, data=data))


app.add_typer(database.backup, name="backup")
app.command()(database.restore)

deadletters = typer.Typer(
    help="Heartbeats that could not be written: list them, or `show`, `replay`, `drop`.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
app.add_typer(deadletters, name="deadletters")
Letters = Annotated[list[str] | None, typer.Argument(metavar="[LETTER]...", help="As `penstock deadletters` lists.")]
Every = Annotated[bool, typer.Option("--all", help="All of them.")]


@deadletters.callback()
def deadletters_list(
    context: typer.Context,
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
) -> None:
    """Heartbeats that could not be written: list them, or `show`, `replay`, `drop`."""
    from edge.cli.deadletters import run_list

    if context.invoked_subcommand is None:
        raise typer.Exit(run_list(data=data, as_json=json))
    if data is not None:
        os.environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())


@deadletters.command("show")
def deadletters_show(letter: Annotated[str, typer.Argument(metavar="LETTER")], data: Data = None) -> None:
    """Show one with the beats in it, as JSON."""
    from edge.cli.deadletters import run_show

    raise typer.Exit(run_show(letter, data=data))


@deadletters.command("replay")
def deadletters_replay(letters: Letters = None, every: Every = False, data: Data = None) -> None:
    """Put them back into the stream, when what stood in their way is mended. No beat counts twice."""
    from edge.cli.deadletters import run_replay

    raise typer.Exit(run_replay(letters or [], every=every, data=data))


@deadletters.command("drop")
def deadletters_drop(letters: Letters = None, every: Every = False, data: Data = None) -> None:
    """Delete them: their beats are lost."""
    from edge.cli.deadletters import run_drop

    raise typer.Exit(run_drop(letters or [], every=every, data=data))


outbox = typer.Typer(
    help="Effects (mail, webhooks) that have not left yet: list them, or `show`, `retry`, `drop`.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
app.add_typer(outbox, name="outbox")
Effects = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="As `penstock outbox` lists.")]
GivenUp = Annotated[bool, typer.Option("--all", help="All that were given up.")]


@outbox.callback()
def outbox_list(
    context: typer.Context,
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
) -> None:
    """Effects (mail, webhooks) that have not left yet: list them, or `show`, `retry`, `drop`."""
    from edge.cli.outbox import run_list

    if context.invoked_subcommand is None:
        raise typer.Exit(run_list(data=data, as_json=json))
    if data is not None:
        os.environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())


@outbox.command("show")
def outbox_show(name: Annotated[str, typer.Argument(metavar="NAME")], data: Data = None) -> None:
    """Show one as JSON, without what a message is filled with."""
    from edge.cli.outbox import run_show

    raise typer.Exit(run_show(name, data=data))


@outbox.command("retry")
def outbox_retry(names: Effects = None, every: GivenUp = False, data: Data = None) -> None:
    """Try them again at once, when what stood in their way is mended."""
    from edge.cli.outbox import run_each

    raise typer.Exit(run_each("retry", names or [], every=every, data=data))


@outbox.command("drop")
def outbox_drop(names: Effects = None, every: GivenUp = False, data: Data = None) -> None:
    """Delete them: they are never delivered."""
    from edge.cli.outbox import run_each

    raise typer.Exit(run_each("drop", names or [], every=every, data=data))


jobs = typer.Typer(
    help="Show what is being encoded: `show`, `log`, `cancel`, `retry` one job, or `figures` for a monitor.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
app.add_typer(jobs, name="jobs")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The last digits of the job's id, six at least.")]


@jobs.callback()
def jobs_list(
    context: typer.Context,
    data: Data = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until interrupted.")] = False,
) -> None:
    """Show what is being encoded: `show`, `log`, `cancel`, `retry` one job, or `figures` for a monitor."""
    from edge.cli.jobs import run_list

    if context.invoked_subcommand is None:
        raise typer.Exit(run_list(data=data, watch=watch))
    if data is not None:  # `jobs --data DIR show` means what `jobs show --data DIR` does
        os.environ["PENSTOCK_DATA"] = str(data.expanduser().absolute())


@jobs.command("show")
def jobs_show(job: JobId, data: Data = None) -> None:
    """Show every piece of a job: its state, its worker, its tries."""
    from edge.cli.jobs import run_show

    raise typer.Exit(run_show(job, data=data))


@jobs.command("log")
def jobs_log(job: JobId, data: Data = None) -> None:
    """Show why a job failed, in the encoder's own words."""
    from edge.cli.jobs import run_log

    raise typer.Exit(run_log(job, data=data))


@jobs.command("cancel")
def jobs_cancel(job: JobId, data: Data = None) -> None:
    """Stop a job; its workers notice within a second or two."""
    from edge.cli.jobs import run_cancel

    raise typer.Exit(run_cancel(job, data=data))


@jobs.command("retry")
def jobs_retry(job: JobId, data: Data = None) -> None:
    """Begin a failed or cancelled job anew."""
    from edge.cli.jobs import run_retry

    raise typer.Exit(run_retry(job, data=data))


@jobs.command("figures")
def jobs_figures(data: Data = None) -> None:
    """Print the queue's figures as Prometheus text."""
    from edge.cli.jobs import run_figures

    raise typer.Exit(run_figures(data=data))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    long: Annotated[
        bool, typer.Option("--long", help="Also the campaigns: soak, fault storms, full benchmarks.")
    ] = False,
) -> None:
    """Run the tests; what they need from Debian or npm is installed where that is allowed. Further arguments go to pytest."""
    from edge.cli.testing import run_tests

    raise typer.Exit(run_tests(context.args, long=long))


@app.command()
def check(fix: Annotated[bool, typer.Option("--fix", help="Let ruff mend what it can.")] = False) -> None:
    """Run formatter, linters, type checkers and the house rules."""
    from edge.cli.check import run_check

    raise typer.Exit(run_check(fix=fix))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which benchmark; without it, the list of them.")
    ] = None,
) -> None:
    """Run a benchmark: figures as ratios against a peer measured in the same run."""
    from edge.cli.benching import run_bench

    raise typer.Exit(run_bench(name, context.args))


def main() -> None:
    """The entry of `./penstock`: what an operator can mend is told in a line, anything else keeps its trace."""
    try:
        app()
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """The exit code for `error`, told on stderr; raises it again when it is a mistake of ours."""
    # Only now: these imports cost half a second, and pytest wants to be the first to import what it rewrites.
    from core.database import DatabaseDown
    from core.errors import Refusal
    from core.migrate import MigrationError
    from core.objects import StoreDown
    from core.settings import SettingsError
    from edge.local.fault import ServiceFault

    if isinstance(error, SettingsError | ServiceFault | MigrationError):
        sys.stderr.write(f"penstock: {error}\n")
        return 2
    if isinstance(error, DatabaseDown | StoreDown | Refusal):
        sys.stderr.write(f"penstock: {error}\nThe logs are in the data folder's logs/.\n")
        return 1
    raise error


if __name__ == "__main__":
    main()
