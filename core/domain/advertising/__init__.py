"""Advertising: sponsors, their campaigns and bookings, where spots go, and which of them brought whom."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.advertising import booking, conversions, matching, validation
from core.domain.context import EVERY_VERB, Command, Context, Handler, Table

# TABLES
# What listeners did, and what is made of it, is written by commands alone.
_ID = frozenset({"id"})
_SPONSOR = frozenset({"name", "website_url", "logo_url"})
_CAMPAIGN = frozenset({"name", "description", "start_date", "end_date"})
_SPOT = frozenset({"episode_id", "unit_type", "position_seconds", "duration_seconds"})
_BOOKING = frozenset({"booking_date", "promo_code", "vanity_url"})
_PARTNER = frozenset({"name", "partner_type", "contact_email"})
_INTEGRATION = frozenset({"integration_type", "configuration", "status"})
TABLES = (
    Table("sponsors", EVERY_VERB, insertable=_SPONSOR | _ID, updatable=_SPONSOR),
    Table("campaigns", EVERY_VERB, insertable=_CAMPAIGN | {"id", "sponsor_id"}, updatable=_CAMPAIGN | {"stage"}),
    Table("ad_units", EVERY_VERB, insertable=_SPOT | {"id", "campaign_id"}, updatable=_SPOT),
    Table("io_bookings", EVERY_VERB, insertable=_BOOKING | {"id", "campaign_id", "sponsor_id"}, updatable=_BOOKING),
    # Scored by a command, for the sponsor whose campaign it is.
    Table("matches", frozenset({"read", "delete"})),
    Table("attribution_events"),
    Table("attribution_event_metadata"),
    # Set by a command, which knows what each type can be set to.
    Table("attribution_models", frozenset({"read", "update", "delete"}), updatable=frozenset({"name", "enabled"})),
    Table("attribution_paths"),
    Table("attribution_validations"),
    Table("attribution_analytics"),
    Table("partners", EVERY_VERB, insertable=_PARTNER | _ID, updatable=_PARTNER),
    Table(
        "partner_integrations",
        EVERY_VERB,
        insertable=_INTEGRATION | {"id", "partner_id"},
        updatable=_INTEGRATION,
    ),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "campaigns": {
            "prospect": frozenset({"negotiation", "booked", "lost"}),
            "negotiation": frozenset({"prospect", "booked", "lost"}),
            "booked": frozenset({"running", "lost"}),
            "running": frozenset({"completed", "lost"}),
            "completed": frozenset(),
            "lost": frozenset({"prospect"}),
        }
    }
)

# COMMANDS
COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "find_booking": Command(booking.FindBooking, booking.Booking, is_read=True),
        "record_attribution_event": Command(booking.RecordAttributionEvent, booking.AttributionEventRecorded),
        "match_campaign": Command(matching.MatchCampaign, matching.Matches),
        "campaign_matches": Command(matching.CampaignMatches, matching.Matches, is_read=True),
        "save_attribution_model": Command(conversions.SaveAttributionModel, conversions.ModelSaved),
        "attribute_conversion": Command(conversions.AttributeConversion, conversions.Attributed),
        "run_daily_attribution": Command(conversions.RunDailyAttribution, conversions.DailyAnalyses),
        "validate_attribution": Command(validation.ValidateAttribution, validation.Validated),
    }
)

# HANDLERS
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        booking.FindBooking: booking.do_find_booking,
        booking.RecordAttributionEvent: booking.do_record_event,
        matching.MatchCampaign: matching.do_match_campaign,
        matching.CampaignMatches: matching.do_campaign_matches,
        conversions.SaveAttributionModel: conversions.do_save_model,
        conversions.AttributeConversion: conversions.do_attribute_conversion,
        conversions.RunDailyAttribution: conversions.do_run_daily,
        validation.ValidateAttribution: validation.do_validate,
    }
)

CONTEXT = Context("advertising", TABLES, STATES, COMMANDS, HANDLERS)
