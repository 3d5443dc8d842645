"""A rule that the database breaks off at is told to a client by its own code, in words."""

from __future__ import annotations

import asyncpg
import pytest

from core import errors
from core.database import translate
from core.errors import Code, Refusal
from core.meanings import CONSTRAINT_MEANINGS, KIND_MEANINGS, RULE_MEANINGS
from core.settings import ROOT
from tests.core.rows import Parent, Rows, Values

PERIOD = {"effective_from": "2026-01-01Z", "effective_to": "2026-02-01Z"}
PAID_COURSE = {"pricing_type": "paid", "price": 5}


@pytest.mark.parametrize(
    ("code", "table", "values"),
    [
        (errors.POINTS_SHORT, "early_unlocks", {"points_spent": 1}),
        (errors.TOKENS_SHORT, "ai_token_usage", {}),
        (errors.PAYMENT_NEEDED, "enrollments", {"status": "active", "course_id": Parent("courses", PAID_COURSE)}),
        (errors.REFUND_TOO_LARGE, "refunds", {"amount": 9}),
        (errors.COURSE_UNFINISHED, "certificates", {"enrollment_id": Parent("enrollments")}),
        (errors.NOTHING_TO_PUBLISH, "courses", {"status": "published", "published_at": "now"}),
        (errors.QUOTA_REACHED, "podcasts", {"tenant_id": Parent("tenant_quotas", {"max_podcasts": 0}, "tenant_id")}),
        (errors.OTHER_TENANT, "campaigns", {"sponsor_id": Parent("sponsors", {"tenant_id": Parent("tenants")})}),
        (errors.RULE_BROKEN, "course_reviews", {"rating": 9}),
    ],
    ids=lambda value: value.code if isinstance(value, Code) else "",
)
async def test_a_broken_rule_has_its_code(rows: Rows, code: Code, table: str, values: Values) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await rows.make(table, **values)
    refusal = translate(caught.value)
    assert isinstance(refusal, Refusal)
    assert refusal.code is code
    assert refusal.data["constraint"]


async def test_overlapping_prices_and_changed_logs_have_theirs(rows: Rows) -> None:
    price = await rows.make("content_prices", **PERIOD)
    with pytest.raises(asyncpg.ExclusionViolationError) as overlap:
        async with rows.connection.transaction():
            await rows.make("content_prices", **PERIOD, content_id=price["content_id"])
    log = await rows.make("audit_logs")
    with pytest.raises(asyncpg.CheckViolationError) as changed:
        await rows.delete("audit_logs", log)
    for caught, code in ((overlap, errors.PRICE_OVERLAPS), (changed, errors.ONLY_ADDED_TO)):
        refusal = translate(caught.value)
        assert isinstance(refusal, Refusal)
        assert refusal.code is code


async def test_what_others_depend_on_is_still_referenced(rows: Rows) -> None:
    """ON DELETE RESTRICT has a number of its own since PostgreSQL 18."""
    subscription = await rows.make("subscriptions")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await rows.connection.execute("DELETE FROM plans WHERE id = $1", subscription["plan_id"])
    refusal = translate(caught.value)
    assert isinstance(refusal, Refusal)
    assert refusal.code is errors.STILL_REFERENCED


def test_every_constraint_with_a_meaning_is_in_the_schema() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "db" / "schema").glob("*.sql"))
    assert [name for name in (*CONSTRAINT_MEANINGS, *RULE_MEANINGS) if not known(name, text)] == []
    assert [kind for kind in KIND_MEANINGS if f"__{kind}" not in text] == []


def known(name: str, text: str) -> bool:
    """Written out, or put together by the trigger that publishes (`table__published_has_parts`)."""
    return name in text or "__published_has_" in name
