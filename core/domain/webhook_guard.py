"""Where a webhook may go: the guard against requests into one's own networks (SSRF).

The address is checked in the moment a socket is made for it, after every resolution: a name that answers one address when it is
looked at and another when it is used (DNS rebinding) gains nothing, nor does an address in an odd spelling. Redirects are not
followed, so there is no second address.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from core.variables import Network

MAX_URL_CHARS = 2000
PORTS = frozenset({80, 443, 8080, 8443})
"""Where web servers listen; elsewhere a request could be taken for a command of another protocol."""

# What `is_global` lets through, or has let through in some version of Python: the IANA registries of special-purpose addresses,
# and the forms of IPv6 that carry an IPv4 address to whoever translates it.
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
        *(
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
            "5f00::/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ),
    )
)
# Metadata services of clouds that sit at addresses of their own: Azure's wire server, Oracle's, Alibaba's.
_METADATA = frozenset(ip_address(text) for text in ("168.63.129.16", "192.0.0.192", "100.100.100.200"))


class NotAllowed(OSError):  # noqa: N818 - states the fact
    """Nothing may be sent there. An OSError, as any other reason why there is no connection."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What this installation allows: `networks` are its own, open to webhooks at any port; `http` without TLS too."""

    networks: tuple[Network, ...] = ()
    http: bool = False

    def check_url(self, url: str) -> str | None:
        """What is wrong with `url`, or None. Says nothing about what its host resolves to: that is asked at each connection."""
        if len(url) > MAX_URL_CHARS:
            return f"must not be longer than {MAX_URL_CHARS} characters"
        if any(not "!" <= letter <= "~" for letter in url):
            return "must be visible ASCII; write other letters as %XX, and a name as xn--"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return "is not a URL"
        if parts.scheme not in (("https", "http") if self.http else ("https",)):
            return "must begin with https://"
        if not parts.hostname or "\\" in url:
            return "names no host"
        if "@" in parts.netloc:
            return "must not hold a user or password"
        if parts.fragment:
            return "must not have a fragment"
        try:
            address = ip_address(parts.hostname)
        except ValueError:
            address = None
        is_own = address is not None and self._is_own(address)
        if address is not None and not is_own and not is_public(address):
            return "is not a public address"
        if port is not None and port not in PORTS and not is_own and (address is not None or not self.networks):
            return f"must use one of the ports {', '.join(map(str, sorted(PORTS)))}"
        return None

    def check_address(self, host: str, port: int) -> None:
        """Whether a connection to this very address may be made. Raises NotAllowed."""
        address = ip_address(host.partition("%")[0])
        if self._is_own(address):
            return
        if not is_public(address):
            raise NotAllowed(f"{host} is not a public address")
        if port not in PORTS:
            raise NotAllowed(f"port {port} is not one of {', '.join(map(str, sorted(PORTS)))}")

    def make_socket(self, address: Sequence[Any]) -> socket.socket:
        """aiohttp's socket factory: the last step before connecting, with the address that will be connected to."""
        family, kind, protocol, _, where = address
        self.check_address(where[0], where[1])
        return socket.socket(family, kind, protocol)

    def _is_own(self, address: IPv4Address | IPv6Address) -> bool:
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self.networks if network.version == plain.version)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether anybody on the internet may be reached there, and nobody else."""
    if address in _METADATA or not address.is_global or address.is_multicast:
        return False
    return not any(address in network for network in _SPECIAL if network.version == address.version)
