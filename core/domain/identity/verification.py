"""Mailed secrets: proving an address, resetting a password, signing in by a link, and the code that ends a provider's sign-in.

Decides how long each lives and that it is used once. Stores digests only; the secret itself goes into the mail (outbox) and nowhere else.
Whoever asks for a mail is told nothing about whether the address is known here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from core.database import Row, Tx
from core.domain.commands import emit
from core.domain.credentials import digest
from core.domain.identity.sessions import Origin
from core.errors import BAD_VERIFICATION, Refusal
from core.queries import load

_SQL = load("core.domain.identity", "verification.sql")

Purpose = Literal["email", "email_change", "password_reset", "magic_link", "auth_code"]
Kind = Literal["transactional", "security"]

LIFETIMES: Mapping[Purpose, timedelta] = MappingProxyType(
    {
        "email": timedelta(hours=24),
        "email_change": timedelta(hours=24),
        "password_reset": timedelta(hours=1),
        "magic_link": timedelta(hours=1),
        "auth_code": timedelta(minutes=5),
    }
)
MAIL_EVERY = timedelta(minutes=1)
"""One address gets no second mail of a kind within this time, whoever asks how often."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a secret proved."""

    user_id: UUID
    purpose: Purpose


# RULES


def check_verification(row: Row | None, now: datetime) -> Refusal | None:
    """Whether a secret that was presented is known, unused and in date."""
    if row is None:
        return Refusal(BAD_VERIFICATION, data={"reason": "unknown"})
    if row["used_at"] is not None:
        return Refusal(BAD_VERIFICATION, "The link has been used already.", data={"reason": "used"})
    if row["expires_at"] <= now:
        return Refusal(BAD_VERIFICATION, "The link has expired.", data={"reason": "expired"})
    return None


def check_challenge(challenge: str, method: str, verifier: str) -> Refusal | None:
    """Whether `verifier` is what `challenge` was made from (RFC 7636 section 4.6)."""
    made = verifier
    if method == "s256":
        made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if hmac.compare_digest(made.encode(), challenge.encode()):
        return None
    return Refusal(BAD_VERIFICATION, "The code verifier does not fit.", data={"reason": "bad_code_verifier"})


# EFFECTS


async def ask_to_verify(tx: Tx, email: str, origin: Origin, now: datetime) -> None:
    """Mails the proof of an address to whoever has it unproven here; nothing to anybody else."""
    person = await _noticed(tx, "verification_asked", email, origin)
    if person is not None and not person["email_verified"]:
        await _mail(tx, "email", person, person["email"], "verify_email", now)


async def ask_to_reset(tx: Tx, email: str, origin: Origin, now: datetime) -> None:
    """Mails a way to a new password to whoever has this address; nothing to anybody else."""
    person = await _noticed(tx, "password_reset_asked", email, origin)
    if person is not None:
        await _mail(tx, "password_reset", person, person["email"], "reset_password", now)


async def ask_to_sign_in(tx: Tx, email: str, origin: Origin, now: datetime) -> None:
    """Mails a link that signs in to whoever has this address; nothing to anybody else."""
    person = await _noticed(tx, "magic_link_asked", email, origin)
    if person is not None:
        await _mail(tx, "magic_link", person, person["email"], "magic_link", now)


async def ask_to_verify_change(tx: Tx, user_id: UUID, email: str, now: datetime) -> None:
    """Mails the proof of another address to it, and a warning to the present one. An address that is taken gets nothing."""
    person = await tx.one(_SQL["mailed_person_by_id"], user_id)
    if person is None or await tx.value(_SQL["address_taken"], email):
        return
    if await _mail(tx, "email_change", person, email, "email_change", now):
        await warn(tx, user_id, "email_change_asked")


async def asks_for_proof(tx: Tx) -> bool:
    """Whether the present tenant lets nobody in before their address is proven."""
    asks: bool = await tx.value(_SQL["proof_asked"])
    return asks


