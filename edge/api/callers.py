"""Who asks `/rest/v1` and `/rpc`, by whatever they show, and whether they have asked too much of late.

Joins the gate, the API keys and the rates. A text that proves nothing, and a workspace that is not to be had, are counted
against the address they came from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

from aiohttp import web

from core.errors import NOT_A_MEMBER, UNKNOWN_TENANT, Refusal
from core.viewer import Viewer
from edge.api.access import Gate
from edge.api.api_keys import ApiKeys, key_of
from edge.api.rates import Rates
from edge.api.throttle import network_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Callers:
    """Turns requests into viewers and counts them."""

    gate: Gate
    api_keys: ApiKeys
    rates: Rates

    async def viewer(self, request: web.Request) -> Viewer:
        """Who `request` comes from. Raises as Gate.viewer and ApiKeys.viewer, and Refusal RATE_LIMITED."""
        key = key_of(request)
        try:
            if key is not None:
                viewer, key_id = await self.api_keys.viewer(request, key)
                await self.rates.admit("key", key_id)
                return viewer
            viewer = await self.gate.viewer(request)
        except Refusal as refusal:
            if refusal.code.status == 401 or refusal.code in (UNKNOWN_TENANT, NOT_A_MEMBER):
                await self._count_address(request)
            raise
        if viewer.user_id is not None:
            await self.rates.admit("user", viewer.user_id)
        elif viewer.role == "anon":
            await self._count_address(request)
        return viewer

    def counted(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes, where requests count against their address: those of people who are nobody yet."""

        def behind_count(handler: Handler) -> Handler:
            async def handle(request: web.Request) -> web.StreamResponse:
                await self._count_address(request)
                return await handler(request)

            return handle

        return [
            web.route(route.method, route.path, behind_count(cast("Handler", route.handler)), **route.kwargs)
            for route in routes
        ]

    async def _count_address(self, request: web.Request) -> None:
        """Nobody on this machine is counted: a proxy that is not named in PENSTOCK_TRUSTED_PROXIES would be one caller."""
        address = request.remote
        if address and not is_local(address):
            await self.rates.admit("address", network_of(address))


def is_local(address: str) -> bool:
    """Whether it is of the machine itself."""
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
