"""Paying with Stripe: the page, the webhook that settles it, and the way back; with Stripe's own library on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import stripe
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from core.database import Database, dedicated
from core.domain.commands import Commands
from core.domain.pricing import digits_of, round_amount
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.variables import SettingsError
from core.viewer import Viewer
from edge.api.boundary import boundary
from edge.api.payments import WebhookFace, outside
from edge.api.rpc import RpcFace
from edge.api.stripe_gateway import StripeGateway, amount_from, stripe_amount
from edge.settings import read_settings
from tests.conftest import TestDatabase
from tests.core.domain.commerce.shopping import Till
from tests.core.rows import Rows
from tests.stripe_server import KEY, SECRET, StripeServer, event, listening

BACK = "https://shop.example/back"


@dataclass
class Checkout:
    """A shop whose payments go to a Stripe of the test's own."""

    till: Till
    server: StripeServer
    client: TestClient[web.Request, web.Application]
    viewer: Viewer

    async def call(self, name: str, **body: Any) -> tuple[int, Any]:
        """A command over HTTP."""
        response = await self.client.post(f"/rest/v1/rpc/{name}", json=body)
        return response.status, await response.json()

    async def opened(self) -> tuple[UUID, UUID, Any]:
        """An order of 5 EUR, its payment, and the answer."""
        film = await self.till.content(("5", "EUR"))
        order = await self.till.buys(film)
        status, answer = await self.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
        assert status == 200, answer
        return order, UUID(answer["payment_id"]), answer

    async def told(self, kind: str, about: dict[str, Any], signature: str | None = None) -> tuple[int, Any]:
        """Stripe says that something has happened."""
        body, signed = event(kind, about)
        headers = {"Stripe-Signature": signed if signature is None else signature, "Content-Type": "application/json"}
        response = await self.client.post("/webhooks/stripe", data=body, headers=headers)
        return response.status, await response.json()


def paid(payment: UUID, **changes: Any) -> dict[str, Any]:
    """A page on which 5 EUR were paid."""
    metadata = {"tenant_id": str(DEFAULT_TENANT), "payment_id": str(payment)}
    about = {
        "payment_status": "paid",
        "amount_total": 500,
        "currency": "eur",
        "payment_intent": f"pi_{payment.hex}",
        "metadata": metadata,
    }
    return {**about, **changes}


@pytest.fixture
async def checkout(database: Database, database_urls: TestDatabase) -> AsyncIterator[Checkout]:
    server = StripeServer()
    connection = await dedicated(database_urls.admin_url)
    async with listening(server) as stripe_server:
        gateway = StripeGateway(KEY, SECRET, str(stripe_server.make_url("")).rstrip("/"))
        commands = Commands(database, CONTEXTS, outside(database, gateway))
        rows = Rows(connection, DEFAULT_TENANT)
        staff, buyer = [(await rows.make("users"))["id"] for _ in range(2)]
        till = Till(
            database,
            commands,
            rows,
            Viewer(DEFAULT_TENANT, staff, "staff"),
            Viewer(DEFAULT_TENANT, buyer, "authenticated"),
        )

        async def viewer_of(_: web.Request) -> Viewer:
            return made.viewer

        app = web.Application(middlewares=[boundary])
        app.add_routes(RpcFace(commands, viewer_of).routes())
        app.add_routes(WebhookFace(database, gateway).routes())
        async with TestClient(TestServer(app)) as client:
            made = Checkout(till, server, client, till.buyer)
            yield made
        await gateway.close()
    await connection.close()


