"""What the schema refuses by itself, whoever asks: each line names the rule, and the constraint that says no."""

from __future__ import annotations

import pytest

from tests.core.promises import Change, Make, Promise, Twice, Unknown, promise
from tests.core.rows import Parent, Rows

THEN, LATER = "2026-01-01Z", "2026-02-01Z"
TWO_THINGS = {"item_type": "CONTENT", "content_id": Parent("contents"), "playlist_id": Parent("playlists")}
NOTHING = {"item_type": "CONTENT", "content_id": None}
WRONG_KIND = {"item_type": "CONTENT", "content_id": None, "playlist_id": Parent("playlists")}
PAID = {"status": "SUCCESS", "paid_at": THEN, "provider_transaction_id": "t1"}
QUIZ = {"type": "mcq", "options": "{a,b}"}
BLOG = {"published_at": THEN}

IDENTITY = [
    promise(Twice("users__email_unique", "users", ("email",)), pytest.mark.rule("streaming-001"), pytest.mark.rule("infocus-005"),
            pytest.mark.rule("edupeak-001"), pytest.mark.rule("podcast-021"), pytest.mark.rule("lms-001")),
    promise(Twice("users__username_unique", "users", ("username",), {"username": "vera"}), pytest.mark.rule("streaming-002"),
            pytest.mark.rule("edupeak-003")),
    promise(Twice("users__phone_unique", "users", ("phone",), {"phone": "+49"}), pytest.mark.rule("lms-002")),
    promise(Twice("users__stripe_customer_unique", "users", ("stripe_customer_id",), {"stripe_customer_id": "c"}),
            pytest.mark.rule("edupeak-100")),
    promise(Make("users__email_shape", "users", {"email": "nowhere"}), pytest.mark.rule("lms-003")),
    promise(Make("users__points_not_negative", "users", {"points": -1}), pytest.mark.rule("edupeak-033")),
    promise(Unknown("users", "role", ("student", "teacher", "super_admin")), pytest.mark.rule("lms-004")),
    promise(Unknown("users", "status", ("active", "inactive", "suspended", "pending_verification")), pytest.mark.rule("lms-005")),
    promise(Unknown("accounts", "auth_method", ("email", "google", "apple", "phone")), pytest.mark.rule("lms-015")),
    promise(Make("accounts__password_is_hash", "accounts", {"password": "secret"}), pytest.mark.rule("streaming-005"),
            pytest.mark.rule("edupeak-014"), pytest.mark.rule("infocus-006")),
    promise(Make("accounts__credential_has_password", "accounts", {"provider_id": "credential"})),
    promise(Twice("accounts__one_primary", "accounts", ("user_id",), {"is_primary": True}), pytest.mark.rule("lms-017")),
    promise(Twice("user_profiles_pkey", "user_profiles", ("user_id",)), pytest.mark.rule("infocus-007")),
    promise(Twice("sessions__token_unique", "sessions", ("token_digest",)), pytest.mark.rule("streaming-009"), pytest.mark.rule("infocus-009"),
            pytest.mark.rule("edupeak-016")),
    promise(Twice("refresh_tokens__token_unique", "refresh_tokens", ("token_digest",)),
            pytest.mark.rule("infocus-012"), pytest.mark.rule("podcast-036")),
    promise(Twice("verifications__token_unique", "verifications", ("token_digest",)),
            pytest.mark.rule("podcast-028"), pytest.mark.rule("podcast-032")),
    promise(Twice("verifications__one_open", "verifications", ("identifier", "purpose")), pytest.mark.rule("edupeak-009")),
    promise(Twice("api_keys__key_unique", "api_keys", ("key_hash",)), pytest.mark.rule("podcast-098")),
    promise(Twice("email_preferences_pkey", "email_preferences", ("user_id",)), pytest.mark.rule("podcast-024")),
    promise(Twice("user_metrics_pkey", "user_metrics", ("user_id", "metric_name")), pytest.mark.rule("podcast-085")),
    promise(Twice("online_sessions__session_unique", "online_sessions", ("session_id",)), pytest.mark.rule("edupeak-283")),
    promise(Make("login_history__failure_says_why", "login_history", {"success": False}), pytest.mark.rule("edupeak-023")),
    promise(Make("gdpr_requests__completed_has_moment", "gdpr_requests", {"status": "completed"}), pytest.mark.rule("podcast-097")),
    promise(Make("follows__not_oneself", "follows", {"follower_id": "00000000-0000-7000-8000-000000000002",
                                                     "following_id": "00000000-0000-7000-8000-000000000002"})),
]  # fmt: skip