async def redeem(tx: Tx, purposes: tuple[Purpose, ...], token: str, now: datetime) -> Redeemed:
    """Spends a mailed secret, and does what it proves: the address is its person's. Raises Refusal BAD_VERIFICATION, EMAIL_TAKEN.

    Every mailed secret proves the address it was mailed to; that of an earlier address proves nothing any more.
    """
    row = await tx.one(_SQL["verification_lock"], digest(token), list(purposes))
    if refusal := check_verification(row, now):
        raise refusal
    assert row is not None
    await tx.run(_SQL["verification_use"], row["id"], now)
    if row["purpose"] == "email_change":
        await tx.run(_SQL["address_replace"], row["user_id"], row["new_value"])
    elif await tx.value(_SQL["address_confirm"], row["user_id"], row["identifier"]) is None:
        raise Refusal(BAD_VERIFICATION, data={"reason": "unknown"})
    return Redeemed(row["user_id"], row["purpose"])


async def hand_out_code(tx: Tx, user_id: UUID, challenge: str, method: Literal["s256", "plain"], now: datetime) -> str:
    """A code for the client that began a sign-in with `challenge`; it is worth nothing without the verifier."""
    token = await _store(tx, "auth_code", user_id, str(user_id), f"{method}:{challenge}", now, every=timedelta(0))
    assert token is not None  # what stood open was replaced
    return token


async def redeem_code(tx: Tx, code: str, verifier: str, now: datetime) -> UUID:
    """Spends a code; whose it is. Raises Refusal BAD_VERIFICATION; a wrong verifier leaves the code unspent."""
    row = await tx.one(_SQL["verification_lock"], digest(code), ["auth_code"])
    if refusal := check_verification(row, now):
        raise refusal
    assert row is not None
    method, _, challenge = row["new_value"].partition(":")
    if refusal := check_challenge(challenge, method, verifier):
        raise refusal
    await tx.run(_SQL["verification_use"], row["id"], now)
    user_id: UUID = row["user_id"]
    return user_id


async def warn(tx: Tx, user_id: UUID, template: str) -> None:
    """Mails a person that something about their account's safety has happened."""
    person = await tx.one(_SQL["mailed_person_by_id"], user_id)
    if person is not None:
        await _emit(tx, person, person["email"], template, {}, "security")


async def _noticed(tx: Tx, what: str, email: str, origin: Origin) -> Row | None:
    """The person with this address. The row that notes the question costs a known address and an unknown one the same."""
    person = await tx.one(_SQL["mailed_person_by_email"], email)
    await tx.run(
        _SQL["security_event_insert"], what, person["id"] if person else None, origin.address, origin.user_agent
    )
    return person


async def _mail(tx: Tx, purpose: Purpose, person: Row, to: str, template: str, now: datetime) -> bool:
    new_value = to if purpose == "email_change" else None
    token = await _store(tx, purpose, person["id"], to, new_value, now, every=MAIL_EVERY)
    if token is not None:
        await _emit(tx, person, to, template, {"token": token}, "transactional")
    return token is not None


async def _store(
    tx: Tx, purpose: Purpose, user_id: UUID, identifier: str, new_value: str | None, now: datetime, *, every: timedelta
) -> str | None:
    """A fresh secret in place of an older one; None when that is younger than `every`, which then stands."""
    token = secrets.token_urlsafe(32)
    await tx.run(_SQL["verification_drop"], purpose, identifier, now - every)
    stored = await tx.value(
        _SQL["verification_insert"],
        user_id, identifier, purpose, digest(token), new_value, now + LIFETIMES[purpose], now,
    )  # fmt: skip
    return token if stored is not None else None


async def _emit(tx: Tx, person: Row, to: str, template: str, variables: Mapping[str, str], kind: Kind) -> None:
    payload = {
        "template": template,
        "user_id": person["id"],
        "to": to,
        "variables": {"name": person["name"], **variables},
        "kind": kind,
    }
    await emit(tx, "mail.wanted", f"user:{person['id']}", payload)