@pytest.mark.rule("edupeak-108")
@pytest.mark.rule("edupeak-126")
async def test_an_order_is_paid_on_stripes_page(checkout: Checkout) -> None:
    order, payment, answer = await checkout.opened()
    assert answer["pay_url"].startswith("https://checkout.stripe.example/cs_")
    assert (answer["status"], answer["amount"], answer["currency"]) == ("INITIATED", "5.00", "EUR")
    asked = checkout.server.asked[0]
    assert (asked["mode"], asked["success_url"], asked["metadata[payment_id]"]) == ("payment", BACK, str(payment))
    assert asked["line_items[0][price_data][unit_amount]"] == "500"
    assert asked["line_items[0][price_data][currency]"] == "eur"
    assert await checkout.told("checkout.session.completed", paid(payment)) == (200, {"taken": True})
    assert await checkout.told("checkout.session.completed", paid(payment)) == (200, {"taken": True})
    till = checkout.till
    assert await till.many("SELECT status::text FROM orders WHERE id = $1", order) == ["PAID"]
    assert await till.many("SELECT provider_transaction_id FROM payments") == [f"pi_{payment.hex}"]
    assert len(await till.library()) == 1
    assert (await till.topics()).count("order.paid") == 1


async def test_asked_again_it_is_the_same_page(checkout: Checkout) -> None:
    order, payment, answer = await checkout.opened()
    again = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert again == (200, answer)
    assert len(checkout.server.asked) == 1
    page = next(iter(checkout.server.pages.values()))
    page["status"], page["url"] = "expired", None
    status, refused = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert (status, refused["code"]) == (502, "PS527")
    status, fresh = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert status == 200
    assert fresh["payment_id"] != str(payment)
    assert sorted(await checkout.till.many("SELECT status::text FROM payments")) == ["CANCELLED", "INITIATED"]


@pytest.mark.parametrize("status", [402, 500])
async def test_stripe_out_of_order_is_said_and_can_be_tried_again(checkout: Checkout, status: int) -> None:
    order = await checkout.till.buys(await checkout.till.content(("5", "EUR")))
    checkout.server.fails = status
    code, refused = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert (code, refused["code"]) == (502, "PS527")
    assert KEY not in str(refused)
    checkout.server.fails = 0
    code, answer = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert (code, answer["pay_url"] is not None) == (200, True)
    assert len(await checkout.till.many("SELECT id FROM payments")) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [("checkout.session.async_payment_failed", "FAILED"), ("checkout.session.expired", "CANCELLED")]
)
@pytest.mark.rule("edupeak-112")
async def test_a_payment_that_ends_without_money_leaves_the_order_open(
    checkout: Checkout, kind: str, status: str
) -> None:
    order, payment, _ = await checkout.opened()
    assert await checkout.told(kind, paid(payment, payment_status="unpaid")) == (200, {"taken": True})
    assert await checkout.till.many("SELECT status::text FROM payments") == [status]
    assert await checkout.till.many("SELECT status::text FROM orders WHERE id = $1", order) == ["PENDING"]
    assert await checkout.till.library() == set()


