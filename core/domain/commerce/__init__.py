"""Commerce: carts, orders, payments, refunds, subscriptions, and the library that a paid order fills. Knows nothing of playing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from core.domain.commerce import billing, cart, direct, orders, partners, payments, refunds, subscriptions
from core.domain.context import EVERY_VERB, READ_ONLY, STAFF, Command, Context, Handler, Table
from core.viewer import Role

BUYERS: frozenset[Role] = frozenset({"authenticated", "staff"})

# TABLES
# What has to do with money is written by commands, each row with what follows from it; here it is read.
_PLAN = frozenset(
    {
        *("name", "description", "price_monthly", "price_yearly", "currency", "features"),
        *("opens_catalog", "opens_courses", "max_streams", "max_height", "is_offered"),
    }
)
_PARTNER = frozenset({"name", "contact_email", "commission_rate"})
_ID = frozenset({"id"})
_TENANT = frozenset({"tenant_id"})
TABLES = (
    Table("carts", hidden=_TENANT),
    Table("cart_items", hidden=_TENANT),
    Table("orders"),
    Table("order_items", hidden=_TENANT),
    # What a provider sends may hold more of a person than anybody needs to see.
    Table("payments", hidden=frozenset({"provider_data", "metadata"})),
    Table("refunds"),
    Table("user_library"),
    Table("direct_purchases"),
    Table("content_purchases", READ_ONLY),
    Table("plans", EVERY_VERB, insertable=_PLAN | _ID, updatable=_PLAN),
    Table("subscriptions"),
    Table("billing_transactions"),
    Table("billing_addresses"),
    Table("payouts"),
    Table("referrals"),
    Table("referral_commissions"),
    Table("affiliates", EVERY_VERB, insertable=_PARTNER | _ID, updatable=_PARTNER),
    Table("agencies", EVERY_VERB, insertable=_PARTNER | _ID, updatable=_PARTNER),
    Table("ai_token_balances"),
    Table("ai_token_usage"),
)

# STATES
STATES: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "orders": {
            "PENDING": frozenset({"PAID", "FAILED"}),
            "PAID": frozenset({"REFUNDED"}),
            "FAILED": frozenset(),
            "REFUNDED": frozenset(),
        },
        "payments": {
            "INITIATED": frozenset({"SUCCESS", "FAILED", "CANCELLED"}),
            "SUCCESS": frozenset({"REFUNDED"}),
            "FAILED": frozenset(),
            "CANCELLED": frozenset(),
            "REFUNDED": frozenset(),
        },
        "refunds": {"PENDING": frozenset({"SUCCESS", "FAILED"}), "SUCCESS": frozenset(), "FAILED": frozenset()},
        "subscriptions": {
            "trialing": frozenset({"active", "past_due", "cancelled", "expired"}),
            "active": frozenset({"past_due", "cancelled", "expired"}),
            "past_due": frozenset({"active", "cancelled", "expired"}),
            "cancelled": frozenset(),
            "expired": frozenset(),
        },
        "billing_transactions": {
            "pending": frozenset({"succeeded", "failed"}),
            "succeeded": frozenset({"refunded"}),
            "failed": frozenset(),
            "refunded": frozenset(),
        },
        "direct_purchases": {"PAID": frozenset({"REFUNDED"}), "REFUNDED": frozenset()},
        "payouts": {
            "pending": frozenset({"processing", "cancelled"}),
            "processing": frozenset({"paid", "failed"}),
            "failed": frozenset({"pending"}),
            "paid": frozenset(),
            "cancelled": frozenset(),
        },
        "referrals": {
            "pending": frozenset({"signed_up", "expired"}),
            "signed_up": frozenset({"converted", "expired"}),
            "converted": frozenset(),
            "expired": frozenset(),
        },
        "referral_commissions": {
            "pending": frozenset({"paid", "cancelled"}),
            "paid": frozenset(),
            "cancelled": frozenset(),
        },
    }
)

# COMMANDS
COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "add_to_cart": Command(cart.AddToCart, cart.Cart, BUYERS),
        "remove_from_cart": Command(cart.RemoveFromCart, cart.Cart, BUYERS),
        "view_cart": Command(cart.ViewCart, cart.Cart, BUYERS, is_read=True),
        "checkout": Command(orders.Checkout, orders.Order, BUYERS),
        "cancel_order": Command(orders.CancelOrder, orders.Order, BUYERS),
        "save_billing_address": Command(billing.SaveBillingAddress, billing.AddressSaved, BUYERS),
        "pay_order": Command(payments.PayOrder, payments.PaymentOpened, BUYERS),
        "record_payment": Command(payments.RecordPayment, payments.Payment, STAFF),
        "fail_payment": Command(payments.FailPayment, payments.Payment, STAFF),
        "refund_payment": Command(refunds.RefundPayment, refunds.Refunded, STAFF),
        "record_direct_purchase": Command(direct.RecordDirectPurchase, direct.DirectPurchase, STAFF),
        "refund_direct_purchase": Command(direct.RefundDirectPurchase, direct.DirectPurchase, STAFF),
        "cancel_subscription": Command(subscriptions.CancelSubscription, subscriptions.Subscription, BUYERS),
        "resume_subscription": Command(subscriptions.ResumeSubscription, subscriptions.Subscription, BUYERS),
        "renew_subscription": Command(subscriptions.RenewSubscription, orders.Order, BUYERS),
        "refer_person": Command(partners.ReferPerson, partners.Referral, BUYERS),
        "add_commission": Command(partners.AddCommission, partners.Commission, STAFF),
        "pay_commission": Command(partners.PayCommission, partners.Commission, STAFF),
        "earnings": Command(partners.Earnings, partners.Earned, BUYERS, is_read=True),
        "add_payout": Command(partners.AddPayout, partners.Payout, STAFF),
        "move_payout": Command(partners.MovePayout, partners.Payout, STAFF),
    }
)

# HANDLERS
HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {
        cart.AddToCart: cart.do_add_to_cart,
        cart.RemoveFromCart: cart.do_remove_from_cart,
        cart.ViewCart: cart.do_view_cart,
        orders.Checkout: orders.do_checkout,
        orders.CancelOrder: orders.do_cancel_order,
        billing.SaveBillingAddress: billing.do_save_billing_address,
        payments.PayOrder: payments.do_pay_order,
        payments.RecordPayment: payments.do_record_payment,
        payments.FailPayment: payments.do_fail_payment,
        refunds.RefundPayment: refunds.do_refund_payment,
        direct.RecordDirectPurchase: direct.do_record_direct_purchase,
        direct.RefundDirectPurchase: direct.do_refund_direct_purchase,
        subscriptions.CancelSubscription: subscriptions.do_cancel_subscription,
        subscriptions.ResumeSubscription: subscriptions.do_resume_subscription,
        subscriptions.RenewSubscription: subscriptions.do_renew_subscription,
        partners.ReferPerson: partners.do_refer_person,
        partners.AddCommission: partners.do_add_commission,
        partners.PayCommission: partners.do_pay_commission,
        partners.Earnings: partners.do_earnings,
        partners.AddPayout: partners.do_add_payout,
        partners.MovePayout: partners.do_move_payout,
    }
)

CONTEXT = Context("commerce", TABLES, STATES, COMMANDS, HANDLERS)
