"""Community: what people watch together, write, recommend, and ask for help with.

Who is told of what, and the points that come of it, follow from the rows themselves (db/schema/community_effects.sql).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.community import blogs, families, notices
from core.domain.context import EVERY_VERB, Command, Context, Handler, Table, Verb
from core.viewer import Role

# TABLES
_SIGNED_IN: frozenset[Role] = frozenset({"authenticated", "staff", "service_role"})
_ADDED: frozenset[Verb] = frozenset({"read", "insert", "delete"})
_ENTRY = frozenset({"status", "rating", "notes"})
_BLOG = frozenset(
    {
        *("category_id", "course_id", "title", "slug", "content", "excerpt", "cover_image_key"),
        *("seo_title", "seo_description", "reading_time", "is_draft"),
    }
)
_CATEGORY = frozenset({"name", "slug", "description"})
_REVIEW = frozenset({"title", "body", "has_spoilers"})
_COLLECTION = frozenset({"title", "description", "is_public", "family_id"})
_ANNOUNCEMENT = frozenset(
    {
        *("title", "body", "target_role", "target_course_id", "target_user_ids", "scheduled_at", "is_urgent"),
        "attachment_keys",
    }
)
_TEMPLATE = frozenset({"name", "subject", "body", "type", "variables"})
_ID = frozenset({"id"})
TABLES = (
    Table(
        "watchlist_entries",
        EVERY_VERB,
        insertable=_ENTRY | {"id", "media_item_id"},
        updatable=_ENTRY,
        writers=_SIGNED_IN,
    ),
    # A family begins with its first member, by command.
    Table("families", frozenset({"read", "update", "delete"}), updatable=frozenset({"name"}), writers=_SIGNED_IN),
    Table("family_memberships"),
    Table("family_invitations", frozenset({"read", "delete"}), hidden=frozenset({"token_digest"}), writers=_SIGNED_IN),
    Table(
        "recommendations",
        frozenset({"read", "insert", "update"}),
        insertable=frozenset({"id", "media_item_id", "recommended_to", "message"}),
        updatable=frozenset({"status"}),
        writers=_SIGNED_IN,
    ),
    Table(
        "media_reviews", EVERY_VERB, insertable=_REVIEW | {"id", "media_item_id"}, updatable=_REVIEW, writers=_SIGNED_IN
    ),
    Table("collections", EVERY_VERB, insertable=_COLLECTION | _ID, updatable=_COLLECTION, writers=_SIGNED_IN),
    Table(
        "collection_items",
        EVERY_VERB,
        insertable=frozenset({"id", "collection_id", "media_item_id", "position"}),
        updatable=frozenset({"position"}),
        writers=_SIGNED_IN,
    ),
    Table("blog_categories", EVERY_VERB, insertable=_CATEGORY | _ID, updatable=_CATEGORY),
    # Whether a blog is shown, and first, is decided by command; what it cost and earned by nobody.
    Table(
        "blogs", EVERY_VERB, hidden=frozenset({"search"}), insertable=_BLOG | _ID, updatable=_BLOG, writers=_SIGNED_IN
    ),
    Table("blog_tags", _ADDED, insertable=frozenset({"id", "blog_id", "name", "slug"}), writers=_SIGNED_IN),
    Table(
        "blog_comments",
        EVERY_VERB,
        insertable=frozenset({"id", "blog_id", "parent_id", "content"}),
        updatable=frozenset({"content"}),
        writers=_SIGNED_IN,
    ),
    Table("blog_comment_upvotes", _ADDED, insertable=frozenset({"id", "comment_id"}), writers=_SIGNED_IN),
    Table(
        "blog_reactions",
        EVERY_VERB,
        insertable=frozenset({"id", "blog_id", "type"}),
        updatable=frozenset({"type"}),
        writers=_SIGNED_IN,
    ),
    Table("point_entries"),
    Table(
        "notifications",
        frozenset({"read", "update", "delete"}),
        updatable=frozenset({"is_read"}),
        writers=_SIGNED_IN,
    ),
    Table("notification_templates", EVERY_VERB, insertable=_TEMPLATE | _ID, updatable=_TEMPLATE),
    Table("announcements", EVERY_VERB, insertable=_ANNOUNCEMENT | _ID, updatable=_ANNOUNCEMENT, writers=_SIGNED_IN),
    Table("announcement_reads"),
    Table(
        "help_requests",
        frozenset({"read", "insert"}),
        insertable=frozenset({"id", "subject", "message", "user_type"}),
        writers=_SIGNED_IN,
    ),
    Table("help_request_messages"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "family_invitations": {
            "pending": frozenset({"accepted", "declined"}),
            "accepted": frozenset(),
            "declined": frozenset(),
        },
        "recommendations": {
            "pending": frozenset({"accepted", "rejected"}),
            "accepted": frozenset(),
            "rejected": frozenset(),
        },
        "blogs": {
            "Pending": frozenset({"Approved", "Rejected"}),
            "Approved": frozenset({"Published"}),
            "Rejected": frozenset({"Pending"}),
            "Published": frozenset({"Approved"}),
        },
        "announcements": {
            "Draft": frozenset({"Scheduled", "Published"}),
            "Scheduled": frozenset({"Published", "Draft"}),
            "Published": frozenset({"Expired"}),
            "Expired": frozenset(),
        },
        "help_requests": {
            "Pending": frozenset({"InProgress", "Resolved", "Closed"}),
            "InProgress": frozenset({"Resolved", "Closed"}),
            "Resolved": frozenset({"Closed"}),
            "Closed": frozenset(),
        },
    }
)

# RULES
# Each beside what it decides: families.py, blogs.py, notices.py.

# COMMANDS
COMMANDS: Mapping[str, Command] = MappingProxyType({**families.COMMANDS, **blogs.COMMANDS, **notices.COMMANDS})

# HANDLERS
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {**families.HANDLERS, **blogs.HANDLERS, **notices.HANDLERS}
)

CONTEXT = Context("community", TABLES, STATES, COMMANDS, HANDLERS)
