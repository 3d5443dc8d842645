"""Becoming a teacher, and what staff do with what students say of a course."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service, emit
from core.domain.context import STAFF, Asked, Command, Handler
from core.domain.learning.acting import check_move
from core.domain.learning.states import STATES
from core.errors import NOT_FOUND, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.learning", "teachers.sql")

# COMMANDS


class ReviewTeacherApplication(Asked, frozen=True):
    """Makes an applicant a teacher, or (with a `reason`) does not."""

    application_id: UUID
    approve: bool
    reason: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class ApplicationStands(msgspec.Struct, frozen=True):
    """Where an application stands, and who decided."""

    application_id: UUID
    user_id: UUID
    status: str
    reviewed_by: UUID | None
    reviewed_at: datetime | None
    rejection_reason: str | None


class FeatureReview(Asked, frozen=True):
    """Puts a review where everybody sees it, or takes it away; its author can change it no longer while it is there."""

    review_id: UUID
    is_featured: bool = True


class ReviewFeatured(msgspec.Struct, frozen=True):
    """Whether it is."""

    review_id: UUID
    is_featured: bool


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "review_teacher_application": Command(ReviewTeacherApplication, ApplicationStands, STAFF),
        "feature_review": Command(FeatureReview, ReviewFeatured, STAFF),
    }
)

# HANDLERS


async def do_review_teacher_application(
    tx: Tx, viewer: Viewer, asked: ReviewTeacherApplication, now: datetime
) -> ApplicationStands:
    """Raises Refusal NOT_FOUND, ILLEGAL_MOVE. An approved applicant may teach at once."""
    row = await tx.one(SQL["application_lock"], asked.application_id)
    if row is None:
        raise Refusal(NOT_FOUND)
    status = "Approved" if asked.approve else "Rejected"
    if row["status"] != status:
        if refusal := check_move(STATES["teacher_applications"], row["status"], status):
            raise refusal
        reason = None if asked.approve else asked.reason
        row = await tx.one(SQL["application_review"], asked.application_id, status, viewer.user_id, now, reason)
        assert row is not None
        if asked.approve:
            async with acting_as_service(tx):
                await tx.run(SQL["teacher_make"], row["user_id"])
        told = {"application_id": asked.application_id, "user_id": row["user_id"], "status": status, "reason": reason}
        await emit(tx, "teacher_application.reviewed", f"user:{row['user_id']}", told)
    return ApplicationStands(
        asked.application_id,
        row["user_id"],
        row["status"],
        row["reviewed_by"],
        row["reviewed_at"],
        row["rejection_reason"],
    )


async def do_feature_review(tx: Tx, _: Viewer, asked: FeatureReview, _now: datetime) -> ReviewFeatured:
    """Raises Refusal NOT_FOUND."""
    if not await tx.run(SQL["review_feature"], asked.review_id, asked.is_featured):
        raise Refusal(NOT_FOUND)
    return ReviewFeatured(asked.review_id, asked.is_featured)


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {ReviewTeacherApplication: do_review_teacher_application, FeatureReview: do_feature_review}
)
