"""Coming and going over HTTP, in GoTrue's shape, against real PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from core.database import Database
from core.errors import TOO_MANY_TRIES, UNAVAILABLE, Refusal
from core.keys import parse_ring
from core.viewer import service
from edge.api.access import AccessKeys, DatabaseSessions, Gate
from edge.api.auth import routes
from edge.api.gotrue import MAX_BODY_BYTES
from edge.api.passwords import Passwords, decoy
from edge.api.throttle import Limit, Throttle, network_of
from edge.redis_client import Breaker, Redis, connect

EMAIL, PASSWORD = "mara@example.org", "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@web.middleware
async def boundary(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
        return web.json_response(refusal.body(), status=refusal.code.status, headers=headers)


class Door:
    """A client of the routes, with what stands behind them."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self.at = datetime.now(UTC)
        self.database = database
        self.passwords = Passwords(hasher=QUICK)
        self.keys = AccessKeys(parse_ring("k1:" + "s" * 40))
        self.breaker = Breaker()
        self.throttle = Throttle(redis, self.breaker)
        self.gate = Gate(self.keys, DatabaseSessions(database), clock=self.clock)
        self.client: TestClient[web.Request, web.Application]

    def clock(self) -> datetime:
        return self.at

    async def open(self) -> None:
        app = web.Application(middlewares=[boundary])
        app.add_routes(
            routes(
                database=self.database, gate=self.gate, access_keys=self.keys, passwords=self.passwords,
                throttle=self.throttle, clock=self.clock,
            )
        )  # fmt: skip
        self.client = TestClient(TestServer(app))
        await self.client.start_server()

    async def close(self) -> None:
        await self.client.close()
        self.passwords.close()

    async def call(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.client.request(method, "/auth/v1" + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def sign_up(self, email: str = EMAIL, password: str = PASSWORD, **more: object) -> dict[str, Any]:
        status, body = await self.call("POST", "/signup", {"email": email, "password": password, **more})
        assert status == 200, body
        session: dict[str, Any] = body
        return session

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> tuple[int, Any]:
        return await self.call("POST", "/token?grant_type=password", {"email": email, "password": password})

    async def refresh(self, token: str) -> tuple[int, Any]:
        return await self.call("POST", "/token?grant_type=refresh_token", {"refresh_token": token})

    async def run(self, sql: str, *args: object) -> list[dict[str, Any]]:
        async with self.database.transaction(service()) as tx:
            return [dict(row) for row in await tx.connection.fetch(sql, *args)]


@pytest.fixture
async def door(database: Database, redis: Redis) -> AsyncIterator[Door]:
    """The routes being served."""
    served = Door(database, redis)
    await served.open()
    yield served
    await served.close()


@pytest.mark.rule("streaming-004")
@pytest.mark.rule("infocus-010")
@pytest.mark.rule("podcast-023")
async def test_signing_up_then_in_gives_a_session_of_that_person(door: Door) -> None:
    signed_up = await door.sign_up(
        " Mara@EXAMPLE.org", data={"name": "Mara M.", "plan": "free"}, gotrue_meta_security={}
    )
    user = signed_up["user"]
    assert (user["email"], user["user_metadata"]) == ("Mara@example.org", {"name": "Mara M."})
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "role": "user"}
    assert (user["aud"], user["role"], user["email_confirmed_at"]) == ("authenticated", "authenticated", None)
    assert [one["provider"] for one in user["identities"]] == ["email"]
    status, session = await door.sign_in("MARA@example.ORG")
    assert status == 200
    assert set(session) == {"access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user"}
    assert (session["token_type"], session["expires_in"]) == ("bearer", 3600)
    assert session["expires_at"] == int(door.at.timestamp()) + 3600
    status, same = await door.call("GET", "/user", token=session["access_token"])
    assert (status, same["id"]) == (200, user["id"])
    assert await door.run("SELECT provider_id FROM accounts") == [{"provider_id": "credential"}]


@pytest.mark.rule("streaming-005")
@pytest.mark.rule("lms-014")
@pytest.mark.rule("podcast-022")
@pytest.mark.rule("edupeak-014")
async def test_no_secret_is_stored_or_answered(door: Door) -> None:
    session = await door.sign_up()
    _, user = await door.call("GET", "/user", token=session["access_token"])
    (account,) = await door.run("SELECT password FROM accounts")
    assert account["password"].startswith("$argon2id$")
    assert PASSWORD not in account["password"]
    for answer in (session, user):
        assert "argon2" not in str(answer)
        assert PASSWORD not in str(answer)
    stored = str(await door.run("SELECT row_to_json(s)::text FROM sessions s"))
    stored += str(await door.run("SELECT row_to_json(t)::text FROM refresh_tokens t"))
    assert session["refresh_token"] not in stored
    assert session["access_token"] not in stored


@pytest.mark.rule("streaming-001")
async def test_an_address_is_taken_once(door: Door) -> None:
    await door.sign_up()
    status, body = await door.call("POST", "/signup", {"email": "MARA@example.org", "password": PASSWORD})
    assert (status, body["code"], body["error_code"]) == (422, "PS307", "user_already_exists")
    assert body["fields"] == [{"path": "email", "why": "is taken"}]


async def test_a_name_is_made_from_the_address_when_none_is_given(door: Door) -> None:
    assert (await door.sign_up())["user"]["user_metadata"] == {"name": "mara"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"password": PASSWORD}, "email"),
        ({"email": None, "password": PASSWORD}, "email"),
        ({"email": EMAIL}, "password"),
        ({"email": EMAIL, "password": ""}, "password"),
        ({"email": 4, "password": PASSWORD}, "email"),
        ({"email": "mara", "password": PASSWORD}, "email"),
        ({"email": "ma\u0000ra@example.org", "password": PASSWORD}, "email"),
        ({"email": EMAIL, "password": "short"}, "password"),
        ({"email": EMAIL, "password": "MARA@example.org"}, "password"),
        ({"email": EMAIL, "password": "x" * 257}, "password"),
        ({"email": EMAIL, "password": PASSWORD, "data": {"name": 4}}, "data.name"),
        ({"email": EMAIL, "password": PASSWORD, "data": {"name": " "}}, "data.name"),
        ({"email": EMAIL, "password": PASSWORD, "data": []}, "data"),
        ([], "body"),
    ],
)
async def test_a_bad_sign_up_is_refused_by_field_and_changes_nothing(door: Door, body: object, path: str) -> None:
    status, answer = await door.call("POST", "/signup", body)
    assert status == 422
    assert [field["path"] for field in answer["fields"]] == [path]
    assert answer["error_code"] in ("validation_failed", "weak_password")
    assert isinstance(answer["msg"], str)
    assert await door.run("SELECT email FROM users WHERE email NOT LIKE 'system@%'") == []