TENANCY = [
    promise(Twice("tenants__slug_unique", "tenants", ("slug",)), pytest.mark.rule("podcast-001"), pytest.mark.rule("edupeak-047")),
    promise(Twice("tenant_settings_pkey", "tenant_settings", ("tenant_id",)), pytest.mark.rule("podcast-015")),
    promise(Twice("tenant_quotas_pkey", "tenant_quotas", ("tenant_id",)), pytest.mark.rule("podcast-016")),
    promise(Twice("memberships__once", "memberships", ("user_id", "tenant_id")), pytest.mark.rule("edupeak-049")),
    promise(Unknown("memberships", "role", ("Member", "Admin", "SuperAdmin")), pytest.mark.rule("edupeak-051")),
    promise(Twice("invitations__token_unique", "invitations", ("token_digest",)), pytest.mark.rule("edupeak-056")),
    promise(Change("invitations__transition", "invitations", {"status": "Revoked"}, {"status": "Accepted", "accepted_at": "now"}),
            pytest.mark.rule("edupeak-061"), pytest.mark.rule("edupeak-062")),
    promise(Change("invitations__transition", "invitations", {"status": "Expired"}, {"status": "Pending"}), pytest.mark.rule("edupeak-060")),
    promise(Make("invitations__accepted_has_moment", "invitations", {"status": "Accepted"}), pytest.mark.rule("edupeak-059")),
    promise(Twice("permissions__name_unique", "permissions", ("name",)), pytest.mark.rule("podcast-040")),
    promise(Twice("user_roles_pkey", "user_roles", ("user_id", "role_id")), pytest.mark.rule("podcast-041")),
    promise(Twice("role_permissions_pkey", "role_permissions", ("role_id", "permission_id")), pytest.mark.rule("podcast-042")),
    promise(Twice("resource_ownership__one_owner", "resource_ownership", ("resource_type", "resource_id")), pytest.mark.rule("podcast-047")),
    promise(Make("access_logs__refusal_says_why", "access_logs", {"allowed": False}), pytest.mark.rule("podcast-051")),
    promise(Make("white_label_settings__color_hex", "white_label_settings", {"primary_color": "red"})),
]  # fmt: skip

CATALOG = [
    promise(Unknown("contents", "content_type", ("MOVIE", "SERIES", "EPISODE", "MUSIC")), pytest.mark.rule("streaming-026")),
    promise(Make("contents__published_has_moment", "contents", {"is_published": True}), pytest.mark.rule("streaming-028")),
    promise(Change("contents__published_has_moment", "contents", {}, {"is_published": True}), pytest.mark.rule("streaming-028")),
    promise(Twice("categories__slug_unique", "categories", ("slug",), {"slug": "a"}),
            pytest.mark.rule("streaming-031"), pytest.mark.rule("lms-020")),
    promise(Twice("genres__slug_unique", "genres", ("slug",), {"slug": "a"}), pytest.mark.rule("streaming-032")),
    promise(Twice("content_categories__once", "content_categories", ("content_id", "category_id")), pytest.mark.rule("streaming-034")),
    promise(Twice("content_genres__once", "content_genres", ("content_id", "genre_id")), pytest.mark.rule("streaming-036")),
    promise(Make("content_prices__ends_after_start", "content_prices", {"effective_from": THEN, "effective_to": THEN}),
            pytest.mark.rule("streaming-037")),
    promise(Make("playlist_prices__ends_after_start", "playlist_prices", {"effective_from": "2026-01-02", "effective_to": "2026-01-02"}),
            pytest.mark.rule("streaming-038")),
    promise(Twice("content_prices__no_overlap", "content_prices", ("content_id", "currency"), {"effective_from": THEN, "effective_to": LATER}),
            pytest.mark.rule("streaming-042")),
    promise(Twice("playlist_prices__no_overlap", "playlist_prices", ("playlist_id", "currency"),
                  {"effective_from": "2026-01-01", "effective_to": "2026-02-01"}), pytest.mark.rule("streaming-043")),
    promise(Twice("playlist_episodes__order_unique", "playlist_episodes", ("playlist_id", "episode_order"), {"season_number": 1}),
            pytest.mark.rule("streaming-046")),
    promise(Twice("media_items__tmdb_unique", "media_items", ("tmdb_id",)), pytest.mark.rule("infocus-030")),
    promise(Unknown("media_items", "tmdb_type", ("movie", "tv")), pytest.mark.rule("infocus-031")),
    promise(Twice("streaming_providers__once", "streaming_providers", ("media_item_id", "provider")), pytest.mark.rule("infocus-034")),
    promise(Twice("transcripts_pkey", "transcripts", ("content_id",)), pytest.mark.rule("podcast-053")),
    promise(Twice("storage__key_unique", "storage", ("storage_provider", "bucket", "storage_key")), pytest.mark.rule("streaming-063")),
    promise(Unknown("downloads", "download_type", ("video", "pdf", "audio", "document")), pytest.mark.rule("lms-076")),
    promise(Unknown("downloads", "status", ("pending", "downloading", "completed", "failed", "expired")), pytest.mark.rule("lms-077")),
    promise(Change("downloads__transition", "downloads", {"status": "expired"}, {"status": "completed"}), pytest.mark.rule("lms-079")),
    promise(Change("downloads__transition", "downloads", {}, {"status": "completed"}), pytest.mark.rule("lms-078")),
]  # fmt: skip

