"""`penstock keys ...`"""

from __future__ import annotations

from typing import Annotated

import typer

from edge.cli.commands.options import Data, is_for_a_command, new_group

group = new_group("Show the keys that sign this installation's tokens, or rotate them: `add`, `sign`, `retire`.")
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `penstock keys` lists it.")]


@group.callback()
def keys_list(context: typer.Context, data: Data = None) -> None:
    """Show the keys that sign this installation's tokens, or rotate them: `add`, `sign`, `retire`."""
    from edge.cli.keys import run_list

    if not is_for_a_command(context, data):
        raise typer.Exit(run_list(data=data))


@group.command("add")
def keys_add(
    key_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Its id; one is chosen otherwise.")] = None,
    data: Data = None,
) -> None:
    """Add a key that verifies and does not sign yet."""
    from edge.cli.keys import run_add

    raise typer.Exit(run_add(key_id, data=data))


@group.command("sign")
def keys_sign(key_id: KeyId, data: Data = None) -> None:
    """Let this key sign from now on."""
    from edge.cli.keys import run_sign

    raise typer.Exit(run_sign(key_id, data=data))


@group.command("retire")
def keys_retire(
    key_id: KeyId,
    now: Annotated[bool, typer.Option("--now", help="Also while tokens that it signed are alive.")] = False,
    data: Data = None,
) -> None:
    """Forget a key: what it signed is refused."""
    from edge.cli.keys import run_retire

    raise typer.Exit(run_retire(key_id, at_once=now, data=data))
