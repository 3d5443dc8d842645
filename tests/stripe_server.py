"""The few of Stripe's addresses that are used, on a port of its own: pages, refunds, keys that are used twice, and signed events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import stripe
from aiohttp import web
from aiohttp.test_utils import TestServer

KEY, SECRET = "sk_test_1", "whsec_1"


@dataclass
class StripeServer:
    """What it was asked, what it made, and how it is to fail."""

    asked: list[dict[str, str]] = field(default_factory=list)
    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, dict[str, Any]] = field(default_factory=dict)
    refund_status: str = "succeeded"
    fails: int = 0
    """The status that it answers instead; 0: none."""
    url: str = ""

    def app(self) -> web.Application:
        """Its addresses."""
        app = web.Application()
        app.router.add_post("/v1/checkout/sessions", self.open_page)
        app.router.add_get("/v1/checkout/sessions/{id}", self.find_page)
        app.router.add_post("/v1/refunds", self.refund)
        return app

    def _refuse(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": {"type": "invalid_request_error", "message": "no such key"}}, status=401)
        if self.fails:
            kind = "invalid_request_error" if self.fails == 400 else "api_error"
            return web.json_response(
                {"error": {"type": kind, "message": "no"}}, status=self.fails, headers={"Stripe-Should-Retry": "false"}
            )
        return None

    async def _made(self, request: web.Request, made: dict[str, Any]) -> web.Response:
        asked = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(asked)
        return web.json_response(self.by_key.setdefault(request.headers["Idempotency-Key"], made))

    async def open_page(self, request: web.Request) -> web.Response:
        """POST of a page."""
        if refused := self._refuse(request):
            return refused
        page_id = f"cs_{uuid4().hex}"
        made = {
            "id": page_id,
            "object": "checkout.session",
            "status": "open",
            "url": f"https://checkout.stripe.example/{page_id}",
        }
        answer = await self._made(request, made)
        self.pages.setdefault(page_id, made)
        return answer

    async def find_page(self, request: web.Request) -> web.Response:
        """GET of a page."""
        return self._refuse(request) or web.json_response(self.pages[request.match_info["id"]])

    async def refund(self, request: web.Request) -> web.Response:
        """POST of a refund."""
        if refused := self._refuse(request):
            return refused
        return await self._made(request, {"id": f"re_{uuid4().hex}", "object": "refund", "status": self.refund_status})


def event(kind: str, about: dict[str, Any]) -> tuple[bytes, str]:
    """A webhook's body and the signature that Stripe's own library makes for it."""
    body = json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": about}})
    return body.encode(), stripe.WebhookSignature.generate_signature_header(body, SECRET)


def listening(server: StripeServer) -> TestServer:
    """It on a port of its own."""
    return TestServer(server.app())
