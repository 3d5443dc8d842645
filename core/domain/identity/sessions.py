"""Coming and going: accounts, sessions and refresh tokens.

Decides sign-up, sign-in, refresh and sign-out, on rows. Knows no HTTP, no access tokens and no hashing: it is handed a
hash, or told which one was verified. What must outlast a refusal (a reuse detected) is returned, not raised.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from uuid import UUID

from core import errors
from core.database import Row, Tx
from core.domain.credentials import digest
from core.domain.identity.api_keys import SQL as _KEYS_SQL
from core.domain.identity.api_keys import ApiKey
from core.errors import Refusal
from core.ids import uuid7
from core.queries import load

_SQL = load("core.domain.identity", "sessions.sql")

SESSION_LIFETIME = timedelta(days=30)  # without being refreshed
REUSE_GRACE = timedelta(seconds=10)
MAX_FAILURES, LOCK = 10, timedelta(minutes=5)

Scope = Literal["local", "others", "global"]


@dataclass(frozen=True, slots=True)
class Person:
    """A person as their own client sees them."""

    id: UUID
    name: str
    email: str
    email_verified: bool
    role: str
    last_login: datetime | None
    created_at: datetime
    updated_at: datetime
    logins: tuple[Login, ...]
    banned_until: datetime | None = None
    """The end of the year 9999 for good; None: not banned. It may have passed."""


@dataclass(frozen=True, slots=True)
class Login:
    """One way in: `credential`, or an OAuth provider and the person's id there."""

    id: UUID
    provider_id: str
    account_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What decides whether a person may come in."""

    status: str
    banned: bool
    ban_expires: datetime | None
    ban_reason: str | None
    must_verify: bool = False
    """The tenant asks for a proven address, and this one's is not."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who is signing in. `password` is the stored hash, None where there is no credential account."""

    user_id: UUID
    account: Account
    locked_until: datetime | None
    password: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A session and its person as the database has them now."""

    revoked: bool
    expires_at: datetime
    role: str
    account: Account
    tenant_role: str | None = None
    """What the person is in the tenant that was asked in; None: no member."""
    is_orphan: bool = False
    """An admin's visit in this person's name, and the admin may no longer make one."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """An API key and its person as the database has them now."""

    key: ApiKey
    role: str
    account: Account
    tenant_role: str | None
    """In the workspace of the key."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from."""

    address: IPv4Address | IPv6Address | None
    user_agent: str | None


NOWHERE = Origin(None, None)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with a fresh refresh token, which is known only here and to the client."""

    session_id: UUID
    expires_at: datetime
    refresh_token: str
    person: Person
    impersonated_by: UUID | None = None
    """The admin who acts in the person's name."""


# RULES


def check_account(account: Account, now: datetime) -> Refusal | None:
    """Whether this person may use the product at all; the same rule as is_banned() in the schema."""
    if account.status == "suspended" or (account.banned and (account.ban_expires is None or account.ban_expires > now)):
        until = account.ban_expires.isoformat() if account.banned and account.ban_expires else None
        return Refusal(errors.BANNED, details=account.ban_reason, data={"reason": "banned", "banned_until": until})
    if account.status == "inactive":
        return Refusal(errors.BANNED, "This account has been deactivated.", data={"reason": "inactive"})
    if account.must_verify:
        return Refusal(errors.EMAIL_NOT_VERIFIED, data={"reason": "email_not_verified"})
    return None


def check_lock(candidate: Candidate, now: datetime) -> Refusal | None:
    """Whether too many wrong passwords came in too short a time."""
    if candidate.locked_until is None or candidate.locked_until <= now:
        return None
    left_s = max(1, int((candidate.locked_until - now).total_seconds() + 0.999))
    return Refusal(errors.TOO_MANY_TRIES, retry_after_s=left_s)


def check_standing(standing: Standing | None, now: datetime) -> Refusal | None:
    """Whether an access token of this session is still good; None is a session that is gone."""
    if standing is None or standing.revoked or standing.is_orphan:
        return Refusal(errors.BAD_ACCESS_TOKEN, "The session has been ended.", data={"reason": "session_ended"})
    if standing.expires_at <= now:
        return Refusal(errors.ACCESS_TOKEN_EXPIRED, "The session has expired.", data={"reason": "session_expired"})
    return check_account(standing.account, now)


async def sign_up(tx: Tx, *, name: str, email: str, password_hash: str, now: datetime) -> UUID:
    """A new person with a credential account and a profile, not verified yet. Raises Refusal EMAIL_TAKEN."""
    user_id = uuid7()
    await tx.run(_SQL["person_insert"], user_id, name, email, password_hash, now)
    return user_id