async def test_a_weak_password_says_why_where_clients_look(door: Door) -> None:
    _, body = await door.call("POST", "/signup", {"email": EMAIL, "password": "short"})
    assert (body["error_code"], body["weak_password"]["reasons"]) == ("weak_password", ["length"])


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nonsense", b'{"email": "\xff"}', b'{"a":' * 9000, b"[" * 60_000, b'"\\ud800"']
)
async def test_what_is_not_json_is_refused(door: Door, raw: bytes) -> None:
    async with door.client.post("/auth/v1/signup", data=raw, headers={"Content-Type": "application/json"}) as answer:
        body = await answer.json()
    assert (answer.status, body["error_code"]) in ((400, "bad_json"), (422, "validation_failed"))


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "", "json"]
)
async def test_a_body_that_does_not_say_it_is_json_is_refused(door: Door, kind: str) -> None:
    raw = orjson.dumps({"email": EMAIL, "password": PASSWORD})
    async with door.client.post("/auth/v1/signup", data=raw, headers={"Content-Type": kind}) as answer:
        body = await answer.json()
    assert (answer.status, body["code"], body["error_code"]) == (415, "PS108", "bad_json")
    assert await door.run("SELECT email FROM users WHERE email NOT LIKE 'system@%'") == []


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json;charset=UTF-8", "Application/JSON; charset=utf-8"]
)
async def test_json_is_taken_as_gotrues_clients_say_it(door: Door, kind: str) -> None:
    raw = orjson.dumps({"email": EMAIL, "password": PASSWORD})
    async with door.client.post("/auth/v1/signup", data=raw, headers={"Content-Type": kind}) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 8192

    for data in (b" " * (MAX_BODY_BYTES + 1), endless()):
        async with door.client.post("/auth/v1/signup", data=data) as answer:
            assert answer.status == 413


