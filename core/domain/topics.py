"""Every topic that a command may `emit`, and who handles it: a topic that is not here is given up with a clear error.

`webhooks`: told to every enabled webhook of the tenant that lists it; its payload is what they are sent.
`mail`: a message to one person (edge/effects/mail.py says what its payload holds); never told to webhooks.
Caches need no handler: the database announces what changed itself (db/schema/announce.sql), sooner than an effect could. Jobs
need none either: a task is queued in the transaction that wants it (core/domain/media_dispatch.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Kind = Literal["webhooks", "mail"]

TOPICS: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "mail.wanted": ("mail",),
        "announcement.published": ("webhooks",),
        "assignment.graded": ("webhooks",),
        "assignment.submitted": ("webhooks",),
        "attempt.graded": ("webhooks",),
        "attempt.submitted": ("webhooks",),
        "blog.published": ("webhooks",),
        "certificate.issued": ("webhooks",),
        "certificate.revoked": ("webhooks",),
        "chapter.draft": ("webhooks",),
        "chapter.published": ("webhooks",),
        "chapter.scheduled": ("webhooks",),
        "commission.paid": ("webhooks",),
        "content.priced": ("webhooks",),
        "content.published": ("webhooks",),
        "content.unpublished": ("webhooks",),
        "course.archived": ("webhooks",),
        "course.published": ("webhooks",),
        "course.returned": ("webhooks",),
        "course.submitted": ("webhooks",),
        "enrollment.banned": ("webhooks",),
        "enrollment.dropped": ("webhooks",),
        "lesson.draft": ("webhooks",),
        "lesson.published": ("webhooks",),
        "lesson.scheduled": ("webhooks",),
        "live_session.cancelled": ("webhooks",),
        "live_session.ended": ("webhooks",),
        "live_session.live": ("webhooks",),
        "member.joined": ("webhooks",),
        "member.removed": ("webhooks",),
        "order.failed": ("webhooks",),
        "order.paid": ("webhooks",),
        "order.placed": ("webhooks",),
        "order.refunded": ("webhooks",),
        "payment.cancelled": ("webhooks",),
        "payment.failed": ("webhooks",),
        "payment.initiated": ("webhooks",),
        "payment.refunded": ("webhooks",),
        "payment.success": ("webhooks",),
        "payment.unmatched": ("webhooks",),
        "payout.moved": ("webhooks",),
        "playlist.priced": ("webhooks",),
        "purchase.recorded": ("webhooks",),
        "purchase.refunded": ("webhooks",),
        "referral.converted": ("webhooks",),
        "refund.failed": ("webhooks",),
        "subscription.cancelled": ("webhooks",),
        "subscription.renewed": ("webhooks",),
        "subscription.resumed": ("webhooks",),
        "subscription.shortened": ("webhooks",),
        "subscription.started": ("webhooks",),
        "support.decided": ("webhooks",),
        "support.ended": ("webhooks",),
        "support.requested": ("webhooks",),
        "teacher_application.reviewed": ("webhooks",),
        "user.banned": ("webhooks",),
        "user.erased": ("webhooks",),
        "user.unbanned": ("webhooks",),
        "webhook.disabled": ("webhooks",),
        "workspace.created": ("webhooks",),
    }
)

TEST_EVENT = "webhook.test"
"""Sent by `test_webhook` to one webhook, whatever it listens to."""


def told_to_webhooks() -> tuple[str, ...]:
    """The topics that a webhook may list, in order."""
    return tuple(sorted(topic for topic, kinds in TOPICS.items() if "webhooks" in kinds))
