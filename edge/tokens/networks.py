"""Which network an address belongs to, for sessions that are softly bound to one. Pure.

A /24 or /56 is what a household or an office has: a phone that gets another address from the same provider stays in it.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MOST_NETWORKS = 8
"""What one process remembers of a session; the one silent for longest goes."""


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


def note(seen: dict[str, float], network: str, now: float) -> bool:
    """Notes a use from `network`; whether that is a change: another one than all that were seen before."""
    is_change = bool(seen) and network not in seen
    seen.pop(network, None)
    seen[network] = now
    if len(seen) > MOST_NETWORKS:
        del seen[next(iter(seen))]
    return is_change