async def find_for_sign_in(tx: Tx, email: str) -> Candidate | None:
    """Who signs in with `email`, in any case."""
    row = await tx.one(_SQL["candidate_by_email"], email)
    return _candidate(row) if row else None


async def find_person(tx: Tx, user_id: UUID) -> Person | None:
    """A person with the ways they sign in."""
    row = await tx.one(_SQL["person_get"], user_id)
    if row is None:
        return None
    return person_of(row, await tx.many(_SQL["logins_list"], user_id))


def person_of(row: Row, logins: Sequence[Row]) -> Person:
    """A person from their row and those of the ways they sign in."""
    ways = [{name: value for name, value in login.items() if name != "user_id"} for login in logins]
    return Person(**dict(row), logins=tuple(Login(**way) for way in ways))


async def open_session(
    tx: Tx,
    user_id: UUID,
    *,
    proof: str | None,
    origin: Origin,
    now: datetime,
    lifetime: timedelta = SESSION_LIFETIME,
    impersonated_by: UUID | None = None,
) -> Opened:
    """Signs a person in. `proof` is the stored hash that a password was verified against; None for another proof.

    Verifying takes its time outside any transaction: all that it stood on is looked at again, under a lock.
    Raises Refusal INVALID_CREDENTIALS, TOO_MANY_TRIES, BANNED.
    """
    candidate = await lock_candidate(tx, user_id)
    if candidate is None or (proof is not None and candidate.password != proof):
        raise Refusal(errors.INVALID_CREDENTIALS)
    refusal = check_lock(candidate, now) or check_account(candidate.account, now)
    if refusal:
        raise refusal
    if impersonated_by is None:
        await tx.run(_SQL["login_record"], user_id, now)
        await tx.run(_SQL["login_remember"], user_id, origin.address, origin.user_agent, None, now)
    session_id, expires_at = uuid7(), now + lifetime
    # The session's own secret is for a sign-in by cookie; nobody is handed one yet, so none can leak.
    await tx.run(
        _SQL["session_insert"], session_id, user_id, secrets.token_bytes(32), expires_at,
        origin.address, origin.user_agent, impersonated_by, now,
    )  # fmt: skip
    return await _hand_out(tx, session_id, user_id, parent_id=None, expires_at=expires_at, now=now)


async def lock_candidate(tx: Tx, user_id: UUID) -> Candidate | None:
    """A person's facts for sign-in, which nobody else changes before `tx` ends."""
    # Two statements: the second one's snapshot is from after the lock.
    if await tx.value(_SQL["person_lock"], user_id) is None:
        return None
    row = await tx.one(_SQL["candidate_by_id"], user_id)
    return _candidate(row) if row else None


async def record_failure(tx: Tx, user_id: UUID, now: datetime, origin: Origin = NOWHERE) -> datetime | None:
    """Counts and remembers a wrong password; until when the account is locked, if it is."""
    await tx.run(_SQL["login_remember"], user_id, origin.address, origin.user_agent, "wrong_password", now)
    locked_until: datetime | None = await tx.value(_SQL["failure_record"], user_id, now, MAX_FAILURES, now + LOCK)
    return locked_until


async def remember_refusal(tx: Tx, user_id: UUID, why: str, origin: Origin, now: datetime) -> None:
    """Remembers a try to come in that was refused for another reason than its password."""
    await tx.run(_SQL["login_remember"], user_id, origin.address, origin.user_agent, why, now)


async def note_presence(tx: Tx, session_ids: Sequence[UUID]) -> None:
    """Says that these sessions are in use now. Those that are gone are passed over."""
    await tx.run(_SQL["presence_note_many"], session_ids)


