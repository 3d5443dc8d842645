"""`penstock deadletters ...` and `penstock outbox ...`: the same commands over what waits for a person."""

# Typer reads these annotations where they stand: they name what `group_over` was given.

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.commands.options import Data, is_for_a_command, new_group

if TYPE_CHECKING:
    from edge.cli.pile import Kind, Verb


@dataclass(frozen=True, slots=True)
class Words:
    """How a group is described; `again` is the command that tries again."""

    help: str
    metavar: str
    listed_by: str
    every: str
    show: str
    again: str
    again_help: str
    drop: str


def group_over(words: Words, kind: "Callable[[], Kind]") -> typer.Typer:
    """The commands over one kind of pile, which `kind` imports."""
    group = new_group(words.help)

    @group.callback(help=words.help)
    def list_all(
        context: typer.Context,
        data: Data = None,
        json: Annotated[bool, typer.Option("--json", help="One line of JSON for each.")] = False,
    ) -> None:
        from edge.cli.pile import run_list

        if not is_for_a_command(context, data):
            raise typer.Exit(run_list(kind(), data=data, as_json=json))

    @group.command("show", help=words.show)
    def show(name: Annotated[str, typer.Argument(metavar=words.metavar)], data: Data = None) -> None:
        from edge.cli.pile import run_show

        raise typer.Exit(run_show(kind(), name, data=data))

    def act_on(verb: "Verb") -> Callable[..., None]:
        def act(
            names: Annotated[
                list[str] | None, typer.Argument(metavar=f"[{words.metavar}]...", help=words.listed_by)
            ] = None,
            every: Annotated[bool, typer.Option("--all", help=words.every)] = False,
            data: Data = None,
        ) -> None:
            from edge.cli.pile import run_each

            raise typer.Exit(run_each(kind(), verb, names or [], every=every, data=data))

        return act

    group.command(words.again, help=words.again_help)(act_on("again"))
    group.command("drop", help=words.drop)(act_on("drop"))
    return group


def _dead_letters() -> "Kind":
    from edge.cli.deadletters import DEAD_LETTERS

    return DEAD_LETTERS


def _undelivered() -> "Kind":
    from edge.cli.outbox import UNDELIVERED

    return UNDELIVERED


deadletters = group_over(
    Words(
        help="Heartbeats that could not be written: list them, or `show`, `replay`, `drop`.",
        metavar="LETTER",
        listed_by="As `penstock deadletters` lists.",
        every="All of them.",
        show="Show one with the beats in it, as JSON.",
        again="replay",
        again_help="Put them back into the stream, when what stood in their way is mended. No beat counts twice.",
        drop="Delete them: their beats are lost.",
    ),
    _dead_letters,
)
outbox = group_over(
    Words(
        help="Effects (mail, webhooks) that have not left yet: list them, or `show`, `retry`, `drop`.",
        metavar="NAME",
        listed_by="As `penstock outbox` lists.",
        every="All that were given up.",
        show="Show one as JSON, without what a message is filled with.",
        again="retry",
        again_help="Try them again at once, when what stood in their way is mended.",
        drop="Delete them: they are never delivered.",
    ),
    _undelivered,
)
