"""What every command asks for: a closed record, said in words. From outside comes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from core.domain.context import Command
from core.domain.registry import CONTEXTS

OTHERS = {"TmdbDocument", "TmdbName", "TmdbCredits", "TmdbCrew"}
"""What another service writes has fields of its own, which are not looked at."""
COMMANDS = {name: command for context in CONTEXTS for name, command in context.commands.items()}


def records(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Every record in a type: itself, what it is a list or a union of, and what its fields are."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from records(hint)
    for part in get_args(kind):
        yield from records(part)


def is_closed(kind: type[msgspec.Struct]) -> bool:
    """It takes no field that it does not know, and nothing changes it afterwards."""
    return kind.__struct_config__.frozen and kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_request_takes_no_field_that_it_does_not_know_and_says_what_it_is(command: Command) -> None:
    assert {kind.__name__ for kind in records(command.request) if not is_closed(kind)} - OTHERS == set()
    assert (command.request.__doc__ or "").rstrip().endswith(".")
    assert command.request.__doc__ != command.request.__base__.__doc__


def test_an_open_record_within_another_is_found() -> None:
    class Part(msgspec.Struct, frozen=True):
        """Open."""

    class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """Closed, but for what is in it."""

        parts: list[Part | None]

    # A hint is looked up by name, and these have none outside.
    Whole.__annotations__["parts"] = list[Part | None]
    assert [kind.__name__ for kind in records(Whole) if not is_closed(kind)] == ["Part"]
