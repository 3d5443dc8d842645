"""What a context module consists of: five literal sections, in this order.

TABLES    the tables it owns and what of them the engine serves
STATES    transition tables of its state machines, as the schema enforces them
RULES     pure `check_*` functions: a Refusal or None
COMMANDS  by name: the record that asks for it (`Asked`), and who may
HANDLERS  record -> `do_*`, which checks and writes in the transaction it is given
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from core.database import Tx
from core.errors import Refusal
from core.viewer import Role, Viewer

Verb = Literal["read", "insert", "update", "delete"]
READ_ONLY: frozenset[Verb] = frozenset({"read"})
EVERY_VERB: frozenset[Verb] = frozenset({"read", "insert", "update", "delete"})
STAFF: frozenset[Role] = frozenset({"staff", "service_role"})
PEOPLE: frozenset[Role] = frozenset({"authenticated", "staff"})
"""Whoever is signed in."""
ANYONE: frozenset[Role] = frozenset({"anon", "authenticated", "staff", "service_role"})

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time that says its zone."""


@dataclass(frozen=True, slots=True)
class Table:
    """One served table. Rows are decided by row-level security; this limits columns and verbs.

    Closed unless opened: nothing is written without a verb, a role among the writers and the column named.
    """

    name: str
    verbs: frozenset[Verb] = READ_ONLY
    hidden: frozenset[str] = frozenset()
    """Columns that never leave the database through the engine."""
    insertable: frozenset[str] = frozenset()
    """Columns that a new row may be given; the others take their defaults."""
    updatable: frozenset[str] = frozenset()
    writers: frozenset[Role] = STAFF


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody asks of a command, or a part of it: a field that it does not know is refused, never passed over."""


Subjects = Mapping[str, Collection[str]]
"""What a scope may be about: the verbs of each table that is served, and under `rpc` the commands."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked by `POST /rest/v1/rpc/{name}`; its docstring and fields are the documentation."""

    request: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    roles: frozenset[Role] = STAFF
    is_read: bool = False
    """It changes nothing: GET asks for it as well, and no idempotency key is kept."""
    shows_secret: bool = False
    """Its answer holds what is shown once: it is not kept under an idempotency key, and sent again it is refused."""
    check: Callable[[Any, Subjects], Refusal | None] | None = None
    """Of one that speaks of what is served: whether all that it names is there."""


Handler = Callable[[Tx, Viewer, Any, datetime], Awaitable[msgspec.Struct]]


@dataclass(frozen=True, slots=True)
class Context:
    """One context, as the engine sees it."""

    name: str
    tables: tuple[Table, ...]
    states: Mapping[str, Mapping[str, frozenset[str]]]
    commands: Mapping[str, Command] = field(default_factory=dict)
    handlers: Mapping[type[msgspec.Struct], Handler] = field(default_factory=dict)
