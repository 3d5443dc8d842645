"""Whose request it is behind proxies: what they say is believed of those we were told to trust, and of nobody else.

Decides the client's address by X-Forwarded-For, and its country by the header that a CDN sets. Without trusted proxies both
are what anybody may write: they are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from core.variables import Network
from edge.tokens.places import country_code

COUNTRY = web.RequestKey("country", str)
"""Where the client is, by two letters; absent when that is not known or not asked for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_HOPS = 16
_WITH_PORT = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?", re.ASCII)


def behind(trusted: Sequence[Network], country_header: str | None = None) -> Middleware:
    """A middleware, to be the outermost: makes `request.remote` the client's address when a trusted proxy hands it on.

    With a `country_header`, COUNTRY is the client's country by the same proxy's word.
    """

    @web.middleware
    async def resolve(request: web.Request, handler: Handler) -> web.StreamResponse:
        if country_header is not None:
            country = client_country(request.remote, request.headers.getall(country_header, []), trusted)
            if country is not None:
                request[COUNTRY] = country
        forwarded = request.headers.getall("X-Forwarded-For", [])
        if forwarded:
            address = client_address(request.remote, forwarded, trusted)
            if address is not None and address != request.remote:
                request = request.clone(remote=address)
        return await handler(request)

    return resolve


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The address of the nearest hop that is no trusted proxy; `forwarded`: the header's lines, nearest hop last.

    What does not read as an address ends the search at the hop before it.
    """
    current = _parse(peer or "")
    if current is None or not _is_trusted(current, trusted):
        return peer
    hops = ",".join(forwarded).rsplit(",", MOST_HOPS)[-MOST_HOPS:]
    for text in reversed(hops):
        hop = _parse(text)
        if hop is None:
            break
        current = hop
        if not _is_trusted(hop, trusted):
            break
    return str(current)


def client_country(peer: str | None, said: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The country that `peer` says its client is in, if it is a trusted proxy and says one; `said`: the header's lines."""
    address = _parse(peer or "")
    if address is None or len(said) != 1 or not _is_trusted(address, trusted):
        return None
    return country_code(said[0])


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
