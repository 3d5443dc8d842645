"""Signing in with a provider (Google, a company's directory, anything that speaks OpenID Connect).

Decides whose account a provider's identity opens. Knows no HTTP and believes what it is told: edge/api/oidc.py has verified it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core import errors
from core.database import Row, Tx
from core.domain.identity.sessions import end_sessions
from core.errors import Refusal
from core.ids import uuid7
from core.queries import load

_SQL = load("core.domain.identity", "providers.sql")

_METHODS = frozenset({"google", "apple", "github"})


@dataclass(frozen=True, slots=True)
class ProviderIdentity:
    """Who a provider says somebody is: its name for them, and the address it has proven, if it has."""

    provider_id: str
    account_id: str
    email: str
    email_verified: bool
    name: str
    scope: str | None = None


# RULES


def check_joining(identity: ProviderIdentity) -> Refusal | None:
    """Whether an identity may open the account that has its address: the provider must have proven the address.

    Otherwise anybody could name somebody else's address at a careless provider and walk in.
    """
    if identity.email_verified:
        return None
    return Refusal(errors.PROVIDER_EMAIL_UNPROVEN)


async def find_or_make_person(tx: Tx, identity: ProviderIdentity, now: datetime) -> UUID:
    """Whose account `identity` opens: its own, the one with its proven address, or a new one.

    Raises Refusal PROVIDER_EMAIL_UNPROVEN.
    """
    known = await tx.value(_SQL["account_owner"], identity.provider_id, identity.account_id)
    if known is not None:
        user_id: UUID = known
        return user_id
    if refusal := check_joining(identity):
        raise refusal
    same: Row | None = await tx.one(_SQL["person_by_address"], identity.email)
    if same is None:
        user_id = uuid7()
        await tx.run(_SQL["person_insert"], user_id, identity.name, identity.email, now)
    else:
        user_id = same["id"]
        if not same["email_verified"]:
            # Whoever signed up with an address that was not theirs, and waits for its owner, loses their way in.
            await tx.run(_SQL["unproven_ways_drop"], user_id)
            await end_sessions(tx, user_id, user_id, "global", now)
        await tx.run(_SQL["address_proven"], user_id)
    method = identity.provider_id if identity.provider_id in _METHODS else "oidc"
    await tx.run(
        _SQL["account_insert"], user_id, identity.provider_id, identity.account_id, method, identity.scope, now
    )
    return user_id
