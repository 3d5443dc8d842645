"""Mailed secrets over HTTP, in GoTrue's shape: proving an address, a new password, signing in by a link."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from core.database import DatabaseDown
from edge.redis_client import connect
from tests.edge.test_auth import EMAIL, PASSWORD, Door, door

__all__ = ["door"]

NEW = "another good one"


async def mails(door: Door) -> list[dict[str, Any]]:
    rows = await door.run("SELECT payload::text AS payload FROM outbox WHERE topic = 'mail.wanted' ORDER BY seq")
    return [orjson.loads(row["payload"]) for row in rows]


async def token_of(door: Door, template: str) -> str:
    """The secret in the newest mail of a kind."""
    found = [mail for mail in await mails(door) if mail["template"] == template]
    return str(found[-1]["variables"]["token"])


async def verify(door: Door, type_: str, token: str) -> tuple[int, Any]:
    return await door.call("POST", "/verify", {"type": type_, "token_hash": token})


async def person(door: Door) -> dict[str, Any]:
    (row,) = await door.run("SELECT email, email_verified, status::text FROM users WHERE email NOT LIKE '%.invalid'")
    return row


@pytest.mark.rule("edupeak-005")
@pytest.mark.rule("edupeak-007")
@pytest.mark.rule("streaming-011")
@pytest.mark.rule("podcast-030")
@pytest.mark.rule("lms-007")
async def test_signing_up_mails_a_secret_that_proves_the_address(door: Door) -> None:
    await door.sign_up(data={"name": "Mara"})
    (kept,) = await door.run("SELECT identifier, purpose::text, used_at, expires_at FROM verifications")
    assert (kept["identifier"], kept["purpose"], kept["used_at"]) == (EMAIL, "email", None)
    assert kept["expires_at"] == door.at + timedelta(hours=24)
    (mail,) = await mails(door)
    assert (mail["template"], mail["to"], mail["kind"]) == ("verify_email", EMAIL, "transactional")
    assert mail["variables"]["name"] == "Mara"
    assert await person(door) == {"email": EMAIL, "email_verified": False, "status": "pending_verification"}
    status, session = await verify(door, "signup", mail["variables"]["token"])
    assert status == 200
    assert session["user"]["email_confirmed_at"] is not None
    assert await person(door) == {"email": EMAIL, "email_verified": True, "status": "active"}
    assert (await door.run("SELECT used_at FROM verifications"))[0]["used_at"] == door.at
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200


async def test_only_the_digest_of_a_secret_is_stored(door: Door) -> None:
    await door.sign_up()
    stored = str(await door.run("SELECT row_to_json(v)::text FROM verifications v"))
    stored += str(await door.run("SELECT row_to_json(a)::text FROM audit_logs a"))
    assert await token_of(door, "verify_email") not in stored


@pytest.mark.rule("edupeak-008")
@pytest.mark.rule("streaming-013")
@pytest.mark.rule("podcast-029")
async def test_an_expired_secret_is_refused_and_proves_nothing(door: Door) -> None:
    await door.sign_up()
    token = await token_of(door, "verify_email")
    door.at += timedelta(hours=24)
    status, body = await verify(door, "signup", token)
    assert (status, body["code"], body["error_code"], body["reason"]) == (403, "PS566", "otp_expired", "expired")
    assert (await person(door))["email_verified"] is False


@pytest.mark.rule("podcast-031")
async def test_a_secret_is_used_once(door: Door) -> None:
    await door.sign_up()
    token = await token_of(door, "verify_email")
    assert (await verify(door, "signup", token))[0] == 200
    status, body = await verify(door, "signup", token)
    assert (status, body["reason"]) == (403, "used")
    assert await door.run("SELECT count(*) FROM sessions") == [{"count": 2}]


async def test_a_secret_is_for_one_purpose(door: Door) -> None:
    await door.sign_up()
    token = await token_of(door, "verify_email")
    for type_ in ("recovery", "magiclink", "email_change"):
        assert (await verify(door, type_, token))[1]["reason"] == "unknown"
    assert (await verify(door, "email", token))[0] == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"token_hash": "x"}, "type"),
        ({"type": "sms", "token_hash": "x"}, "type"),
        ({"type": "signup"}, "token_hash"),
        ({"type": "signup", "token_hash": 4}, "token_hash"),
    ],
)
async def test_a_bad_verification_is_refused_by_field(door: Door, body: object, path: str) -> None:
    status, answer = await door.call("POST", "/verify", body)
    assert (status, answer["fields"][0]["path"]) == (422, path)


@pytest.mark.parametrize("token", ["x", "a" * 513, "\U0001f3ac", "null"])
async def test_a_secret_that_is_none_is_refused(door: Door, token: str) -> None:
    status, body = await verify(door, "signup", token)
    assert (status, body["reason"]) == (403, "unknown")


async def ask_for_proof(door: Door, value: str = "true") -> None:
    await door.run(
        "INSERT INTO tenant_settings (tenant_id, settings) SELECT id, $1::text::jsonb FROM tenants WHERE slug = 'default'",
        '{"require_verified_email": ' + value + "}",
    )
    door.gate.forget_all()


@pytest.mark.rule("edupeak-006")
async def test_where_it_is_asked_for_nobody_comes_in_before_their_address_is_proven(door: Door) -> None:
    before = await door.sign_up("early@example.org")
    await ask_for_proof(door)
    assert (await door.call("GET", "/settings"))[1]["mailer_autoconfirm"] is False
    status, body = await door.call("GET", "/user", token=before["access_token"])
    assert (status, body["code"], body["error_code"]) == (403, "PS565", "email_not_confirmed")
    assert (await door.refresh(before["refresh_token"]))[1]["error_code"] == "email_not_confirmed"
    user = await door.sign_up()
    assert "access_token" not in user
    assert (user["email"], user["email_confirmed_at"]) == (EMAIL, None)
    assert (await door.sign_in())[1]["error_code"] == "email_not_confirmed"
    status, session = await verify(door, "signup", await token_of(door, "verify_email"))
    assert status == 200
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200
    assert (await door.sign_in())[0] == 200


@pytest.mark.parametrize("value", ["false", "null", '"true"', "1"])
async def test_where_it_is_not_asked_for_people_come_in_at_once(door: Door, value: str) -> None:
    await ask_for_proof(door, value)
    assert (await door.call("GET", "/settings"))[1]["mailer_autoconfirm"] is True
    session = await door.sign_up()
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200
    assert (await person(door))["email_verified"] is False


async def test_signing_up_with_a_known_address_looks_like_any_other_where_proof_is_asked_for(door: Door) -> None:
    await ask_for_proof(door)
    first = await door.sign_up(data={"name": "Mara"})
    again = await door.sign_up(data={"name": "Mara"})
    assert again.keys() == first.keys()
    assert [one.keys() for one in again["identities"]] == [one.keys() for one in first["identities"]]
    assert again["id"] != first["id"]
    assert len(await mails(door)) == 1
    assert await door.run("SELECT count(*) FROM users WHERE email NOT LIKE '%.invalid'") == [{"count": 1}]


@pytest.mark.rule("edupeak-010")
@pytest.mark.rule("podcast-034")
@pytest.mark.rule("podcast-035")
async def test_a_password_is_reset_by_mail(door: Door) -> None:
    old = await door.sign_up()
    (before,) = await door.run("SELECT password FROM accounts")
    assert await door.call("POST", "/recover", {"email": "MARA@example.org"}) == (200, {})
    token = await token_of(door, "reset_password")
    (kept,) = await door.run("SELECT used_at FROM verifications WHERE purpose = 'password_reset'")
    assert kept["used_at"] is None
    status, session = await verify(door, "recovery", token)
    assert status == 200
    (kept,) = await door.run("SELECT used_at FROM verifications WHERE purpose = 'password_reset'")
    assert kept["used_at"] == door.at
    assert (await door.call("PUT", "/user", {"password": NEW}, session["access_token"]))[0] == 200
    assert (await door.run("SELECT password FROM accounts"))[0]["password"] != before["password"]
    assert (await door.sign_in())[0] == 400
    assert (await door.sign_in(password=NEW))[0] == 200
    assert (await door.call("GET", "/user", token=old["access_token"]))[0] == 401
    assert (await verify(door, "recovery", token))[1]["reason"] == "used"
    assert [mail["kind"] for mail in await mails(door) if mail["template"] == "password_changed"] == ["security"]


@pytest.mark.rule("podcast-033")
async def test_an_expired_reset_leaves_the_password_as_it_was(door: Door) -> None:
    await door.sign_up()
    await door.call("POST", "/recover", {"email": EMAIL})
    door.at += timedelta(hours=1)
    assert (await verify(door, "recovery", await token_of(door, "reset_password")))[1]["reason"] == "expired"
    assert (await door.sign_in())[0] == 200


@pytest.mark.parametrize("path", ["/recover", "/otp", "/magiclink", "/resend"])
async def test_asking_for_a_mail_tells_nobody_who_has_an_account(door: Door, path: str) -> None:
    await door.sign_up()
    door.at += timedelta(minutes=2)
    before = len(await mails(door))
    body = {"type": "signup", "create_user": True}
    assert await door.call("POST", path, {**body, "email": "nobody@example.org"}) == (200, {})
    assert len(await mails(door)) == before
    assert await door.call("POST", path, {**body, "email": EMAIL}) == (200, {})
    assert len(await mails(door)) == before + 1
    # Both wrote one row more than nothing: a commit takes the same time for either.
    events = await door.run("SELECT event_type, user_id IS NULL AS is_nobody FROM security_events ORDER BY id")
    assert [event["is_nobody"] for event in events[-2:]] == [True, False]
    assert events[-1]["event_type"] == events[-2]["event_type"]


async def test_a_newer_mail_makes_the_older_worthless_and_there_is_one_a_minute(door: Door) -> None:
    await door.sign_up()
    first = await token_of(door, "verify_email")
    await door.call("POST", "/resend", {"type": "signup", "email": EMAIL})
    assert len(await mails(door)) == 1
    door.at += timedelta(minutes=1)
    await door.call("POST", "/resend", {"type": "signup", "email": EMAIL})
    second = await token_of(door, "verify_email")
    assert second != first
    assert (await verify(door, "signup", first))[1]["reason"] == "unknown"
    assert (await verify(door, "signup", second))[0] == 200
    door.at += timedelta(minutes=1)
    await door.call("POST", "/resend", {"type": "signup", "email": EMAIL})
    assert len(await mails(door)) == 2, "a proven address is not proven again"


async def test_a_mailbox_is_not_filled(door: Door) -> None:
    statuses = [(await door.call("POST", "/recover", {"email": EMAIL}))[0] for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert (await door.call("POST", "/otp", {"email": "nobody@example.org"}))[0] == 200


async def test_without_redis_a_mailbox_still_gets_one_mail_a_minute(door: Door) -> None:
    await door.sign_up()
    away = connect("unix:///nonexistent/redis.sock")
    door.throttle._redis = away
    for _ in range(8):
        assert (await door.call("POST", "/recover", {"email": EMAIL}))[0] == 200
    assert [mail["template"] for mail in await mails(door)] == ["verify_email", "reset_password"]
    await away.aclose()


async def test_a_link_signs_in_and_proves_the_address(door: Door) -> None:
    await door.sign_up()
    await door.call("POST", "/otp", {"email": EMAIL, "create_user": False})
    token = await token_of(door, "magic_link")
    url = f"/auth/v1/verify?type=magiclink&token={token}&redirect_to=/watch%3Fv%3D1"
    async with door.client.get(url, allow_redirects=False) as answer:
        place = answer.headers["Location"]
        assert (answer.status, answer.headers["Referrer-Policy"]) == (303, "no-referrer")
    target, _, fragment = place.partition("#")
    assert target.endswith("/watch?v=1")
    said = parse_qs(fragment)
    assert said["type"] == ["magiclink"]
    assert (await door.call("GET", "/user", token=said["access_token"][0]))[0] == 200
    assert (await person(door))["email_verified"] is True
    async with door.client.get(url, allow_redirects=False) as answer:
        said = parse_qs(answer.headers["Location"].partition("#")[2])
    assert (said["error"], said["error_code"]) == (["access_denied"], ["otp_expired"])


async def test_a_link_that_is_followed_while_the_database_is_away_leads_into_the_site_and_still_works(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.sign_up()
    url = f"/auth/v1/verify?type=signup&token={await token_of(door, 'verify_email')}"

    async def away(*_: object) -> None:
        raise DatabaseDown("away")

    with monkeypatch.context() as patched:
        patched.setattr("edge.api.auth_mail.identity.redeem", away)
        async with door.client.get(url, allow_redirects=False) as answer:
            assert answer.status == 303
            said = parse_qs(answer.headers["Location"].partition("#")[2])
    assert (said["error"], said["error_description"]) == (["server_error"], ["The service cannot do this right now."])
    async with door.client.get(url, allow_redirects=False) as answer:
        assert "access_token" in parse_qs(answer.headers["Location"].partition("#")[2])


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http://127.0.0.1.evil.example/",
        "/\r\nX: 1",
    ],
)
async def test_a_link_leads_nowhere_but_into_the_site(door: Door, target: str) -> None:
    await door.sign_up()
    token = await token_of(door, "verify_email")
    query = {"type": "signup", "token": token, "redirect_to": target}
    async with door.client.get("/auth/v1/verify", params=query, allow_redirects=False) as answer:
        assert (answer.status, (await answer.json())["fields"][0]["path"]) == (400, "redirect_to")
    assert (await verify(door, "signup", token))[0] == 200, "and its secret is not spent"


async def test_an_address_is_changed_by_answering_the_mail_that_went_there(door: Door) -> None:
    session = await door.sign_up()
    status, user = await door.call("PUT", "/user", {"email": "new@example.org"}, session["access_token"])
    assert (status, user["email"]) == (200, EMAIL)
    sent = [(mail["template"], mail["to"], mail["kind"]) for mail in await mails(door)]
    assert sent[1:] == [("email_change", "new@example.org", "transactional"), ("email_change_asked", EMAIL, "security")]
    assert (await verify(door, "email_change", await token_of(door, "email_change")))[0] == 200
    assert await person(door) == {"email": "new@example.org", "email_verified": True, "status": "active"}
    assert (await door.sign_in("new@example.org"))[0] == 200
    assert (await door.sign_in())[0] == 400
    assert (await verify(door, "signup", await token_of(door, "verify_email")))[1]["reason"] == "unknown"


async def test_an_address_that_is_taken_is_not_said_to_be(door: Door) -> None:
    await door.sign_up("other@example.org")
    session = await door.sign_up()
    before = len(await mails(door))
    status, user = await door.call("PUT", "/user", {"email": "OTHER@example.org"}, session["access_token"])
    assert (status, user["email"]) == (200, EMAIL)
    assert len(await mails(door)) == before


async def test_a_banned_person_is_not_let_in_by_mail_and_keeps_the_link(door: Door) -> None:
    await door.sign_up()
    token = await token_of(door, "verify_email")
    await door.run("UPDATE users SET banned = true WHERE email = $1", EMAIL)
    assert (await verify(door, "signup", token))[1]["error_code"] == "user_banned"
    await door.run("UPDATE users SET banned = false WHERE email = $1", EMAIL)
    assert (await verify(door, "signup", token))[0] == 200


@pytest.mark.rule("edupeak-021")
@pytest.mark.rule("edupeak-022")
@pytest.mark.rule("edupeak-329")
async def test_every_try_to_come_in_is_remembered_with_where_it_came_from(door: Door) -> None:
    await door.sign_up()
    await door.sign_in(password="a wrong one")
    await door.sign_in()
    await door.run("UPDATE users SET banned = true WHERE email = $1", EMAIL)
    await door.sign_in()
    await door.sign_in("nobody@example.org")
    tries = await door.run(
        "SELECT success, failure_reason AS why, host(ip_address) AS ip, user_agent IS NOT NULL AS agent FROM login_history ORDER BY id"
    )
    assert [(one["success"], one["why"]) for one in tries] == [
        (True, None),
        (False, "wrong_password"),
        (True, None),
        (False, "banned"),
    ]
    assert all(one["ip"] == "127.0.0.1" and one["agent"] for one in tries)
    assert await door.run("SELECT DISTINCT host(ip_address) AS ip FROM sessions") == [{"ip": "127.0.0.1"}]


async def test_a_lock_is_remembered_too(door: Door) -> None:
    await door.sign_up()
    await door.run("UPDATE users SET locked_until = $1 WHERE email = $2", door.at + timedelta(minutes=5), EMAIL)
    assert (await door.sign_in())[0] == 429
    assert (await door.run("SELECT failure_reason FROM login_history WHERE NOT success")) == [
        {"failure_reason": "locked"}
    ]
    assert PASSWORD not in str(await door.run("SELECT row_to_json(h)::text FROM login_history h"))
