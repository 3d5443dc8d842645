"""Who a transaction acts for: what row-level security reads (db/schema/foundation.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from core.errors import OUT_OF_SCOPE, Refusal
from core.ids import DEFAULT_TENANT

Role = Literal["anon", "authenticated", "staff", "service_role", "courier"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A tenant, a person (None: a guest or the product itself) and the role they act in."""

    tenant_id: UUID
    user_id: UUID | None
    role: Role
    scopes: frozenset[str] | None = None
    """What an API key may do for the person, as `subject:verb`; None: all that the person may."""

    def check_scope(self, subject: str, verb: str) -> None:
        """`subject` is a table, or `rpc` with a command for its verb. Raises Refusal OUT_OF_SCOPE."""
        if self.scopes is not None and self.scopes.isdisjoint(
            (f"{subject}:{verb}", f"{subject}:*", f"*:{verb}", "*:*")
        ):
            raise Refusal(OUT_OF_SCOPE, data={"scope": f"{subject}:{verb}"})

    @property
    def is_staff(self) -> bool:
        """Staff of the tenant, or the product itself."""
        return self.role in ("staff", "service_role")


def service(tenant_id: UUID = DEFAULT_TENANT) -> Viewer:
    """The product's own processes: worker, drain, sign-in."""
    return Viewer(tenant_id, None, "service_role")


COURIER = Viewer(UUID(int=0), None, "courier")
"""Who delivers effects: sees the outbox and the webhooks of every tenant, and nothing else (db/schema/platform_commands.sql)."""

GUEST = Viewer(DEFAULT_TENANT, None, "anon")