async def test_a_transfer_that_takes_days_is_waited_for(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    assert await checkout.told("checkout.session.completed", paid(payment, payment_status="unpaid")) == (
        200,
        {"taken": False},
    )
    assert await checkout.till.library() == set()
    assert await checkout.told("checkout.session.async_payment_succeeded", paid(payment)) == (200, {"taken": True})
    assert len(await checkout.till.library()) == 1


async def test_an_event_that_stripe_did_not_sign_changes_nothing(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    body, signed = event("checkout.session.completed", paid(payment))
    old = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, timestamp=1_700_000_000)
    forged = stripe.WebhookSignature.generate_signature_header(body.decode(), "whsec_2")
    for signature in ("", "t=1,v1=00", old, forged, signed[:-1] + ("0" if signed[-1] != "0" else "1"), "\u00e9"):
        status, refused = await checkout.told("checkout.session.completed", paid(payment), signature)
        assert (status, refused["code"]) == (400, "PS525"), signature
    for odd in (b"", b"\xff\xfe", b"[]", b"{}", b'{"object": "event", "type": 1}'):
        signature = stripe.WebhookSignature.generate_signature_header(odd.decode("latin-1"), SECRET)
        response = await checkout.client.post("/webhooks/stripe", data=odd, headers={"Stripe-Signature": signature})
        assert response.status == 400
    assert await checkout.till.many("SELECT status::text FROM payments") == ["INITIATED"]


async def test_what_is_not_ours_is_taken_and_left_alone(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    ours = {"tenant_id": str(DEFAULT_TENANT)}
    for kind, about in (
        ("checkout.session.completed", paid(payment, metadata={})),
        ("checkout.session.completed", paid(payment, metadata=None)),
        ("checkout.session.completed", paid(payment, metadata={**ours, "payment_id": "7"})),
        ("checkout.session.completed", paid(payment, metadata={**ours, "payment_id": str(uuid4())})),
        ("checkout.session.completed", paid(payment, metadata={"tenant_id": str(uuid4()), "payment_id": str(payment)})),
        ("customer.created", paid(payment)),
    ):
        assert await checkout.told(kind, about) == (200, {"taken": False}), about
    assert await checkout.till.many("SELECT status::text FROM payments") == ["INITIATED"]


async def test_another_amount_than_was_owed_is_refused_and_stays_visible_at_stripe(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    for change in ({"amount_total": 499}, {"currency": "usd"}):
        status, refused = await checkout.told("checkout.session.completed", paid(payment, **change))
        assert (status, refused["code"]) == (409, "PS529")
    assert await checkout.till.library() == set()


async def test_money_for_a_seat_that_was_taken_meanwhile_is_kept_to_be_given_back(checkout: Checkout) -> None:
    till = checkout.till
    course, other = await till.course("5", max_students=1), await till.person()
    order = await till.buys(course)
    _, answer = await checkout.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    await till.pays(await till.buys(course, viewer=other))
    payment = UUID(answer["payment_id"])
    for _ in range(2):
        assert await checkout.told("checkout.session.completed", paid(payment)) == (200, {"taken": True})
    assert await till.many("SELECT status::text FROM orders WHERE id = $1", order) == ["FAILED"]
    assert await till.many("SELECT status::text FROM payments WHERE order_id = $1", order) == ["SUCCESS"]
    assert await till.many("SELECT user_id FROM enrollments WHERE status = 'active'") == [other.user_id]
    assert (await till.topics()).count("payment.unmatched") == 1
    checkout.viewer = till.staff
    status, back = await checkout.call("refund_payment", payment_id=str(payment))
    assert (status, back["status"], back["payment_status"]) == (200, "SUCCESS", "REFUNDED")


async def test_a_refund_goes_back_through_stripe_once(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    await checkout.told("checkout.session.completed", paid(payment))
    checkout.viewer = checkout.till.staff
    status, part = await checkout.call("refund_payment", payment_id=str(payment), amount="1.50")
    assert (status, part["status"], part["order_status"]) == (200, "SUCCESS", "PAID")
    asked = checkout.server.asked[-1]
    assert (asked["payment_intent"], asked["amount"], asked["metadata[refund_id]"]) == (
        f"pi_{payment.hex}",
        "150",
        part["refund_id"],
    )
    _, rest = await checkout.call("refund_payment", payment_id=str(payment))
    assert (rest["amount"], rest["order_status"]) == ("3.50", "REFUNDED")
    assert await checkout.till.library() == set()


async def test_a_refund_that_stripe_takes_its_time_with_is_settled_by_its_event(checkout: Checkout) -> None:
    _, payment, _ = await checkout.opened()
    await checkout.told("checkout.session.completed", paid(payment))
    checkout.viewer, checkout.server.refund_status = checkout.till.staff, "pending"
    _, waiting = await checkout.call("refund_payment", payment_id=str(payment))
    assert (waiting["status"], waiting["order_status"]) == ("PENDING", "PAID")
    _, again = await checkout.call("refund_payment", payment_id=str(payment))
    assert again == waiting
    metadata = {"tenant_id": str(DEFAULT_TENANT), "refund_id": waiting["refund_id"]}
    about = {"id": "re_1", "status": "succeeded", "metadata": metadata}
    told = await asyncio.gather(*(checkout.told("refund.updated", about) for _ in range(3)))
    assert told == [(200, {"taken": True})] * 3
    assert await checkout.till.many("SELECT status FROM refunds") == ["SUCCESS"]
    assert await checkout.till.library() == set()


async def test_a_refund_that_stripe_refuses_has_failed_and_one_that_did_not_arrive_is_sent_again(
    checkout: Checkout,
) -> None:
    _, payment, _ = await checkout.opened()
    await checkout.told("checkout.session.completed", paid(payment))
    checkout.viewer, checkout.server.fails = checkout.till.staff, 400
    _, refused = await checkout.call("refund_payment", payment_id=str(payment))
    assert (refused["status"], refused["payment_status"]) == ("FAILED", "SUCCESS")
    checkout.server.fails = 500
    status, away = await checkout.call("refund_payment", payment_id=str(payment))
    assert (status, away["code"]) == (502, "PS527")
    checkout.server.fails = 0
    _, done = await checkout.call("refund_payment", payment_id=str(payment))
    assert (done["status"], done["order_status"]) == ("SUCCESS", "REFUNDED")
    assert sorted(await checkout.till.many("SELECT status FROM refunds")) == ["FAILED", "SUCCESS"]


async def test_without_stripe_it_is_said_and_nothing_is_begun(till_without: Checkout) -> None:
    order = await till_without.till.buys(await till_without.till.content(("5", "EUR")))
    status, refused = await till_without.call("pay_order", order_id=str(order), provider="stripe", return_url=BACK)
    assert (status, refused["code"]) == (422, "PS526")
    assert await till_without.till.many("SELECT id FROM payments") == []
    status, answer = await till_without.call("pay_order", order_id=str(order), provider="manual")
    assert (status, answer["pay_url"], answer["reference"]) == (200, None, order.hex[-12:].upper())
    body, signature = event("checkout.session.completed", paid(UUID(answer["payment_id"])))
    response = await till_without.client.post("/webhooks/stripe", data=body, headers={"Stripe-Signature": signature})
    assert response.status == 404


@pytest.fixture
async def till_without(database: Database, database_urls: TestDatabase) -> AsyncIterator[Checkout]:
    """A shop without Stripe."""
    connection = await dedicated(database_urls.admin_url)
    rows = Rows(connection, DEFAULT_TENANT)
    buyer = Viewer(DEFAULT_TENANT, (await rows.make("users"))["id"], "authenticated")
    commands = Commands(database, CONTEXTS, outside(database, None))

    async def viewer_of(_: web.Request) -> Viewer:
        return buyer

    app = web.Application(middlewares=[boundary])
    app.add_routes(RpcFace(commands, viewer_of).routes())
    app.add_routes(WebhookFace(database, None).routes())
    async with TestClient(TestServer(app)) as client:
        yield Checkout(Till(database, commands, rows, buyer, buyer), StripeServer(), client, buyer)
    await connection.close()


@given(st.decimals(0, 10**9, places=4), st.sampled_from(["EUR", "JPY", "KWD", "ISK", "UGX", "MGA", "USD"]))
def test_an_amount_comes_back_from_stripes_units_as_it_went(amount: Decimal, currency: str) -> None:
    rounded = round_amount(amount, currency)
    try:
        units = stripe_amount(rounded, currency)
    except Refusal as refusal:
        assert refusal.code.code == "PS527"
        assert currency in ("KWD", "MGA")
        return
    assert amount_from(units, currency) == rounded
    assert digits_of(currency) in (0, 2, 3)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"PENSTOCK_STRIPE_KEY": "sk_test_1"}, "PENSTOCK_STRIPE_KEY"),
        ({"PENSTOCK_STRIPE_WEBHOOK_SECRET": "whsec_1"}, "PENSTOCK_STRIPE_WEBHOOK_SECRET"),
        ({"PENSTOCK_STRIPE_KEY": "secret", "PENSTOCK_STRIPE_WEBHOOK_SECRET": "whsec_1"}, "PENSTOCK_STRIPE_KEY"),
    ],
)
def test_half_a_set_up_is_refused_at_start_without_the_secret(environ: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    assert caught.value.variable == variable
    assert not any(value in str(caught.value) for value in environ.values())


def test_settings_do_not_show_the_secrets() -> None:
    settings = read_settings({"PENSTOCK_STRIPE_KEY": "sk_test_1", "PENSTOCK_STRIPE_WEBHOOK_SECRET": "whsec_1"})
    assert "sk_test_1" not in repr(settings)
    assert "whsec_1" not in repr(settings)
