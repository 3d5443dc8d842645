"""What a context module consists of: five literal sections, in this order.

TABLES    the tables it owns and what of them the engine serves
STATES    transition tables of its state machines, as the schema enforces them
RULES     pure `check_*` functions: a Refusal or None
COMMANDS  frozen request records by command name
HANDLERS  command type -> function
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.viewer import Role

Verb = Literal["read", "insert", "update", "delete"]
READ_ONLY: frozenset[Verb] = frozenset({"read"})
EVERY_VERB: frozenset[Verb] = frozenset({"read", "insert", "update", "delete"})
STAFF: frozenset[Role] = frozenset({"staff", "service_role"})


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


@dataclass(frozen=True, slots=True)
class Context:
    """One context, as the engine sees it."""

    name: str
    tables: tuple[Table, ...]
    states: Mapping[str, Mapping[str, frozenset[str]]]
