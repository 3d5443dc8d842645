"""Learning: courses and what is in them, who takes them, what they did and have for it. Knows nothing of payment or playing.

Its parts, each with its rules, commands and handlers: `courses`, `parts` (chapters and lessons), `outline`, `enrollments`, `lessons` (a
student at one), `questions`, `attempts` with `scoring`, `assignments`, `certificates`, `live`, `proctoring`, `support`, `teachers`. What
follows from a completed lesson is in db/schema/learning_completion.sql, so that heartbeats and commands lead to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.context import Command, Context, Handler
from core.domain.learning import (
    assignments,
    attempts,
    certificates,
    courses,
    enrollments,
    lessons,
    live,
    outline,
    parts,
    proctoring,
    questions,
    support,
    teachers,
)
from core.domain.learning.states import STATES
from core.domain.learning.tables import TABLES

COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        **courses.COMMANDS,
        **parts.COMMANDS,
        **outline.COMMANDS,
        **enrollments.COMMANDS,
        **lessons.COMMANDS,
        **questions.COMMANDS,
        **attempts.COMMANDS,
        **assignments.COMMANDS,
        **certificates.COMMANDS,
        **live.COMMANDS,
        **proctoring.COMMANDS,
        **support.COMMANDS,
        **teachers.COMMANDS,
    }
)
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        **courses.HANDLERS,
        **parts.HANDLERS,
        **outline.HANDLERS,
        **enrollments.HANDLERS,
        **lessons.HANDLERS,
        **questions.HANDLERS,
        **attempts.HANDLERS,
        **assignments.HANDLERS,
        **certificates.HANDLERS,
        **live.HANDLERS,
        **proctoring.HANDLERS,
        **support.HANDLERS,
        **teachers.HANDLERS,
    }
)

CONTEXT = Context("learning", TABLES, STATES, COMMANDS, HANDLERS)
