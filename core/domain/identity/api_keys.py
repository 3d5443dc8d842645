"""API keys: what a program shows in a person's stead, for some of what the person may. A facet of identity.

Decides their making, their end and whether one is good. The key itself is known here once, when it is made.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.context import PEOPLE, Asked, Command, Handler, Subjects
from core.domain.credentials import digest
from core.errors import (
    ACCESS_TOKEN_EXPIRED,
    BAD_ACCESS_TOKEN,
    BAD_FIELD,
    NOT_FOUND,
    OUT_OF_SCOPE,
    QUOTA_REACHED,
    Fault,
    Refusal,
    bad_field,
)
from core.ids import uuid7
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.identity", "api_keys.sql")

MARK = "pk_"
SHOWN_CHARS = 8
"""Of a key, behind the mark: enough to tell one's keys apart, and 212 bits stay unknown."""
MOST_KEYS = 50

_VERBS = ("read", "insert", "update", "delete", "*")
_SCOPE = re.compile(rf"(?!rpc:)(?:[a-z_]{{1,63}}|\*):(?:{'|'.join(map(re.escape, _VERBS))})|rpc:(?:[a-z_]{{1,63}}|\*)")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the database has it."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Use:
    """One request that was made with a key; `endpoint` is its route."""

    key_id: UUID
    tenant_id: UUID
    endpoint: str
    method: str
    status: int
    took_ms: int
    at: datetime


# RULES


def check_key(key: ApiKey | None, now: datetime) -> Refusal | None:
    """Whether a key is good; None is one that was never made."""
    if key is None:
        return Refusal(BAD_ACCESS_TOKEN, "There is no such API key.", data={"reason": "unknown_key"})
    if key.revoked_at is not None:
        return Refusal(BAD_ACCESS_TOKEN, "The API key has been revoked.", data={"reason": "key_revoked"})
    if key.expires_at is not None and key.expires_at <= now:
        return Refusal(
            ACCESS_TOKEN_EXPIRED, "The API key has expired.", "Make another one.", data={"reason": "key_expired"}
        )
    return None


def check_scopes(scopes: Sequence[str], subjects: Subjects) -> Refusal | None:
    """Each is `table:verb` (read, insert, update, delete; * for any) or `rpc:command`, of what is served."""
    for at, scope in enumerate(scopes):
        path = f"scopes[{at}]"
        if _SCOPE.fullmatch(scope) is None:
            return bad_field(path, "must be like contents:read, *:read, contents:* or rpc:publish_content")
        table, _, verb = scope.partition(":")
        kind, name, known = ("command", verb, subjects["rpc"]) if table == "rpc" else ("table", table, subjects)
        if name != "*" and name not in known:
            why, meant = f"there is no {kind} {name}", get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"Perhaps you meant {meant[0]}." if meant else None
            return Refusal(BAD_FIELD, f"{path}: {why}", hint, faults=(Fault(path, why),), data={"scope": scope})
    return None


def check_create(asked: CreateApiKey, subjects: Subjects) -> Refusal | None:
    """What the scopes name is there: a key for nothing would be found out when it is refused."""
    return check_scopes(asked.scopes, subjects)


# COMMANDS


class CreateApiKey(Asked, frozen=True):
    """Makes an API key for oneself. The key is in this answer and nowhere else afterwards."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200, description="What it is for.")]
    scopes: Annotated[
        list[str],
        msgspec.Meta(min_length=1, max_length=100, description="`table:verb` and `rpc:command`; `*` stands for any."),
    ]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class CreatedApiKey(msgspec.Struct, frozen=True):
    """A key, to be kept by whoever asked for it."""

    id: UUID
    key: str
    prefix: str
    name: str
    scopes: list[str]
    expires_at: datetime | None
    created_at: datetime


class RevokeApiKey(Asked, frozen=True):
    """Ends an API key at once, everywhere."""

    id: UUID


class RevokedApiKey(msgspec.Struct, frozen=True):
    """When it ended."""

    id: UUID
    revoked_at: datetime


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "create_api_key": Command(CreateApiKey, CreatedApiKey, PEOPLE, shows_secret=True, check=check_create),
        "revoke_api_key": Command(RevokeApiKey, RevokedApiKey, PEOPLE),
    }
)


async def do_create(tx: Tx, viewer: Viewer, asked: CreateApiKey, now: datetime) -> CreatedApiKey:
    """Raises Refusal OUT_OF_SCOPE (a key makes no keys), BAD_FIELD, QUOTA_REACHED."""
    if viewer.scopes is not None:
        raise Refusal(OUT_OF_SCOPE, "An API key makes no API keys.", "Sign in.")
    if asked.expires_at is not None and asked.expires_at <= now:
        raise bad_field("expires_at", "must be in the future")
    key, key_id, scopes = MARK + secrets.token_urlsafe(32), uuid7(), sorted(set(asked.scopes))
    prefix = key[: len(MARK) + SHOWN_CHARS]
    made = await tx.value(
        SQL["api_key_insert"],
        *(key_id, viewer.user_id, digest(key), prefix, asked.name, scopes, MOST_KEYS, asked.expires_at, now),
    )
    if made is None:
        raise Refusal(QUOTA_REACHED, f"You have {MOST_KEYS} API keys.", "Revoke one that you no longer need.")
    return CreatedApiKey(key_id, key, prefix, asked.name, scopes, asked.expires_at, now)


async def do_revoke(tx: Tx, viewer: Viewer, asked: RevokeApiKey, now: datetime) -> RevokedApiKey:
    """Raises Refusal NOT_FOUND, for another's key too."""
    row = await tx.one(SQL["api_key_revoke"], asked.id, now)
    if row is None:
        raise Refusal(NOT_FOUND, "There is no such API key.")
    return RevokedApiKey(row["id"], row["revoked_at"])


async def write_uses(tx: Tx, uses: Sequence[Use]) -> None:
    """Records requests of one tenant, and the latest success of each key."""
    columns = zip(
        *((use.key_id, use.endpoint, use.method, use.status, use.took_ms, use.at) for use in uses), strict=True
    )
    await tx.run(SQL["api_usage_insert"], *map(list, columns))
    latest = {use.key_id: use.at for use in sorted(uses, key=lambda use: use.at) if use.status < 400}
    if latest:
        await tx.run(SQL["api_keys_touch"], list(latest), list(latest.values()))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType({CreateApiKey: do_create, RevokeApiKey: do_revoke})