@pytest.mark.parametrize(
    "query", ["", "?grant_type=", "?grant_type=id_token", "?grant_type=password&grant_type=password"]
)
async def test_only_two_grants_are_known(door: Door, query: str) -> None:
    status, body = await door.call("POST", f"/token{query}", {"email": EMAIL, "password": PASSWORD})
    assert (status, body["fields"][0]["path"]) == (400, "grant_type")


async def test_an_unknown_account_costs_and_answers_the_same_as_a_wrong_password(door: Door) -> None:
    await door.sign_up()
    answers = []
    for email in (EMAIL, "nobody@example.org", "system@penstock.invalid"):
        before = door.passwords.verifications
        answers.append(await door.sign_in(email, "wrong password"))
        assert door.passwords.verifications == before + 1
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0][0], answers[0][1]["error_code"]) == (400, "invalid_credentials")


@pytest.mark.rule("streaming-014")
@pytest.mark.rule("streaming-015")
@pytest.mark.rule("edupeak-024")
@pytest.mark.rule("edupeak-026")
async def test_a_banned_person_neither_signs_in_nor_acts_until_the_ban_ends(door: Door) -> None:
    session = await door.sign_up()
    until = door.at + timedelta(minutes=10)
    (user,) = await door.run(
        "UPDATE users SET banned = true, ban_expires = $1 WHERE email = $2 RETURNING id", until, EMAIL
    )
    door.gate.note_change({"t": "users", "u": str(user["id"])})
    for status, body in (
        await door.sign_in(),
        await door.refresh(session["refresh_token"]),
        await door.call("GET", "/user", token=session["access_token"]),
    ):
        assert (status, body["code"], body["error_code"]) == (403, "PS305", "user_banned")
    assert (await door.sign_in(password="a wrong one"))[1]["error_code"] == "invalid_credentials"
    door.at = until
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200
    assert (await door.sign_in())[0] == 200


@pytest.mark.rule("infocus-013")
@pytest.mark.rule("infocus-014")
async def test_refreshing_rotates_and_a_second_use_ends_the_session_everywhere(door: Door) -> None:
    session = await door.sign_up()
    door.at += timedelta(minutes=1)
    status, renewed = await door.refresh(session["refresh_token"])
    assert status == 200
    assert renewed["access_token"] != session["access_token"]
    door.at += timedelta(seconds=11)
    status, body = await door.refresh(session["refresh_token"])
    assert (status, body["code"], body["error_code"]) == (400, "PS309", "refresh_token_already_used")
    status, body = await door.refresh(renewed["refresh_token"])
    assert (status, body["error_code"]) == (400, "session_not_found")
    (row,) = await door.run("SELECT id FROM sessions WHERE revoked_at IS NOT NULL")
    door.gate.note_change({"t": "sessions", "s": str(row["id"])})
    for token in (session["access_token"], renewed["access_token"]):
        status, body = await door.call("GET", "/user", token=token)
        assert (status, body["error_code"]) == (401, "session_not_found")


async def test_two_parallel_refreshes_both_succeed(door: Door) -> None:
    session = await door.sign_up()
    answers = await asyncio.gather(*(door.refresh(session["refresh_token"]) for _ in range(2)))
    assert [status for status, _ in answers] == [200, 200]
    for _, renewed in answers:
        assert (await door.call("GET", "/user", token=renewed["access_token"]))[0] == 200


@pytest.mark.parametrize("token", ["", "x", "a" * 513, "\U0001f3ac", "null"])
async def test_a_refresh_token_that_is_none_is_refused(door: Door, token: str) -> None:
    status, body = await door.refresh(token)
    assert (status, body["code"]) == ((422, "PS102") if not token else (400, "PS309"))


@pytest.mark.rule("streaming-010")
@pytest.mark.rule("infocus-011")
@pytest.mark.rule("edupeak-017")
async def test_a_request_of_an_expired_session_is_refused(door: Door) -> None:
    session = await door.sign_up()
    await door.run("UPDATE sessions SET created_at = 'epoch', expires_at = $1", door.at)
    status, body = await door.call("GET", "/user", token=session["access_token"])
    assert (status, body["error_code"]) == (401, "session_expired")
    door.at += timedelta(hours=2)
    assert (await door.call("GET", "/user", token=session["access_token"]))[1]["error_code"] == "bad_jwt"


