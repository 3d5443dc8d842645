"""Amounts of money: whether a price may be set, and the one way in which amounts are rounded. Knows no table and no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from core.errors import PRICE_OVERLAPS, Fault, Refusal, bad_field

# ISO 4217: the currencies whose minor unit is not a hundredth.
_WHOLE = {
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
    *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
}
_THOUSANDTHS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
MOST = Decimal(10) ** 12


def digits_of(currency: str) -> int:
    """Digits after the point in `currency`: the exponent of its minor unit in ISO 4217."""
    return 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2


def round_amount(amount: Decimal, currency: str) -> Decimal:
    """`amount` in whole minor units of `currency`; a half goes up, as on an invoice."""
    return amount.quantize(Decimal(1).scaleb(-digits_of(currency)), ROUND_HALF_UP)


def check_amount(price: Decimal, currency: str) -> Refusal | None:
    """`price` is one that can be paid in `currency`: not negative, no more digits than its minor unit has."""
    if _CURRENCY.fullmatch(currency) is None:
        return bad_field("currency", "must be an ISO 4217 code, such as EUR")
    if not price.is_finite() or not 0 <= price < MOST:
        return bad_field("price", f"must be at least 0 and below {MOST}")
    digits = digits_of(currency)
    if price != round(price, digits):
        return bad_field("price", f"{currency} has {digits} digits after the point")
    return None


def check_period(start: date, end: date | None, taken: Iterable[tuple[date, date | None]]) -> Refusal | None:
    """[start, end) may be added to the periods that are `taken`; an earlier one without an end makes room by ending at `start`."""
    if end is not None and end <= start:
        return bad_field("effective_to", "must be after effective_from")
    for other_start, other_end in taken:
        makes_room = other_end is None and other_start < start
        begins_later = end is not None and other_start >= end
        is_over = other_end is not None and other_end <= start
        if not (makes_room or begins_later or is_over):
            return Refusal(
                PRICE_OVERLAPS,
                details=f"{_shown(other_start)} to {_shown(other_end)}",
                faults=(Fault("effective_from", "another price holds then"),),
            )
    return None


def _shown(moment: date | None) -> str:
    return moment.isoformat() if isinstance(moment, date | datetime) else "further notice"
