"""Who listens, for counting podcasts after the IAB's guidelines (Podcast Measurement Technical Guidelines 2.2). Pure.

Those take an address and a User-Agent together for one listener, and of an IPv6 address its first 64 bits. What is kept is a
keyed digest of the two: nobody can go back to the address without the key ring, nor tell one tenant's listeners among another's.
"""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address
from uuid import UUID

from core.keys import KeyRing

MAX_AGENT_CHARS = 512
ID_HEX_DIGITS = 32


def listener_id(ring: KeyRing, tenant_id: UUID, address: str | None, user_agent: str) -> str | None:
    """A digest for the listener at `address` with that User-Agent; None when there is no address to tell anybody by.

    It is made with the newest key: a listener who comes back after the ring has turned is a new one.
    """
    network = _network_of(address)
    if network is None:
        return None
    said = b"\0".join((b"listener", tenant_id.bytes, network, user_agent[:MAX_AGENT_CHARS].encode("utf-8", "replace")))
    return hmac.digest(ring.newest.secret, said, "sha256").hex()[:ID_HEX_DIGITS]


def _network_of(address: str | None) -> bytes | None:
    if address is None:
        return None
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return parsed.packed[:8]
        parsed = parsed.ipv4_mapped
    return parsed.packed
