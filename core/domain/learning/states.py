"""How things move in this context, as the schema's triggers have it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_PART = {
    "draft": frozenset({"scheduled", "published"}),
    "scheduled": frozenset({"published", "draft"}),
    "published": frozenset({"draft"}),
}

STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "courses": {
            "draft": frozenset({"under_review", "published"}),
            "under_review": frozenset({"published", "draft"}),
            "published": frozenset({"archived"}),
            "archived": frozenset({"published", "draft"}),
        },
        "chapters": _PART,
        "lessons": _PART,
        "enrollments": {
            "pending": frozenset({"active", "cancelled", "expired"}),
            "active": frozenset({"completed", "dropped", "expired", "cancelled"}),
            "completed": frozenset({"cancelled"}),
            "dropped": frozenset({"active"}),
            "expired": frozenset({"active"}),
            "cancelled": frozenset({"pending"}),
        },
        "attempts": {
            "in_progress": frozenset({"submitted", "graded", "expired"}),
            "submitted": frozenset({"graded"}),
            "graded": frozenset(),
            "expired": frozenset(),
        },
        "assignment_submissions": {
            "Pending": frozenset({"Graded"}),
            "Graded": frozenset({"Returned", "Pending"}),
            "Returned": frozenset({"Pending"}),
        },
        "live_sessions": {
            "scheduled": frozenset({"live", "cancelled"}),
            "live": frozenset({"ended"}),
            "ended": frozenset(),
            "cancelled": frozenset(),
        },
        "support_calls": {
            "Active": frozenset({"Ended", "Cancelled"}),
            "Ended": frozenset(),
            "Cancelled": frozenset(),
        },
        "support_call_requests": {
            "Pending": frozenset({"Accepted", "Rejected"}),
            "Accepted": frozenset({"Completed"}),
            "Rejected": frozenset(),
            "Completed": frozenset(),
        },
        "teacher_applications": {
            "Pending": frozenset({"Approved", "Rejected"}),
            "Approved": frozenset(),
            "Rejected": frozenset(),
        },
    }
)
