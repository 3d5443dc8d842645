"""Who a transaction acts for: what row-level security reads (db/schema/foundation.sql)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from core.ids import DEFAULT_TENANT

Role = Literal["anon", "authenticated", "staff", "service_role", "courier"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """A tenant, a person (None: a guest or the product itself) and the role they act in."""

    tenant_id: UUID
    user_id: UUID | None
    role: Role

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
