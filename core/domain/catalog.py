"""The catalogue: what can be played, how it is shelved, what it costs. Knows nothing of encoding or entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from core.domain.context import Context, Table

# TABLES
# `search` is for text search alone; what hangs on a content carries its tenant and its visibility for the policies.
_KEPT_FOR_POLICIES = frozenset({"tenant_id", "is_public"})
TABLES = (
    Table("contents", hidden=frozenset({"search"})),
    Table("categories"),
    Table("genres"),
    Table("content_categories", hidden=_KEPT_FOR_POLICIES),
    Table("content_genres", hidden=_KEPT_FOR_POLICIES),
    Table("content_prices", hidden=_KEPT_FOR_POLICIES),
    Table("playlists"),
    Table("playlist_episodes", hidden=_KEPT_FOR_POLICIES),
    Table("playlist_prices", hidden=frozenset({"tenant_id"})),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})

# RULES

# COMMANDS
COMMANDS: Mapping[str, type] = MappingProxyType({})

# HANDLERS
HANDLERS: Mapping[type, object] = MappingProxyType({})

CONTEXT = Context("catalog", TABLES, STATES)
