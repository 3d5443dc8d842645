"""Commerce: orders, what is in them, and the library that a paid order fills. Knows nothing of playing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from core.domain.context import Context, Table

# TABLES
TABLES = (
    Table("orders"),
    Table("order_items", hidden=frozenset({"tenant_id"})),
    Table("user_library"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "orders": {
            "PENDING": frozenset({"PAID", "FAILED"}),
            "PAID": frozenset({"REFUNDED"}),
            "FAILED": frozenset(),
            "REFUNDED": frozenset(),
        }
    }
)

# RULES

# COMMANDS
COMMANDS: Mapping[str, type] = MappingProxyType({})

# HANDLERS
HANDLERS: Mapping[type, object] = MappingProxyType({})

CONTEXT = Context("commerce", TABLES, STATES)