async def rotate_refresh_token(tx: Tx, token: str, now: datetime) -> Opened | Refusal:
    """Spends `token` for a fresh one, or says why not. Commit a returned Refusal: it may have ended the session.

    A token presented again is a copy in other hands: its session ends. Except just after its first use while no
    child of it has been used: a client lost the answer, or two of its tabs asked at once; it gets another child.
    """
    token_digest = digest(token)
    if await tx.value(_SQL["session_lock_by_refresh_token"], token_digest) is None:
        return Refusal(errors.BAD_REFRESH_TOKEN)
    row = await tx.one(_SQL["refresh_token_get"], token_digest)
    if row is None or row["session_revoked_at"] is not None or row["revoked_at"] is not None:
        return Refusal(errors.BAD_REFRESH_TOKEN, "The session has been ended.", data={"reason": "session_ended"})
    if row["used_at"] is not None and (row["is_superseded"] or now - row["used_at"] > REUSE_GRACE):
        await end_sessions(tx, row["user_id"], row["session_id"], "local", now)
        return Refusal(
            errors.BAD_REFRESH_TOKEN,
            "The refresh token was used before; its session has been ended.",
            data={"reason": "refresh_token_reused"},
        )
    if row["expires_at"] <= now or row["session_expires_at"] <= now:
        return Refusal(errors.BAD_REFRESH_TOKEN, "The session has expired.", data={"reason": "session_expired"})
    refusal = check_account(_account(row), now)
    if refusal:
        return refusal
    # A visit in somebody's name ends when it was to end, however often it is refreshed.
    expires_at = row["session_expires_at"] if row["impersonated_by"] else now + SESSION_LIFETIME
    await tx.run(_SQL["refresh_token_use"], row["id"], now)
    await tx.run(_SQL["session_extend"], row["session_id"], expires_at)
    return await _hand_out(tx, row["session_id"], row["user_id"], parent_id=row["id"], expires_at=expires_at, now=now)


async def end_sessions(tx: Tx, user_id: UUID, session_id: UUID, scope: Scope, now: datetime) -> list[UUID]:
    """Ends `session_id` (local), all of the person's but that (others), or all (global); those ended now."""
    subject = None if scope == "global" else session_id
    ended = [row["id"] for row in await tx.many(_SQL["sessions_end"], user_id, subject, scope == "others", now)]
    await tx.run(_SQL["refresh_tokens_revoke"], ended, now)
    return ended


async def change_password(
    tx: Tx, user_id: UUID, session_id: UUID, *, old: str | None, new: str, now: datetime
) -> list[UUID]:
    """Puts hash `new` in place of `old` (None: the account had no password); ends the other sessions.

    Raises Refusal CONFLICT when `old` is no longer what is stored.
    """
    await tx.value(_SQL["person_lock"], user_id)
    if old is None:
        changed = await tx.run(_SQL["password_add"], user_id, new, now)
    else:
        changed = await tx.run(_SQL["password_replace"], user_id, old, new)
    if not changed:
        raise Refusal(errors.CONFLICT, "The password was changed at the same moment.", hint="Sign in again.")
    return await end_sessions(tx, user_id, session_id, "others", now)


async def upgrade_hash(tx: Tx, user_id: UUID, *, old: str, new: str) -> None:
    """The same password hashed better; nothing when it was changed meanwhile."""
    await tx.run(_SQL["password_replace"], user_id, old, new)


async def rename(tx: Tx, user_id: UUID, name: str) -> None:
    """Another name for a person."""
    await tx.run(_SQL["name_replace"], user_id, name)


async def find_standing(tx: Tx, session_id: UUID, user_id: UUID) -> Standing | None:
    """How a session stands; None when there is none of that id and person."""
    row = await tx.one(_SQL["standing_get"], session_id, user_id)
    if row is None:
        return None
    return Standing(
        row["revoked_at"] is not None,
        row["expires_at"],
        row["role"],
        _account(row),
        row["tenant_role"],
        row["is_orphan"],
    )


async def find_key_holder(tx: Tx, key: str) -> KeyHolder | None:
    """Whose API key this is; None when there is no such key."""
    row = await tx.one(_KEYS_SQL["api_key_get"], digest(key))
    if row is None:
        return None
    moments = (row["expires_at"], row["revoked_at"])
    found = ApiKey(row["id"], row["tenant_id"], row["user_id"], frozenset(row["scopes"]), *moments)
    return KeyHolder(found, row["role"], _account(row), row["tenant_role"])


async def _hand_out(
    tx: Tx, session_id: UUID, user_id: UUID, *, parent_id: UUID | None, expires_at: datetime, now: datetime
) -> Opened:
    token = secrets.token_urlsafe(32)
    await tx.run(_SQL["refresh_token_insert"], session_id, user_id, digest(token), parent_id, expires_at, now)
    person = await find_person(tx, user_id)
    assert person is not None  # its row is locked
    return Opened(session_id, expires_at, token, person, await tx.value(_SQL["session_visitor"], session_id))


def _candidate(row: Row) -> Candidate:
    return Candidate(row["user_id"], _account(row), row["locked_until"], row["password"])


def _account(row: Row) -> Account:
    return Account(row["status"], row["banned"], row["ban_expires"], row["ban_reason"], row["must_verify"])