COMMERCE = [
    promise(Twice("carts__one_each", "carts", ("user_id",)), pytest.mark.rule("streaming-064")),
    promise(Make("cart_items__one_thing", "cart_items", TWO_THINGS), pytest.mark.rule("streaming-065")),
    promise(Make("cart_items__one_thing", "cart_items", NOTHING), pytest.mark.rule("streaming-065")),
    promise(Make("cart_items__type_fits", "cart_items", WRONG_KIND), pytest.mark.rule("streaming-068")),
    promise(Unknown("cart_items", "item_type", ("CONTENT", "PLAYLIST")), pytest.mark.rule("streaming-066")),
    promise(Make("order_items__one_thing", "order_items", TWO_THINGS), pytest.mark.rule("streaming-071")),
    promise(Make("order_items__one_thing", "order_items", NOTHING), pytest.mark.rule("streaming-071")),
    promise(Make("order_items__type_fits", "order_items", WRONG_KIND), pytest.mark.rule("streaming-069")),
    promise(Unknown("order_items", "item_type", ("CONTENT", "PLAYLIST")), pytest.mark.rule("streaming-067")),
    promise(Make("order_items__total_is_sum", "order_items", {"price": 7}), pytest.mark.rule("streaming-073")),
    promise(Unknown("orders", "status", ("PENDING", "PAID", "FAILED", "REFUNDED")), pytest.mark.rule("streaming-074")),
    promise(Change("orders__transition", "orders", {}, {"status": "REFUNDED"}), pytest.mark.rule("streaming-078")),
    promise(Change("orders__transition", "orders", {"status": "FAILED"}, {"status": "REFUNDED"}), pytest.mark.rule("streaming-078")),
    promise(Change("orders__transition", "orders", {"status": "REFUNDED"}, {"status": "PAID"}), pytest.mark.rule("streaming-079")),
    promise(Unknown("payments", "status", ("INITIATED", "SUCCESS", "FAILED", "REFUNDED", "CANCELLED")), pytest.mark.rule("streaming-080"),
            pytest.mark.rule("lms-052")),
    promise(Unknown("payments", "method", ("razorpay", "stripe", "paypal", "wallet", "bank_transfer")), pytest.mark.rule("lms-053")),
    promise(Change("payments__transition", "payments", {"status": "FAILED"}, {"status": "SUCCESS", "paid_at": "now",
            "provider_transaction_id": "x"}),
            pytest.mark.rule("streaming-082")),
    promise(Change("payments__transition", "payments", PAID, {"status": "FAILED", "paid_at": None}), pytest.mark.rule("streaming-082")),
    promise(Change("payments__transition", "payments", {"provider_transaction_id": "x"}, {"status": "REFUNDED", "paid_at": "now"}),
            pytest.mark.rule("edupeak-117"), pytest.mark.rule("lms-055")),
    promise(Make("payments__paid_has_moment", "payments", {"status": "SUCCESS", "provider_transaction_id": "x"}),
            pytest.mark.rule("streaming-083")),
    promise(Make("payments__paid_has_moment", "payments", {"paid_at": THEN}), pytest.mark.rule("streaming-083")),
    promise(Twice("payments__transaction_unique", "payments", ("provider", "provider_transaction_id"), {"provider_transaction_id": "x"}),
            pytest.mark.rule("edupeak-118")),
    promise(Make("refunds__payment_succeeded", "refunds", {"payment_id": Parent("payments")}), pytest.mark.rule("edupeak-117")),
    promise(Make("refunds__within_payment", "refunds", {"amount": 5}), pytest.mark.rule("edupeak-116")),
    promise(Make("refunds__done_has_moment", "refunds", {"status": "SUCCESS"}), pytest.mark.rule("edupeak-116")),
    promise(Twice("user_library__once", "user_library", ("user_id", "content_id")),
            pytest.mark.rule("streaming-085"), pytest.mark.rule("streaming-087")),
    promise(Make("plans__monthly_not_negative", "plans", {"price_monthly": -1})),
    promise(Twice("plans__name_unique", "plans", ("name",)), pytest.mark.rule("podcast-119")),
    promise(Twice("billing_addresses__one_each", "billing_addresses", ("user_id",)), pytest.mark.rule("edupeak-122")),
    promise(Make("billing_addresses__city_given", "billing_addresses", {"city": ""}), pytest.mark.rule("edupeak-123")),
    promise(Make("referral_commissions__paid_has_moment", "referral_commissions", {"status": "paid"}), pytest.mark.rule("podcast-114")),
    promise(Twice("ai_token_balances_pkey", "ai_token_balances", ("user_id",)), pytest.mark.rule("podcast-115")),
    promise(Make("ai_token_balances__not_negative", "ai_token_usage", {"token_count": 1}), pytest.mark.rule("podcast-118")),
    promise(Change("referrals__transition", "referrals", {}, {"status": "converted"})),
]  # fmt: skip


@pytest.mark.parametrize("what", [*IDENTITY, *TENANCY, *CATALOG, *COMMERCE])
async def test_the_schema_refuses_what_breaks_a_rule(rows: Rows, what: Promise) -> None:
    await what.keep(rows)
