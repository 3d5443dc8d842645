"""Paying outside: what the commands of commerce need of Stripe, and what Stripe tells us at /webhooks/stripe.

Nothing here is within a transaction of a command. Every message may come twice, late, or before the answer that it is about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog
from aiohttp import web

from core.database import Database, Tx
from core.domain.commands import Outside, acting_as_service
from core.domain.commerce.orders import SQL as ORDER_SQL
from core.domain.commerce.payments import SQL as PAYMENT_SQL
from core.domain.commerce.payments import PaymentOpened, PayOrder, end_try, settle
from core.domain.commerce.refunds import SQL as REFUND_SQL
from core.domain.commerce.refunds import Refunded, RefundPayment, fail_refund, settle_refund
from core.domain.pricing import round_amount
from core.errors import NOT_FOUND, PAYMENT_PROVIDER_CLOSED, PAYMENT_PROVIDER_FAILED, Refusal
from core.viewer import Viewer, service
from edge.api.bodies import MAX_JSON_BYTES, read_body
from edge.api.stripe_gateway import Event, StripeGateway, amount_from, refund_status

log = structlog.get_logger(__name__)


class Pages:
    """Opens the page on which an order is paid."""

    def __init__(self, database: Database, gateway: StripeGateway | None) -> None:
        self._database = database
        self._gateway = gateway

    def check(self, asked: msgspec.Struct) -> Refusal | None:
        """Stripe is set up, where it is asked for."""
        assert isinstance(asked, PayOrder)
        return Refusal(PAYMENT_PROVIDER_CLOSED) if asked.provider == "stripe" and self._gateway is None else None

    async def finish(self, viewer: Viewer, asked: msgspec.Struct, answer: msgspec.Struct) -> PaymentOpened:
        """The page of an open payment. Raises Refusal PAYMENT_PROVIDER_FAILED."""
        assert isinstance(asked, PayOrder)
        assert isinstance(answer, PaymentOpened)
        if answer.provider != "stripe":
            return answer
        assert self._gateway is not None
        assert asked.return_url is not None
        async with self._database.transaction(service(viewer.tenant_id)) as tx:
            payment = await tx.one(PAYMENT_SQL["payment_get"], answer.payment_id)
            lines = await tx.many(ORDER_SQL["order_lines_many"], answer.order_id)
        if payment is None or payment["status"] != "INITIATED":
            # A key that is used again answers what was committed; the payment has gone on since.
            return msgspec.structs.replace(answer, status=payment["status"] if payment else "CANCELLED")
        if payment["provider_session_id"] is not None:
            page = await self._gateway.find_page(payment["provider_session_id"])
            if page.status == "expired":
                async with self._database.transaction(service(viewer.tenant_id)) as tx:
                    await end_try(tx, answer.payment_id, "CANCELLED", "the page expired")
                raise Refusal(PAYMENT_PROVIDER_FAILED, "The page has expired.", hint="Ask again for a new one.")
            return msgspec.structs.replace(answer, pay_url=page.url)
        page = await self._gateway.open_page(
            [(line["title"] or line["item_type"], line["price"]) for line in lines],
            answer.currency,
            return_url=asked.return_url,
            metadata={"tenant_id": str(viewer.tenant_id), "payment_id": str(answer.payment_id)},
            # Another page to come back to is another request to Stripe, which refuses it under the same key.
            key=f"{answer.payment_id}-{hashlib.sha256(asked.return_url.encode()).hexdigest()[:16]}",
        )
        async with self._database.transaction(service(viewer.tenant_id)) as tx:
            await tx.run(PAYMENT_SQL["payment_session_keep"], answer.payment_id, page.id)
        return msgspec.structs.replace(answer, pay_url=page.url)


class Refunds:
    """Has Stripe give back what it took."""

    def __init__(self, database: Database, gateway: StripeGateway | None) -> None:
        self._database = database
        self._gateway = gateway

    def check(self, asked: msgspec.Struct) -> Refusal | None:
        """Whose money it was is known in the transaction only."""
        return None

    async def finish(self, viewer: Viewer, asked: msgspec.Struct, answer: msgspec.Struct) -> Refunded:
        """A refund that is on its way is sent to Stripe, under a key that it does once.

        Raises Refusal PAYMENT_PROVIDER_CLOSED, PAYMENT_PROVIDER_FAILED.
        """
        assert isinstance(answer, Refunded)
        if answer.status != "PENDING":
            return answer
        if self._gateway is None:
            raise Refusal(PAYMENT_PROVIDER_CLOSED, hint="It goes on when Stripe is set up again.")
        tenant = service(viewer.tenant_id)
        async with self._database.transaction(tenant) as tx:
            refund = await tx.one(REFUND_SQL["refund_get"], answer.refund_id)
        assert refund is not None
        returned = await self._gateway.refund(
            refund["provider_transaction_id"],
            round_amount(refund["amount"], refund["currency"]),
            refund["currency"],
            metadata={"tenant_id": str(viewer.tenant_id), "refund_id": str(answer.refund_id)},
            key=f"refund-{answer.refund_id}",
        )
        async with self._database.transaction(tenant) as tx, acting_as_service(tx):
            if returned.status == "succeeded":
                return await settle_refund(tx, answer.refund_id, str(returned.id), datetime.now(UTC))
            if returned.status == "failed":
                return await fail_refund(tx, answer.refund_id, returned.id)
        return answer


def outside(database: Database, gateway: StripeGateway | None) -> Mapping[type[msgspec.Struct], Outside]:
    """What commands need of the world outside, by the record that asks."""
    return {PayOrder: Pages(database, gateway), RefundPayment: Refunds(database, gateway)}


class WebhookFace:
    """Takes what Stripe says. What is not ours, or not understood, is taken too: Stripe would send it for three days."""

    def __init__(self, database: Database, gateway: StripeGateway | None) -> None:
        self._database = database
        self._gateway = gateway

    def routes(self) -> list[web.RouteDef]:
        """Its route."""
        return [web.post("/webhooks/stripe", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """POST of an event. Raises Refusal BAD_SIGNATURE, NOT_FOUND where Stripe is not set up, AMOUNT_DIFFERS; DatabaseDown."""
        if self._gateway is None:
            raise Refusal(NOT_FOUND)
        body = await read_body(request, MAX_JSON_BYTES)
        event = self._gateway.read_event(body, request.headers.get("Stripe-Signature", ""))
        try:
            tenant_id = UUID(event.metadata.get("tenant_id", ""))
            subject = UUID(event.metadata.get("payment_id") or event.metadata.get("refund_id") or "")
        except ValueError:
            return web.json_response({"taken": False})
        try:
            async with self._database.transaction(service(tenant_id)) as tx:
                taken = await _apply(tx, event, subject, datetime.now(UTC))
        except Refusal as refusal:
            if refusal.code is not NOT_FOUND:
                log.error("stripe_event_refused", kind=event.kind, code=refusal.code.code, subject=str(subject))
                raise
            taken = False
        return web.json_response({"taken": taken})


async def _apply(tx: Tx, event: Event, subject: UUID, now: datetime) -> bool:
    about = event.about
    match event.kind:
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
            if about.get("payment_status") != "paid":
                return False  # a transfer that takes days: another event says when it is there
            currency = str(about["currency"]).upper()
            amount = amount_from(int(about["amount_total"]), currency)
            await settle(tx, subject, str(about["payment_intent"]), amount, currency, now, is_in=True)
        case "checkout.session.async_payment_failed":
            await end_try(tx, subject, "FAILED", "the payment failed")
        case "checkout.session.expired":
            await end_try(tx, subject, "CANCELLED", "the page expired")
        case "refund.created" | "refund.updated" | "refund.failed":
            match refund_status(about.get("status")):
                case "succeeded":
                    await settle_refund(tx, subject, str(about["id"]), now)
                case "failed":
                    await fail_refund(tx, subject, str(about["id"]))
                case "pending":
                    return False
        case _:
            return False
    return True
