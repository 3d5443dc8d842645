"""The catalogue: what can be played, how it is shelved, what it costs. Knows nothing of encoding or entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from core.domain.context import Context, Table

# TABLES
TABLES = (
    Table("contents"),
    Table("categories"),
    Table("genres"),
    Table("content_categories"),
    Table("content_genres"),
    Table("content_prices"),
    Table("playlists"),
    Table("playlist_episodes"),
    Table("playlist_prices"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})

# RULES

# COMMANDS
COMMANDS: Mapping[str, type] = MappingProxyType({})

# HANDLERS
HANDLERS: Mapping[type, object] = MappingProxyType({})

CONTEXT = Context("catalog", TABLES, STATES)
