"""Where a session is used from, for sessions that are softly bound to a network, a country or both. Pure.

A place is text: a network as hexadecimal digits, a country as its two letters, or `DE/c00002`. A /24 or /56 is what a
household or an office has: a phone that gets another address from the same provider stays in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MOST_PLACES = 8
"""What one process remembers of a session; the one silent for longest goes."""

# ISO 3166-1, and what CDNs add to it: T1 is Tor. Nobody knows where XX is.
_COUNTRY = re.compile(r"[A-Z][A-Z0-9]", re.ASCII)
_UNKNOWN = frozenset({"XX", "ZZ"})


@lru_cache(4096)
def network_of(address: str) -> str | None:
    """The /24 or /56 of an IP address, as hexadecimal digits; None when the text is no address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return parsed.packed[:7].hex()
        parsed = parsed.ipv4_mapped
    return parsed.packed[:3].hex()


def country_code(text: str) -> str | None:
    """What a CDN says of a country, as two capital letters; None when that is no country, or an unknown one."""
    code = text.strip().upper()
    return code if _COUNTRY.fullmatch(code) and code not in _UNKNOWN else None


def place_of(network: str | None, country: str | None) -> str | None:
    """The place of a use by what is known of it; None when that is nothing."""
    return "/".join(part for part in (country, network) if part is not None) or None


def country_of(place: str) -> str | None:
    """The country that a place names, if it does."""
    code = place.partition("/")[0]
    return code if len(code) == 2 else None


def has_left(country: str | None, used_from: Collection[str]) -> bool:
    """Whether a session bound to `country` has been used from elsewhere of late, and from there no more.

    Somebody with one address in either country (a dual stack, a border, a proxy) has not left; they are in two places.
    """
    countries = {code for place in used_from if (code := country_of(place)) is not None}
    return country is not None and bool(countries) and country not in countries


def note(seen: dict[str, float], place: str, now: float) -> bool:
    """Notes a use from `place`; whether that is a change: another one than all that were seen before."""
    is_change = bool(seen) and place not in seen
    seen.pop(place, None)
    seen[place] = now
    if len(seen) > MOST_PLACES:
        del seen[next(iter(seen))]
    return is_change