@pytest.mark.parametrize(
    ("scope", "left"), [("local", (False, True)), ("others", (True, False)), ("global", (False, False))]
)
async def test_signing_out_is_felt_at_once(door: Door, scope: str, left: tuple[bool, bool]) -> None:
    first = await door.sign_up()
    _, second = await door.sign_in()
    for session in (first, second):
        assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200
    assert await door.call("POST", f"/logout?scope={scope}", token=first["access_token"]) == (204, None)
    for session, alive in zip((first, second), left, strict=True):
        assert ((await door.call("GET", "/user", token=session["access_token"]))[0] == 200) is alive
        assert ((await door.refresh(session["refresh_token"]))[0] == 200) is alive


async def test_signing_out_needs_a_person_and_a_known_scope(door: Door) -> None:
    session = await door.sign_up()
    assert (await door.call("POST", "/logout"))[1]["error_code"] == "no_authorization"
    assert (await door.call("POST", "/logout", token=door.keys.anon_key()))[0] == 401
    status, body = await door.call("POST", "/logout?scope=all", token=session["access_token"])
    assert (status, body["fields"][0]["path"]) == (400, "scope")
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200


async def test_a_new_password_ends_the_other_sessions(door: Door) -> None:
    mine = await door.sign_up()
    _, other = await door.sign_in()
    body = {"password": "another good one", "current_password": PASSWORD, "data": {"name": "Mara the Second"}}
    status, user = await door.call("PUT", "/user", body, mine["access_token"])
    assert (status, user["user_metadata"]) == (200, {"name": "Mara the Second"})
    assert (await door.call("GET", "/user", token=mine["access_token"]))[0] == 200
    assert (await door.call("GET", "/user", token=other["access_token"]))[0] == 401
    assert (await door.refresh(other["refresh_token"]))[0] == 400
    assert (await door.sign_in())[0] == 400
    assert (await door.sign_in(password="another good one"))[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "error_code", "path"),
    [
        ({"password": PASSWORD, "data": {"name": "X"}}, 422, "same_password", "password"),
        ({"password": "short", "data": {"name": "X"}}, 422, "weak_password", "password"),
        ({"password": "another good one", "current_password": "no"}, 400, "invalid_credentials", "current_password"),
        ({"email": "nobody", "data": {"name": "X"}}, 422, "validation_failed", "email"),
        ({"phone": "+123"}, 422, "validation_failed", "phone"),
        ({"data": {"name": ""}}, 422, "validation_failed", "data.name"),
    ],
)
async def test_a_change_that_is_refused_changes_nothing(
    door: Door, body: object, status: int, error_code: str, path: str
) -> None:
    session = await door.sign_up()
    answer = await door.call("PUT", "/user", body, session["access_token"])
    assert (answer[0], answer[1]["error_code"], answer[1]["fields"][0]["path"]) == (status, error_code, path)
    assert (await door.call("GET", "/user", token=session["access_token"]))[1]["user_metadata"] == {"name": "mara"}
    assert (await door.sign_in())[0] == 200


async def test_a_weaker_hash_is_replaced_at_sign_in(door: Door) -> None:
    await door.sign_up()
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await door.run("UPDATE accounts SET password = $1", weak)
    assert (await door.sign_in())[0] == 200
    (account,) = await door.run("SELECT password FROM accounts")
    assert account["password"] != weak
    assert not QUICK.check_needs_rehash(account["password"])
    assert (await door.sign_in())[0] == 200


async def test_guessing_at_one_address_is_stopped_for_known_and_unknown_alike(door: Door) -> None:
    await door.sign_up()
    for email in (EMAIL, "nobody@example.org"):
        statuses = await asyncio.gather(*(door.sign_in(email, "wrong password") for _ in range(14)))
        assert sorted(status for status, _ in statuses) == [400] * 10 + [429] * 4
        before = door.passwords.verifications
        status, body = await door.sign_in(email)
        assert (status, body["code"], body["error_code"]) == (429, "PS310", "over_request_rate_limit")
        assert door.passwords.verifications == before
    async with door.client.post(
        "/auth/v1/token?grant_type=password", json={"email": EMAIL, "password": PASSWORD}
    ) as answer:
        assert 0 < int(answer.headers["Retry-After"]) <= 300


