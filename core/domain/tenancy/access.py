"""Who may do what in a workspace: by membership, by the roles given there, by ownership, and by its policies.

Decides purely, from facts that one statement reads. A policy that forbids is stronger than anything that allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service
from core.domain.context import Asked, Command, Handler
from core.errors import DENIED_BY_POLICY, FORBIDDEN, Refusal
from core.queries import load
from core.viewer import Role, Viewer

_SQL = load("core.domain.tenancy", "access.sql")

_PEOPLE: frozenset[Role] = frozenset({"authenticated", "staff", "service_role"})
Word = Annotated[str, msgspec.Meta(pattern=r"^(\*|[a-z][a-z0-9_]{0,62})$")]
TenantRole = Literal["Member", "Admin", "SuperAdmin"]


class PolicyDefinition(Asked, frozen=True):
    """What a policy forbids or allows, to whom. `*` is every one; no `roles` and no `user_ids` mean everybody."""

    effect: Literal["deny", "allow"]
    resource_type: Word
    action: Word
    roles: tuple[TenantRole, ...] = ()
    user_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of whoever asks: in this workspace, and of the resource."""

    user_id: UUID | None
    is_staff: bool
    tenant_role: str | None
    has_permission: bool
    is_owner: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether, and by what: `staff`, `permission`, `owner`, `policy`, or for a no `no_permission`, `policy`."""

    allowed: bool
    reason: str


# RULES


def decide_access(facts: Facts, resource_type: str, action: str, policies: Sequence[PolicyDefinition]) -> Decision:
    """A policy that forbids, else what allows; without anything that allows it is a no."""
    effects = {p.effect for p in policies if _concerns(p, facts, resource_type, action)}
    if "deny" in effects:
        return Decision(False, "policy")
    if facts.is_staff:
        return Decision(True, "staff")
    if facts.has_permission:
        return Decision(True, "permission")
    if facts.is_owner:
        return Decision(True, "owner")
    return Decision(True, "policy") if "allow" in effects else Decision(False, "no_permission")


def check_access(decision: Decision) -> Refusal | None:
    """A no as what the client is told."""
    if decision.allowed:
        return None
    return Refusal(DENIED_BY_POLICY if decision.reason == "policy" else FORBIDDEN, data={"reason": decision.reason})


def _concerns(policy: PolicyDefinition, facts: Facts, resource_type: str, action: str) -> bool:
    is_about = policy.resource_type in ("*", resource_type) and policy.action in ("*", action)
    is_everybody = not policy.roles and not policy.user_ids
    return is_about and (is_everybody or facts.tenant_role in policy.roles or facts.user_id in policy.user_ids)


# COMMANDS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SetAccessPolicy(Asked, frozen=True):
    """Sets a policy of the workspace, by its name. One that is not enabled takes part in nothing."""

    name: Name
    definition: PolicyDefinition
    enabled: bool = True
    description: str | None = None


class PolicySet(msgspec.Struct, frozen=True):
    """The policy as it is kept."""

    id: UUID
    name: str
    enabled: bool


class CheckAccess(Asked, frozen=True):
    """Asks whether you may do something here; question and answer are kept in `access_logs`."""

    resource_type: Word
    action: Word
    resource_id: UUID | None = None


class AccessAnswer(msgspec.Struct, frozen=True):
    """Whether, and by what."""

    allowed: bool
    reason: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "set_access_policy": Command(SetAccessPolicy, PolicySet),
        "check_access": Command(CheckAccess, AccessAnswer, _PEOPLE),
    }
)

# HANDLERS


async def decide(tx: Tx, viewer: Viewer, resource_type: str, action: str, resource_id: UUID | None = None) -> Decision:
    """Decides for `viewer` in the present workspace, and keeps question and answer."""
    async with acting_as_service(tx):
        row = await tx.one(_SQL["facts_get"], viewer.user_id, resource_type, action, resource_id)
        assert row is not None  # it selects from nothing but sub-selects
        facts = Facts(viewer.user_id, viewer.is_staff, row["tenant_role"], row["has_permission"], row["is_owner"])
        policies = [
            msgspec.json.decode(policy["definition"], type=PolicyDefinition)
            for policy in await tx.many(_SQL["policies_list"])
        ]
        decision = decide_access(facts, resource_type, action, policies)
        await tx.run(
            _SQL["access_note"],
            viewer.user_id, resource_type, resource_id, action, decision.allowed, decision.reason,
        )  # fmt: skip
    return decision


async def do_set_access_policy(tx: Tx, _: Viewer, asked: SetAccessPolicy, __: datetime) -> PolicySet:
    """The same name again is the same policy."""
    definition = msgspec.json.encode(asked.definition).decode()
    id_ = await tx.value(_SQL["policy_set"], asked.name, asked.description, definition, asked.enabled)
    return PolicySet(id_, asked.name, asked.enabled)


async def do_check_access(tx: Tx, viewer: Viewer, asked: CheckAccess, _: datetime) -> AccessAnswer:
    """A no is an answer here, and no refusal: so it is kept."""
    decision = await decide(tx, viewer, asked.resource_type, asked.action, asked.resource_id)
    return AccessAnswer(decision.allowed, decision.reason)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {SetAccessPolicy: do_set_access_policy, CheckAccess: do_check_access}
)
