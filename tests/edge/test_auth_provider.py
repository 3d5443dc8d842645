"""Signing in with a provider of OpenID Connect, against one that runs beside the test."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from joserfc.jwk import OctKey, RSAKey
from yarl import URL

from core.database import Database, DatabaseDown
from core.variables import SettingsError, Variables
from edge.api.auth import routes
from edge.api.oidc import Providers
from edge.redis_client import Redis
from edge.settings import read_settings
from edge.settings_providers import Provider, read_providers
from tests.edge.oidc_provider import CLIENT_ID, CLIENT_SECRET, LocalProvider
from tests.edge.test_auth import EMAIL, PASSWORD, Door, boundary

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    """A provider being served."""
    local = LocalProvider()
    await local.server.start_server()
    yield local
    await local.server.close()


@pytest.fixture
async def door(database: Database, redis: Redis, provider: LocalProvider) -> AsyncIterator[Door]:
    """The routes being served, with that provider as `google`."""
    served = Door(database, redis)
    app = web.Application(middlewares=[boundary])
    known = Providers((Provider("google", provider.issuer, CLIENT_ID, CLIENT_SECRET),))
    app.add_routes(
        routes(
            database=database, gate=served.gate, access_keys=served.keys, passwords=served.passwords,
            throttle=served.throttle, clock=served.clock, providers=known,
        )
    )  # fmt: skip
    # A browser keeps cookies for 127.0.0.1 too.
    served.client = TestClient(TestServer(app))
    await served.client.start_server()
    yield served
    await served.close()


async def go(door: Door, url: str | URL) -> tuple[int, str, dict[str, Any]]:
    """One step of a browser: the status, where it is sent, and the body where it is not."""
    async with door.client.session.get(url, allow_redirects=False) as answer:
        place = answer.headers.get("Location", "")
        return answer.status, place, {} if place else await answer.json()


async def begin(door: Door, **query: str) -> str:
    """Where the provider sends the browser back to."""
    asked = {"provider": "google", "redirect_to": "/welcome", **query}
    status, place, _ = await go(door, door.client.make_url("/auth/v1/authorize").with_query(asked))
    assert status == 302, place
    status, place, _ = await go(door, URL(place, encoded=True))
    assert status == 302
    return place


async def come_back(door: Door, place: str) -> tuple[str, dict[str, str]]:
    """Where the browser ends, and what it is told there."""
    status, ending, body = await go(door, URL(place, encoded=True))
    assert status == 302, body
    parts = urlsplit(ending)
    said = {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}
    return parts.path, said


async def sign_in(door: Door, **query: str) -> dict[str, str]:
    _, said = await come_back(door, await begin(door, **query))
    return said


async def people(door: Door) -> list[dict[str, Any]]:
    return await door.run(
        "SELECT email, name, email_verified, status::text FROM users WHERE email NOT LIKE '%.invalid' ORDER BY id"
    )


@pytest.mark.rule("edupeak-011")
@pytest.mark.rule("edupeak-013")
@pytest.mark.rule("streaming-006")
async def test_a_provider_signs_a_new_person_in(door: Door) -> None:
    path, said = await come_back(door, await begin(door))
    assert path == "/welcome"
    status, user = await door.call("GET", "/user", token=said["access_token"])
    assert (status, user["email"], user["user_metadata"]) == (200, EMAIL, {"name": "Mara M."})
    assert user["app_metadata"]["providers"] == ["google"]
    assert await people(door) == [{"email": EMAIL, "name": "Mara M.", "email_verified": True, "status": "active"}]
    (account,) = await door.run("SELECT provider_id, account_id, password, auth_method::text, is_primary FROM accounts")
    assert account == {
        "provider_id": "google",
        "account_id": "sub-1",
        "password": None,
        "auth_method": "google",
        "is_primary": True,
    }
    assert (await door.refresh(said["refresh_token"]))[0] == 200
    again = await sign_in(door)
    assert (await door.call("GET", "/user", token=again["access_token"]))[1]["id"] == user["id"]
    assert len(await door.run("SELECT FROM accounts")) == 1


async def test_a_client_with_a_verifier_gets_a_code_that_only_it_can_use_once(door: Door) -> None:
    said = await sign_in(door, code_challenge=CHALLENGE, code_challenge_method="s256")
    assert set(said) == {"code"}
    for verifier, reason in (("w" * 64, "bad_code_verifier"), (VERIFIER, None), (VERIFIER, "used")):
        status, body = await door.call(
            "POST", "/token?grant_type=pkce", {"auth_code": said["code"], "code_verifier": verifier}
        )
        assert (status, body.get("reason")) == ((200, None) if reason is None else (403, reason))
    stored = str(await door.run("SELECT row_to_json(v)::text FROM verifications v"))
    assert said["code"] not in stored


async def test_a_proven_address_opens_the_account_that_has_proven_it_too(door: Door) -> None:
    session = await door.sign_up()
    await door.run("UPDATE users SET email_verified = true")
    said = await sign_in(door)
    _, user = await door.call("GET", "/user", token=said["access_token"])
    assert user["id"] == session["user"]["id"]
    assert user["app_metadata"]["providers"] == ["email", "google"]
    assert (await door.sign_in())[0] == 200
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200


async def test_whoever_waited_with_an_address_that_was_not_theirs_is_shut_out(door: Door) -> None:
    thief = await door.sign_up()
    said = await sign_in(door)
    assert (await door.sign_in())[0] == 400
    assert (await door.refresh(thief["refresh_token"]))[0] == 400
    _, user = await door.call("GET", "/user", token=said["access_token"])
    assert user["app_metadata"]["providers"] == ["google"]
    assert [one["email_verified"] for one in await people(door)] == [True]


@pytest.mark.parametrize("claim", [False, None, "yes", 1])
async def test_an_address_that_the_provider_has_not_proven_opens_nothing(
    door: Door, provider: LocalProvider, claim: object
) -> None:
    await door.sign_up()
    provider.claims["email_verified"] = claim
    assert (await sign_in(door))["error_code"] == "provider_email_needs_verification"
    provider.claims["email"] = "another@example.org"
    assert (await sign_in(door))["error_code"] == "provider_email_needs_verification"
    assert len(await people(door)) == 1
    assert [one["provider_id"] for one in await door.run("SELECT provider_id FROM accounts")] == ["credential"]


@pytest.mark.parametrize(
    "spoil",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "somebody else"},
        {"aud": [CLIENT_ID, "somebody else"]},
        {"azp": "somebody else"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"sub": ""},
        {"sub": None},
        {"sub": "x" * 256},
        {"email": None},
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_signs_nobody_in(
    door: Door, provider: LocalProvider, spoil: dict[str, object]
) -> None:
    provider.spoil = spoil
    assert (await sign_in(door))["error_code"] == "bad_oauth_callback"
    assert await people(door) == []


async def test_an_id_token_signed_by_somebody_else_signs_nobody_in(door: Door, provider: LocalProvider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "p1"})
    assert (await sign_in(door))["error_code"] == "bad_oauth_callback"
    # A shared secret is nobody's signature, whatever it was made from.
    provider.signs_with = OctKey.generate_key(256, {"kid": "p1"})
    provider.algorithm = "HS256"
    assert (await sign_in(door))["error_code"] == "bad_oauth_callback"
    assert await people(door) == []


async def test_a_provider_that_changes_its_key_is_believed_again(
    door: Door, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "access_token" in await sign_in(door)
    provider.key = provider.signs_with = RSAKey.generate_key(2048, {"kid": "p2"})
    provider.header_kid = "p2"
    assert "error" in await sign_in(door), "its keys were read less than a minute ago"
    monkeypatch.setattr("edge.api.oidc.KEYS_AGAIN_S", 0.0)
    assert "access_token" in await sign_in(door)


@pytest.mark.parametrize("status", [400, 500])
async def test_a_provider_that_fails_is_said_to_have(door: Door, provider: LocalProvider, status: int) -> None:
    provider.token_status = status
    said = await sign_in(door)
    wanted = ("access_denied", "bad_oauth_callback") if status == 400 else ("server_error", "unexpected_failure")
    assert (said["error"], said["error_code"]) == wanted
    assert await people(door) == []


async def test_who_comes_back_while_the_database_is_away_is_told_so_in_the_site(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseDown("away")

    monkeypatch.setattr("edge.api.auth_provider.identity.find_or_make_person", away)
    path, said = await come_back(door, await begin(door))
    assert (path, said["error"]) == ("/welcome", "server_error")
    assert said["error_description"] == "The service cannot do this right now."


async def test_a_sign_in_that_was_begun_in_another_browser_ends_nowhere(door: Door) -> None:
    place = await begin(door)
    door.client.session.cookie_jar.clear()
    status, _, body = await go(door, URL(place, encoded=True))
    assert (status, body["fields"][0]["path"]) == (400, "state")
    await begin(door)
    status, _, body = await go(door, URL(place, encoded=True))
    assert (status, body["fields"][0]["path"]) == (400, "state"), "the cookie is of another beginning"
    assert await people(door) == []


async def test_a_state_that_was_altered_or_is_old_ends_nowhere(door: Door) -> None:
    place = URL(await begin(door), encoded=True)
    state = place.query["state"]
    for wrong in (
        "",
        "k1",
        "k1..",
        "k1.e30.AA",
        "k9" + state[2:],
        state[:-2] + ("AA" if state[-2:] != "AA" else "BB"),
        "x" * 5000,
    ):
        status, _, body = await go(door, place.update_query(state=wrong))
        assert (status, body["fields"][0]["path"]) == (400, "state"), wrong
    door.at += timedelta(minutes=10)
    assert (await go(door, place))[0] == 400
    assert await people(door) == []


async def test_a_refusal_at_the_provider_is_passed_on_in_our_words(door: Door) -> None:
    place = URL(await begin(door), encoded=True)
    refused = place.with_query(state=place.query["state"], error="access_denied", error_description="<b>no</b>")
    path, said = await come_back(door, str(refused))
    assert (path, said["error_code"]) == ("/welcome", "bad_oauth_callback")
    assert "<b>" not in str(said)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"provider": "github"}, 404, "PS568"),
        ({"provider": ""}, 404, "PS568"),
        ({"provider": "google", "redirect_to": "https://evil.example/"}, 400, "PS104"),
        ({"provider": "google", "code_challenge": "short"}, 400, "PS104"),
        ({"provider": "google", "code_challenge": "x" * 64, "code_challenge_method": "md5"}, 400, "PS104"),
    ],
)
async def test_a_bad_beginning_is_refused(door: Door, query: dict[str, str], status: int, code: str) -> None:
    got, place, body = await go(door, door.client.make_url("/auth/v1/authorize").with_query(query))
    assert (got, place, body["code"]) == (status, "", code)


async def test_a_banned_person_is_not_let_in_by_a_provider(door: Door) -> None:
    await sign_in(door)
    await door.run("UPDATE users SET banned = true WHERE email = $1", EMAIL)
    assert (await sign_in(door))["error_code"] == "user_banned"


async def test_who_came_by_a_provider_may_choose_a_password(door: Door) -> None:
    said = await sign_in(door)
    assert (await door.call("PUT", "/user", {"password": PASSWORD}, said["access_token"]))[0] == 200
    assert (await door.sign_in())[0] == 200


async def test_the_cookie_is_for_the_way_back_alone(door: Door) -> None:
    url = door.client.make_url("/auth/v1/authorize").with_query(provider="google")
    async with door.client.session.get(url, allow_redirects=False) as answer:
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/auth/v1/callback" in cookie


GOOD = {
    "PENSTOCK_OIDC_PROVIDERS": "google, keycloak",
    "PENSTOCK_OIDC_GOOGLE_ISSUER": "https://accounts.google.com",
    "PENSTOCK_OIDC_GOOGLE_CLIENT_ID": "a",
    "PENSTOCK_OIDC_GOOGLE_CLIENT_SECRET": "b",
    "PENSTOCK_OIDC_KEYCLOAK_ISSUER": "http://127.0.0.1:8081/realms/film",
    "PENSTOCK_OIDC_KEYCLOAK_CLIENT_ID": "c",
    "PENSTOCK_OIDC_KEYCLOAK_CLIENT_SECRET": "hush",
}


def test_providers_come_from_the_environment() -> None:
    known = read_settings(GOOD).providers
    assert [provider.name for provider in known] == ["google", "keycloak"]
    assert read_providers(Variables(GOOD)) == known
    assert "hush" not in repr(known)
    assert read_settings({}).providers == ()


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"PENSTOCK_OIDC_PROVIDERS": "credential"}, "PENSTOCK_OIDC_PROVIDERS"),
        ({"PENSTOCK_OIDC_PROVIDERS": "Goo gle"}, "PENSTOCK_OIDC_PROVIDERS"),
        ({"PENSTOCK_OIDC_GOOGLE_CLIENT_ID": " "}, "PENSTOCK_OIDC_GOOGLE_CLIENT_ID"),
        ({"PENSTOCK_OIDC_GOOGLE_ISSUER": "accounts.google.com"}, "PENSTOCK_OIDC_GOOGLE_ISSUER"),
        ({"PENSTOCK_OIDC_GOOGLE_ISSUER": "http://accounts.google.com"}, "PENSTOCK_OIDC_GOOGLE_ISSUER"),
    ],
)
def test_a_wrong_provider_is_refused_at_start_by_its_variable(change: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({**GOOD, **change})
    assert refused.value.variable == variable
