"""What a webhook is sent, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from core.domain.platform.webhooks import new_secret
from edge.effects.line import Again, Dead, Done
from edge.effects.webhook import body_of, headers_of, judge, retry_after_s

EVENT = str(UUID(int=7))
MOMENT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_body_is_verified_by_the_reference_library(data: object) -> None:
    secret = new_secret()
    body = body_of("content.published", MOMENT, data)
    headers = headers_of(body, EVENT, [secret], datetime.now(UTC))
    verified = Webhook(secret).verify(body, headers)
    assert verified == {
        "type": "content.published",
        "timestamp": "2026-11-21T12:00:00+00:00",
        "data": orjson.loads(orjson.dumps(data)),
    }


@pytest.mark.rule("podcast-108")
def test_a_changed_body_id_or_moment_and_another_secret_are_found_out() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    body = body_of("content.published", MOMENT, {"content_id": "1"})
    headers = headers_of(body, EVENT, [secret], now)
    Webhook(secret).verify(body, headers)
    later = str(int(now.timestamp()) + 1)
    for changed_body, changed_headers, key in (
        (body + b" ", headers, secret),
        (body, {**headers, "webhook-id": "msg_x"}, secret),
        (body, {**headers, "webhook-timestamp": later}, secret),
        (body, headers, new_secret()),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(changed_body, changed_headers)


def test_the_moment_of_signing_is_utc_whatever_the_clock_is_set_to() -> None:
    elsewhere = datetime.now(UTC).astimezone(tz=None)
    headers = headers_of(b"{}", EVENT, [new_secret()], elsewhere)
    assert abs(int(headers["webhook-timestamp"]) - elsewhere.timestamp()) <= 1


def test_during_a_rotation_either_secret_verifies() -> None:
    new, old = new_secret(), new_secret()
    body = body_of("content.published", MOMENT, {})
    headers = headers_of(body, EVENT, [new, old], datetime.now(UTC))
    for secret in (new, old):
        Webhook(secret).verify(body, headers)


def test_what_an_answer_means() -> None:
    assert judge(204, {}, MOMENT) == Done("answered 204")
    assert isinstance(judge(410, {}, MOMENT), Dead)
    for status in (301, 302, 307, 308):
        assert judge(status, {"Location": "http://127.0.0.1/"}, MOMENT) == Again(
            f"answered {status}: redirects are not followed", None
        )
    for status in (400, 401, 404, 500, 503):
        assert judge(status, {}, MOMENT) == Again(f"answered {status}", None)
    assert judge(429, {"Retry-After": "120"}, MOMENT) == Again("answered 429", 120.0)


def test_retry_after_is_seconds_or_a_moment() -> None:
    later = MOMENT + timedelta(seconds=90)
    for text in (later.strftime("%a, %d %b %Y %H:%M:%S GMT"), later.strftime("%a, %d %b %Y %H:%M:%S -0000")):
        assert retry_after_s(text, MOMENT) == 90
    assert retry_after_s("0", MOMENT) == 0
    assert retry_after_s("Mon, 01 Jan 2001 00:00:00 GMT", MOMENT) == 0


@given(st.text(max_size=40))
def test_a_retry_after_that_says_nothing_is_left_aside(text: str) -> None:
    found = retry_after_s(text, MOMENT)
    assert found is None or found >= 0
