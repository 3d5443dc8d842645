"""The catalogue: what can be played, how it is shelved, what it costs. Knows nothing of encoding or entitlement."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from core.domain.context import EVERY_VERB, Context, Table

# TABLES

# Whether a content is published, and which generation it plays, change by commands and by the transcoder only.
_CONTENT = frozenset(
    {
        *("title", "description", "thumbnail_image_id", "language", "release_date"),
        *("is_free", "is_preview", "is_available"),
    }
)
_CATEGORY = frozenset({"parent_id", "title", "description", "slug", "icon_url"})
_GENRE = frozenset({"title", "description", "slug"})
_PLAYLIST = frozenset({"title", "description", "thumbnail_image_id", "is_series"})
_EPISODE = frozenset({"episode_order", "season_number", "episode_number", "title"})
_ID = frozenset({"id"})
TABLES = (
    Table("contents", EVERY_VERB, insertable=_CONTENT | _ID | {"content_type"}, updatable=_CONTENT),
    Table("categories", EVERY_VERB, insertable=_CATEGORY | _ID, updatable=_CATEGORY),
    Table("genres", EVERY_VERB, insertable=_GENRE | _ID, updatable=_GENRE),
    Table(
        "content_categories",
        frozenset({"read", "insert", "delete"}),
        insertable=frozenset({"id", "content_id", "category_id"}),
    ),
    Table(
        "content_genres",
        frozenset({"read", "insert", "delete"}),
        insertable=frozenset({"id", "content_id", "genre_id"}),
    ),
    # A price that was asked is history: it may be ended, never rewritten.
    Table("content_prices", frozenset({"read", "update"}), updatable=frozenset({"effective_to"})),
    Table("playlists", EVERY_VERB, insertable=_PLAYLIST | _ID, updatable=_PLAYLIST),
    Table(
        "playlist_episodes",
        EVERY_VERB,
        insertable=_EPISODE | {"id", "playlist_id", "content_id"},
        updatable=_EPISODE,
    ),
    Table("playlist_prices", frozenset({"read", "update"}), updatable=frozenset({"effective_to"})),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})

# RULES

# COMMANDS
COMMANDS: Mapping[str, type] = MappingProxyType({})

# HANDLERS
HANDLERS: Mapping[type, object] = MappingProxyType({})

CONTEXT = Context("catalog", TABLES, STATES)
