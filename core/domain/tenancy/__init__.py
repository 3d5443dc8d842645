"""Tenancy: workspaces side by side, who belongs to them, and what those may do there.

Knows no accounts: whoever has one may be asked into any number of workspaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.context import EVERY_VERB, Command, Context, Handler, Table, Verb
from core.domain.tenancy import access, invitations, members
from core.domain.tenancy.members import IN_CHARGE, find_role, find_tenant

__all__ = ["CONTEXT", "IN_CHARGE", "find_role", "find_tenant"]

# TABLES
_ADDED: frozenset[Verb] = frozenset({"read", "insert", "delete"})
_SET: frozenset[Verb] = frozenset({"read", "insert", "update"})
_FACE = frozenset({"brand_name", "logo_url", "primary_color", "custom_domain"})
_ROLE = frozenset({"name", "description"})
_OWNED = frozenset({"resource_type", "resource_id", "owner_id"})
TABLES = (
    Table("tenants"),
    Table("memberships"),
    Table("invitations", hidden=frozenset({"token_digest"})),
    Table("tenant_settings", _SET, insertable=frozenset({"settings"}), updatable=frozenset({"settings"})),
    Table("tenant_quotas"),
    Table("white_label_settings", _SET, insertable=_FACE, updatable=_FACE),
    Table("roles", EVERY_VERB, insertable=_ROLE | {"id"}, updatable=_ROLE),
    Table("permissions"),
    Table("user_roles", _ADDED, insertable=frozenset({"user_id", "role_id"})),
    Table("role_permissions", _ADDED, insertable=frozenset({"role_id", "permission_id"})),
    Table("resource_ownership", EVERY_VERB, insertable=_OWNED | {"id"}, updatable=frozenset({"owner_id"})),
    # What a policy says is checked by a command; whether it counts is a switch.
    Table(
        "access_control_policies",
        frozenset({"read", "update", "delete"}),
        updatable=frozenset({"enabled", "description"}),
    ),
    Table("access_logs"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "invitations": {
            "Pending": frozenset({"Accepted", "Expired", "Revoked"}),
            "Accepted": frozenset(),
            "Expired": frozenset(),
            "Revoked": frozenset(),
        }
    }
)

# RULES
# Each beside what it decides: members.py, invitations.py, access.py.

# COMMANDS
COMMANDS: Mapping[str, Command] = MappingProxyType({**members.COMMANDS, **invitations.COMMANDS, **access.COMMANDS})

# HANDLERS
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {**members.HANDLERS, **invitations.HANDLERS, **access.HANDLERS}
)

CONTEXT = Context("tenancy", TABLES, STATES, COMMANDS, HANDLERS)
