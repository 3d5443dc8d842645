"""Certificates: issued by themselves when a course is completed, checked by anyone who has the code, revoked by who teaches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Row, Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import ANYONE, Asked, Command, Handler
from core.domain.learning.acting import SIGNED_IN
from core.errors import NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "certificates.sql")

# COMMANDS


class VerifyCertificate(Asked, frozen=True):
    """Whether a certificate is true, for whoever was shown its code."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class CertificateSays(msgspec.Struct, frozen=True):
    """What a certificate says, and whether it holds."""

    is_valid: bool
    holder: str
    course: str
    issued_at: datetime
    revoked_at: datetime | None


class IssueCertificate(Asked, frozen=True):
    """Issues a certificate for a completed course that had none: those of its kind come by themselves."""

    enrollment_id: UUID


class RevokeCertificate(Asked, frozen=True):
    """Takes a certificate back; whoever checks its code is told."""

    certificate_id: UUID
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class CertificateHeld(msgspec.Struct, frozen=True):
    """A certificate as it stands."""

    certificate_id: UUID
    enrollment_id: UUID
    code: str
    issued_at: datetime
    revoked_at: datetime | None
    revoke_reason: str | None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "verify_certificate": Command(VerifyCertificate, CertificateSays, ANYONE, is_read=True),
        "issue_certificate": Command(IssueCertificate, CertificateHeld, SIGNED_IN),
        "revoke_certificate": Command(RevokeCertificate, CertificateHeld, SIGNED_IN),
    }
)

# HANDLERS


def _held(row: Row | None) -> CertificateHeld:
    assert row is not None
    return CertificateHeld(
        row["id"], row["enrollment_id"], row["code"], row["issued_at"], row["revoked_at"], row["revoke_reason"]
    )


async def do_verify_certificate(tx: Tx, _: Viewer, asked: VerifyCertificate, _now: datetime) -> CertificateSays:
    """Raises Refusal NOT_FOUND."""
    async with acting_as_service(tx):
        row = await tx.one(SQL["certificate_say"], asked.code.strip().upper())
    if row is None:
        raise Refusal(NOT_FOUND)
    return CertificateSays(row["revoked_at"] is None, row["holder"], row["course"], row["issued_at"], row["revoked_at"])


async def do_issue_certificate(tx: Tx, _: Viewer, asked: IssueCertificate, now: datetime) -> CertificateHeld:
    """Raises Refusal NOT_FOUND, COURSE_UNFINISHED, CONFLICT."""
    if not await tx.value(SQL["enrollment_is_of_taught"], asked.enrollment_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        held = _held(await tx.one(SQL["certificate_issue"], asked.enrollment_id, now))
        told = {"certificate_id": held.certificate_id, "enrollment_id": asked.enrollment_id}
        await emit(tx, "certificate.issued", f"enrollment:{asked.enrollment_id}", told)
    return held


async def do_revoke_certificate(tx: Tx, _: Viewer, asked: RevokeCertificate, now: datetime) -> CertificateHeld:
    """Raises Refusal NOT_FOUND. What was revoked stays revoked as it was."""
    if not await tx.value(SQL["certificate_is_taught"], asked.certificate_id):
        raise Refusal(NOT_FOUND)
    async with acting_as_service(tx):
        if await tx.run(SQL["certificate_revoke"], asked.certificate_id, now, asked.reason):
            told = {"certificate_id": asked.certificate_id, "reason": asked.reason}
            await emit(tx, "certificate.revoked", f"certificate:{asked.certificate_id}", told)
        return _held(await tx.one(SQL["certificate_get"], asked.certificate_id))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        VerifyCertificate: do_verify_certificate,
        IssueCertificate: do_issue_certificate,
        RevokeCertificate: do_revoke_certificate,
    }
)
