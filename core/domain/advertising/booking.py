"""What is booked: whose code or address a listener used, and what came of it, event by event."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec

from core.database import Tx
from core.domain.commands import acting_as_service, answer
from core.domain.context import Asked
from core.errors import NOT_FOUND, Refusal, bad_field
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.advertising", "booking.sql")

MAX_DATA_BYTES = 4096
MOST_LATE = timedelta(days=92)
MOST_EARLY = timedelta(minutes=5)
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
# A digest or an id of somebody else's: an address is refused, so none is ever kept.
Listener = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]

# RULES


def check_one_named(**named: object) -> Refusal | None:
    """Exactly one of these says what is meant."""
    if sum(value is not None for value in named.values()) == 1:
        return None
    return bad_field(next(iter(named)), f"give one of {', '.join(named)}, and no other")


def check_when(at: datetime, now: datetime) -> Refusal | None:
    """An event is told within three months, and not before it happens; a clock may be a little fast."""
    if at > now + MOST_EARLY:
        return bad_field("occurred_at", "must not lie in the future")
    return bad_field("occurred_at", f"must lie within {MOST_LATE.days} days") if at < now - MOST_LATE else None


def check_data(path: str, data: object) -> Refusal | None:
    """A note to an event, not a document."""
    if len(msgspec.json.encode(data)) > MAX_DATA_BYTES:
        return bad_field(path, f"must not be longer than {MAX_DATA_BYTES} bytes")
    return None


# COMMANDS


class FindBooking(Asked, frozen=True):
    """The booking of a promo code or of a vanity URL, in whichever case it is written."""

    promo_code: Code | None = None
    vanity_url: Code | None = None


class Booking(msgspec.Struct, frozen=True):
    """An insertion order, and the campaign that it belongs to."""

    booking_id: UUID
    campaign_id: UUID
    campaign_name: str
    stage: str
    sponsor_id: UUID
    sponsor_name: str
    booking_date: date
    promo_code: str | None
    vanity_url: str | None


class RecordAttributionEvent(Asked, frozen=True):
    """Something a listener did because of a campaign: a `conversion`, or any other kind, which is a touch on the way to one.

    The campaign is named by its id, by a booking's promo code or by its vanity URL. `listener_id` is a digest, never an address.
    """

    listener_id: Listener
    attribution_type: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
    campaign_id: UUID | None = None
    promo_code: Code | None = None
    vanity_url: Code | None = None
    episode_id: UUID | None = None
    attribution_data: dict[str, Any] = msgspec.field(default_factory=dict)
    metadata: dict[str, Any] | None = None
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class AttributionEventRecorded(msgspec.Struct, frozen=True):
    """Its row."""

    event_id: UUID
    campaign_id: UUID
    occurred_at: datetime


# HANDLERS


async def do_find_booking(tx: Tx, _: Viewer, asked: FindBooking, now: datetime) -> Booking:
    """Raises Refusal NOT_FOUND or about a field."""
    if refusal := check_one_named(promo_code=asked.promo_code, vanity_url=asked.vanity_url):
        raise refusal
    return answer(Booking, await tx.one(SQL["booking_find"], asked.promo_code, asked.vanity_url))


async def do_record_event(tx: Tx, _: Viewer, asked: RecordAttributionEvent, now: datetime) -> AttributionEventRecorded:
    """Raises Refusal NOT_FOUND, STILL_REFERENCED (the episode) or about a field."""
    at = asked.occurred_at or now
    refusal = (
        check_one_named(campaign_id=asked.campaign_id, promo_code=asked.promo_code, vanity_url=asked.vanity_url)
        or check_when(at, now)
        or check_data("attribution_data", asked.attribution_data)
        or check_data("metadata", asked.metadata)
    )
    if refusal:
        raise refusal
    campaign_id = await tx.value(SQL["campaign_find"], asked.campaign_id, asked.promo_code, asked.vanity_url)
    if campaign_id is None:
        raise Refusal(NOT_FOUND)
    data = msgspec.json.encode(asked.attribution_data).decode()
    what = (asked.episode_id, asked.listener_id, asked.attribution_type, data, at)
    async with acting_as_service(tx):
        await tx.run(SQL["day_make"], at)
        event_id = await tx.value(SQL["event_insert"], campaign_id, *what)
        if asked.metadata is not None:
            await tx.run(SQL["metadata_insert"], event_id, at, msgspec.json.encode(asked.metadata).decode())
    return AttributionEventRecorded(event_id, campaign_id, at)
