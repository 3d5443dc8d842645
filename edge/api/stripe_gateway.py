"""Stripe: the only module that talks to it. Knows pages, refunds and events; no order and no database.

Stripe's library is an extra (`pip install penstock[stripe]`): it is imported when a key is set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from core.domain.pricing import digits_of
from core.errors import BAD_SIGNATURE, PAYMENT_PROVIDER_FAILED, Refusal
from core.variables import SettingsError

if TYPE_CHECKING:
    import stripe

TIMEOUT_S = 10
TOLERANCE_S = 300
LONGEST_NAME = 250

# Where Stripe's smallest unit is not ISO 4217's: https://docs.stripe.com/currencies
_WITHOUT_PARTS = {"MGA"}
_WITH_HUNDREDTHS = {"ISK", "UGX"}


def stripe_amount(amount: Decimal, currency: str) -> int:
    """`amount` in the unit in which Stripe takes `currency`. Raises Refusal PAYMENT_PROVIDER_FAILED for what it cannot take."""
    digits = _digits(currency)
    units = amount.scaleb(digits)
    if units != units.to_integral_value() or (digits == 3 and units % 10):
        raise Refusal(PAYMENT_PROVIDER_FAILED, f"Stripe does not take {amount} {currency}.")
    return int(units)


def amount_from(units: int, currency: str) -> Decimal:
    """What Stripe calls `units` of `currency`, as an amount."""
    return Decimal(units).scaleb(-_digits(currency))


def _digits(currency: str) -> int:
    """How many decimals Stripe's unit of `currency` has."""
    return 0 if currency in _WITHOUT_PARTS else 2 if currency in _WITH_HUNDREDTHS else digits_of(currency)


@dataclass(frozen=True, slots=True)
class Page:
    """A page on which somebody pays."""

    id: str
    status: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Returned:
    """How a refund stands: Stripe's id of it, if it has one, and what became of it."""

    id: str | None
    status: Literal["pending", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Event:
    """What Stripe says has happened: its kind, and the object that it happened to."""

    kind: str
    about: Mapping[str, Any]

    @property
    def metadata(self) -> Mapping[str, str]:
        """What we wrote on that object."""
        metadata = self.about.get("metadata")
        return metadata if isinstance(metadata, dict) else {}


class StripeGateway:
    """One account at Stripe. Raises Refusal PAYMENT_PROVIDER_FAILED where it cannot be reached or does not do what is asked."""

    def __init__(self, key: str, webhook_secret: str, url: str | None = None) -> None:
        try:
            import stripe as library
        except ImportError as error:
            raise SettingsError(
                "PENSTOCK_STRIPE_KEY", "needs Stripe's library", "Install it: pip install 'penstock[stripe]'."
            ) from error
        self._library = library
        self._http = library.AIOHTTPClient(timeout=TIMEOUT_S)
        self._client = library.StripeClient(
            key, base_addresses={"api": url} if url else {}, http_client=self._http, max_network_retries=1
        )
        self._webhook_secret = webhook_secret

    async def close(self) -> None:
        """Ends its connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the library's own types end here

    async def open_page(
        self,
        lines: Sequence[tuple[str, Decimal]],
        currency: str,
        *,
        return_url: str,
        metadata: Mapping[str, str],
        key: str,
    ) -> Page:
        """A page to pay these (name, price) on. The same `key` gives the same page for a day."""
        items: list[Any] = [
            {
                "quantity": 1,
                "price_data": {
                    "currency": currency.lower(),
                    "unit_amount": stripe_amount(price, currency),
                    "product_data": {"name": name[:LONGEST_NAME]},
                },
            }
            for name, price in lines
        ]
        params: Any = {
            "mode": "payment",
            "line_items": items,
            "success_url": return_url,
            "cancel_url": return_url,
            "client_reference_id": metadata["payment_id"],
            "metadata": dict(metadata),
            "payment_intent_data": {"metadata": dict(metadata)},
        }
        try:
            made = await self._client.v1.checkout.sessions.create_async(params, {"idempotency_key": key})
        except self._library.StripeError as error:
            raise self._failed(error) from error
        return Page(made.id, made.status or "open", made.url)

    async def find_page(self, session_id: str) -> Page:
        """A page that was opened before."""
        try:
            found = await self._client.v1.checkout.sessions.retrieve_async(session_id)
        except self._library.StripeError as error:
            raise self._failed(error) from error
        return Page(found.id, found.status or "open", found.url)

    async def refund(
        self, transaction_id: str, amount: Decimal, currency: str, *, metadata: Mapping[str, str], key: str
    ) -> Returned:
        """Gives back a part of a payment, or all of it; the same `key` never twice."""
        params: Any = {
            "payment_intent": transaction_id,
            "amount": stripe_amount(amount, currency),
            "metadata": dict(metadata),
        }
        try:
            made = await self._client.v1.refunds.create_async(params, {"idempotency_key": key})
        except self._library.InvalidRequestError:
            # It says no: more than is left, or a payment that it does not know. Asking again would not change that.
            return Returned(None, "failed")
        except self._library.StripeError as error:
            raise self._failed(error) from error
        return Returned(made.id, refund_status(made.status))

    def read_event(self, body: bytes, signature: str) -> Event:
        """The event in a webhook's body, if Stripe signed it within five minutes. Raises Refusal BAD_SIGNATURE."""
        try:
            self._library.WebhookSignature.verify_header(body, signature, self._webhook_secret, TOLERANCE_S)
            return _event_of(msgspec.json.decode(body))
        except (self._library.SignatureVerificationError, ValueError) as error:
            raise Refusal(BAD_SIGNATURE) from error

    def _failed(self, error: stripe.StripeError) -> Refusal:
        # Its message may name keys and accounts: only the kind of failure is told.
        return Refusal(PAYMENT_PROVIDER_FAILED, details=type(error).__name__, retry_after_s=5)


def _event_of(said: Any) -> Event:
    match said:
        case {"object": "event", "type": str(kind), "data": {"object": dict(about)}}:
            return Event(kind, about)
    raise ValueError("not an event")


def refund_status(said: str | None) -> Literal["pending", "succeeded", "failed"]:
    """A refund's status at Stripe, as far as it matters here."""
    if said == "succeeded":
        return "succeeded"
    return "failed" if said in ("failed", "canceled") else "pending"