async def test_a_right_password_forgives_the_tries_before_it(door: Door) -> None:
    await door.sign_up()
    for _ in range(3):
        for _ in range(9):
            assert (await door.sign_in(password="wrong password"))[0] == 400
        assert (await door.sign_in())[0] == 200


async def test_guessing_from_one_network_is_stopped_whatever_the_address(redis: Redis) -> None:
    throttle = Throttle(redis, Breaker(), per_address=Limit(3, 60))
    for number in range(3):
        assert await throttle.admit(address=f"2001:db8::{number}", email=f"{number}@example.org")
    with pytest.raises(Refusal) as refused:
        await throttle.admit(address="2001:db8::ffff", email="4@example.org")
    assert refused.value.code is TOO_MANY_TRIES
    assert refused.value.retry_after_s == 60
    assert await throttle.admit(address="2001:db8:1::1", email="4@example.org")
    keys = await redis.keys("*")
    assert not any(b"example" in key or b"2001" in key for key in keys)
    assert all([0 < await redis.pttl(key) <= 300_000 for key in keys])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x", "x"),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.rule("lms-010")
@pytest.mark.rule("lms-011")
async def test_without_redis_the_account_itself_locks(door: Door) -> None:
    await door.sign_up()
    away = connect("unix:///nonexistent/redis.sock")
    door.throttle._redis = away
    for _ in range(10):
        assert (await door.sign_in(password="wrong password"))[0] == 400
    before = door.passwords.verifications
    status, body = await door.sign_in()
    assert (status, body["code"]) == (429, "PS310")
    assert door.passwords.verifications == before
    door.at += timedelta(minutes=5)
    assert (await door.sign_in())[0] == 200
    await away.aclose()


async def test_a_full_queue_of_passwords_is_refused_and_empties_again(door: Door) -> None:
    await door.sign_up()
    narrow = Passwords(threads=1, max_waiting=1, hasher=PasswordHasher(time_cost=40, memory_cost=8192, parallelism=1))
    try:
        outcomes = await asyncio.gather(*(narrow.verify(None, PASSWORD) for _ in range(5)), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert len(refused) == 3
        assert {(one.code, one.retry_after_s) for one in refused} == {(UNAVAILABLE, 2)}
        assert await narrow.verify(await narrow.hash(PASSWORD), PASSWORD)
        leaver = asyncio.create_task(narrow.verify(None, PASSWORD))
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait([leaver])
        assert await narrow.verify(None, PASSWORD) is False
    finally:
        narrow.close()


async def test_a_password_is_the_same_however_its_accents_are_composed() -> None:
    passwords = Passwords(hasher=QUICK)
    assert await passwords.verify(await passwords.hash("p\u00e4ssword"), "pa\u0308ssword")
    assert not await passwords.verify("$argon2id$broken", "password")
    passwords.close()


async def test_what_stands_for_an_unknown_account_costs_what_a_password_costs() -> None:
    for hasher in (QUICK, PasswordHasher(time_cost=2, memory_cost=64, parallelism=2, hash_len=24, salt_len=8)):
        drawn = decoy(hasher)
        assert extract_parameters(drawn) == extract_parameters(hasher.hash("x"))
        # It was computed and compared: what is no hash is refused at once, by another error.
        with pytest.raises(VerifyMismatchError):
            hasher.verify(drawn, "x")
        assert drawn != decoy(hasher)


async def test_where_a_session_came_from_is_kept(door: Door) -> None:
    await door.client.post(
        "/auth/v1/signup", json={"email": EMAIL, "password": PASSWORD}, headers={"User-Agent": "x" * 2000}
    )
    (session,) = await door.run("SELECT host(ip_address) AS ip, length(user_agent) AS agent FROM sessions")
    assert session == {"ip": "127.0.0.1", "agent": 512}


async def test_settings_and_health_are_open_and_nothing_is_cached(door: Door) -> None:
    assert (await door.call("GET", "/settings"))[1]["external"]["email"] is True
    assert (await door.call("GET", "/health"))[0] == 200
    async with door.client.get("/auth/v1/settings") as answer:
        assert answer.headers["Cache-Control"] == "no-store"


async def test_the_database_away_is_said_in_gotrues_words(door: Door) -> None:
    await door.database.close()
    status, body = await door.sign_in()
    assert (status, body["code"], body["error_code"]) == (503, "PS902", "unexpected_failure")
