"""A webhook's message, as Standard Webhooks 1.0 has it, and what its answer means. Pure: nothing is sent here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson
from standardwebhooks import Webhook

from edge.effects.line import Again, Dead, Done, Outcome

USER_AGENT = "Penstock-Webhooks/1.0"


def body_of(event_type: str, occurred_at: datetime, data: object) -> bytes:
    """The body: the event's type, its moment and its data. The same at every attempt."""
    return orjson.dumps({"type": event_type, "timestamp": occurred_at.astimezone(UTC).isoformat(), "data": data})


def headers_of(body: bytes, event_id: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of one attempt: each secret signs id, moment and body, the newest first."""
    message_id = f"msg_{event_id}"
    # The library takes a naive moment for UTC, and an aware one as if it were: both are right for an aware one in UTC.
    moment = now.astimezone(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, body.decode()) for secret in secrets),
    }


def judge(status: int, headers: Mapping[str, str], now: datetime) -> Outcome:
    """What an answer means: 2xx is taken, 410 wants no more for good, anything else is tried again."""
    if 200 <= status < 300:
        return Done(f"answered {status}")
    if status == 410:
        return Dead("answered 410: it wants no more")
    if 300 <= status < 400:
        return Again(f"answered {status}: redirects are not followed")
    return Again(f"answered {status}", retry_after_s(headers.get("Retry-After", ""), now))


def retry_after_s(text: str, now: datetime) -> float | None:
    """The seconds that a Retry-After asks for (RFC 9110 section 10.2.3); None when it says nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
