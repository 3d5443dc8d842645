"""What the schema's constraints mean to a client, where a name alone would not say it well. Knows no driver and no SQL."""

from __future__ import annotations

from collections.abc import Mapping

from core import errors
from core.errors import Code, Fault, Refusal

# What may be there only once, and the field that says it again.
CONSTRAINT_MEANINGS: Mapping[str, tuple[Code, str]] = {
    "users__email_unique": (errors.EMAIL_TAKEN, "email"),
    "users__username_unique": (errors.CONFLICT, "username"),
    "content_prices__no_overlap": (errors.PRICE_OVERLAPS, "effective_from"),
    "playlist_prices__no_overlap": (errors.PRICE_OVERLAPS, "effective_from"),
}
RULE_MEANINGS: Mapping[str, Code] = {
    "users__points_not_negative": errors.POINTS_SHORT,
    "ai_token_balances__not_negative": errors.TOKENS_SHORT,
    "enrollments__course_has_room": errors.COURSE_FULL,
    "enrollments__paid_course_is_paid": errors.PAYMENT_NEEDED,
    "refunds__within_payment": errors.REFUND_TOO_LARGE,
    "direct_purchases__not_owned_already": errors.ALREADY_OWNED,
    "certificates__course_completed": errors.COURSE_UNFINISHED,
    "attempts__within_limit": errors.NO_ATTEMPTS_LEFT,
    "support_call_requests__call_is_active": errors.CALL_OVER,
    "courses__sold_has_price": errors.COURSE_UNPRICED,
    "courses__published_has_chapters": errors.NOTHING_TO_PUBLISH,
    "chapters__published_has_lessons": errors.NOTHING_TO_PUBLISH,
}
# Rules that many tables have, by what follows the table's name.
KIND_MEANINGS: Mapping[str, Code] = {
    "within_quota": errors.QUOTA_REACHED,
    "append_only": errors.ONLY_ADDED_TO,
    "same_tenant": errors.OTHER_TENANT,
}


def meaning_of(constraint: str) -> Refusal | None:
    """What is said when this constraint is broken; None where it has no words of its own."""
    if constraint in CONSTRAINT_MEANINGS:
        code, field = CONSTRAINT_MEANINGS[constraint]
        return Refusal(code, faults=(Fault(field, "is taken"),), data={"constraint": constraint})
    rule = RULE_MEANINGS.get(constraint) or KIND_MEANINGS.get(constraint.partition("__")[2])
    return Refusal(rule, data={"constraint": constraint}) if rule else None
