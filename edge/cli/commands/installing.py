"""The commands that run an installation and fill it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.cli.commands.options import Data, Port


def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Videos or music of yours to add to the demo library."),
    ] = None,
    people: Annotated[
        int,
        typer.Option(
            "--people",
            min=0,
            max=5000,
            help="How many seeded people, with courses, posts and orders, are around it; 0: none.",
        ),
    ] = 60,
    lines: Annotated[
        int,
        typer.Option(
            "--lines",
            min=360,
            max=720,
            help="How high the films are drawn that are not there yet: 360 takes a third of the time that 720 takes.",
        ),
    ] = 720,
    port: Port = None,
    data: Data = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when all is ready, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Make a small library of titles and users, and serve it. The first start takes a minute or two, the next seconds."""
    from edge.cli.demo import run_demo

    raise typer.Exit(run_demo(files or [], people=people, lines=lines, port=port, data=data, as_json=json))


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


def worker() -> None:
    """Run one transcoding worker on this machine, against PENSTOCK_DATABASE_URL and PENSTOCK_STORE_URL."""
    from edge.cli.worker import run_worker

    raise typer.Exit(run_worker())


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video or audio file.")],
    title: Annotated[str, typer.Option("--title", "-t", help="What it is called.")],
    content_type: Annotated[
        str, typer.Option("--type", help="MOVIE, EPISODE, MUSIC, LESSON, PODCAST_EPISODE or LIVE_RECORDING.")
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
    subtitles: Annotated[
        list[str] | None,
        typer.Option(
            "--subtitles", metavar="LANG=FILE", help="SubRip, WebVTT or ASS beside it: de=film.de.srt. May be repeated."
        ),
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
            subtitles=subtitles or (),
        )
    )


def subtitles(
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="Its name, or the last digits of its id, six at least.")
    ],
    files: Annotated[
        list[str], typer.Argument(metavar="LANG=FILE...", help="SubRip, WebVTT or ASS: de=film.de.srt en=film.en.srt.")
    ],
    kind: Annotated[
        Literal["subtitles", "captions", "forced"],
        typer.Option("--kind", help="captions: for those who do not hear. forced: what is foreign in the film."),
    ] = "subtitles",
    default: Annotated[bool, typer.Option("--default", help="Players show the first of them unasked.")] = False,
    data: Data = None,
) -> None:
    """Give a title subtitles, in place of those of their kind and language. Nothing is encoded again."""
    from edge.cli.subtitles import run_subtitles

    raise typer.Exit(run_subtitles(title, files, kind=kind, is_default=default, data=data))


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
