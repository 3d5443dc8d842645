"""The platform: what is connected to an installation, what it remembers of itself, and what its operator runs.

Each facet is a module of this folder with the sections of a context; here they are joined. Knows no other context.
"""

from __future__ import annotations

from core.domain.context import Context
from core.domain.platform import experiments, integrations, onboarding, operations, searches, webhooks

_FACETS = (webhooks, integrations, onboarding, operations, searches, experiments)

CONTEXT = Context(
    "platform",
    tuple(table for facet in _FACETS for table in facet.TABLES),
    experiments.STATES,
    {name: command for facet in _FACETS for name, command in facet.COMMANDS.items()},
    {request: handler for facet in _FACETS for request, handler in facet.HANDLERS.items()},
)
