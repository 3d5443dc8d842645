"""Access tokens, API keys and the gate: what is forged, stale, ended or banned does not pass."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from core import errors
from core.database import Database, DatabaseDown
from core.domain import identity
from core.domain.identity import Account, Origin, Standing
from core.errors import Code, Refusal
from core.keys import KeyRing, parse_ring
from core.viewer import GUEST, service
from edge.api import access_keys
from edge.api.access import RECHECK_AFTER_S, DatabaseSessions, Gate
from edge.api.access_keys import LEEWAY_S, AccessKeys
from tests.conftest import TestDatabase

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OLD, NEW = "k1:" + "a" * 40, "k2:" + "b" * 40
RING = parse_ring(f"{OLD},{NEW}")
USER, SESSION = UUID(int=7 << 64), UUID(int=9 << 64)
GOOD = Standing(False, NOW + timedelta(days=30), "user", Account("active", False, None, None))


def _mint(keys: AccessKeys, *, now: datetime = NOW, role: str = "user", until: datetime | None = None) -> str:
    token, _ = keys.mint(
        user_id=USER, session_id=SESSION, email="mara@example.org", platform_role=role, providers=["email"],
        user_metadata={"name": "Mara"}, now=now, session_expires_at=until,
    )  # fmt: skip
    return token


def _refused(call: Callable[[], object]) -> Code:
    with pytest.raises(Refusal) as refused:
        call()
    return refused.value.code


def _segment(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def _derived(secret: str) -> OctKey:
    return OctKey.import_key(hmac.digest(secret.encode(), b"penstock access token", "sha256"))


def test_a_token_says_what_gotrues_says() -> None:
    claims = _claims(_mint(AccessKeys(RING)))
    assert claims == {
        "iss": "penstock", "sub": str(USER), "aud": "authenticated", "role": "authenticated", "aal": "aal1",
        "email": "mara@example.org", "phone": "", "session_id": str(SESSION), "is_anonymous": False,
        "user_metadata": {"name": "Mara"},
        "app_metadata": {"provider": "email", "providers": ["email"], "role": "user"},
        "iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + 3600,
    }  # fmt: skip


def test_every_changed_character_of_a_token_is_refused() -> None:
    keys = AccessKeys(RING)
    token = _mint(keys)
    keys.verify(token, NOW)
    for place, character in enumerate(token):
        for other in {chr(ord(character) ^ 1), chr(ord(character) ^ 0x20), "A", "B", "_", ".", "\u00e9"} - {character}:
            altered = token[:place] + other + token[place + 1 :]
            assert _refused(partial(keys.verify, altered, NOW)) is errors.BAD_ACCESS_TOKEN
    last = token[-1]
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        if other != last:
            assert _refused(partial(keys.verify, token[:-1] + other, NOW)) is errors.BAD_ACCESS_TOKEN
    for text in (token + "=", token + " ", " " + token, token[:-1], token + "A", token.rsplit(".", 1)[0] + "."):
        assert _refused(partial(keys.verify, text, NOW)) is errors.BAD_ACCESS_TOKEN


def test_no_other_algorithm_is_taken() -> None:
    keys = AccessKeys(RING)
    payload = _mint(keys).split(".")[1]
    for algorithm in ("none", "None", "NONE", "", "hs256", "RS256", 256, None):
        header = _segment({"typ": "JWT", "alg": algorithm, "kid": "k2"})
        for signature in ("", "A" * 43):
            text = f"{header}.{payload}.{signature}"
            assert _refused(partial(keys.verify, text, NOW)) is errors.BAD_ACCESS_TOKEN
    for algorithm in ("HS384", "HS512"):
        key = _derived("b" * 40)
        text = jwt.encode({"alg": algorithm, "kid": "k2"}, _claims(_mint(keys)), key, algorithms=[algorithm])
        assert _refused(partial(keys.verify, text, NOW)) is errors.BAD_ACCESS_TOKEN


def test_only_the_key_that_is_named_is_tried() -> None:
    keys = AccessKeys(RING)
    claims = _claims(_mint(keys))
    for key_id in ("k1", "k3", "", None, "../k2", ["k2"], {"k2": 1}, 2):
        header = _segment({"typ": "JWT", "alg": "HS256", "kid": key_id})
        signed = f"{header}.{_segment(claims)}"
        mac = hmac.digest(hmac.digest(b"b" * 40, b"penstock access token", "sha256"), signed.encode(), "sha256")
        text = f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert _refused(partial(keys.verify, text, NOW)) is errors.BAD_ACCESS_TOKEN
    kidless = jwt.encode({"alg": "HS256"}, claims, _derived("b" * 40))
    assert _refused(lambda: keys.verify(kidless, NOW)) is errors.BAD_ACCESS_TOKEN


def test_a_key_of_the_ring_itself_signs_no_access_token() -> None:
    keys = AccessKeys(RING)
    raw = jwt.encode({"alg": "HS256", "kid": "k2"}, _claims(_mint(keys)), OctKey.import_key(b"b" * 40))
    assert _refused(lambda: keys.verify(raw, NOW)) is errors.BAD_ACCESS_TOKEN


def test_a_ring_turns_without_refusing_what_the_old_key_signed() -> None:
    old = _mint(AccessKeys(parse_ring(OLD)))
    assert AccessKeys(RING).verify(old, NOW).user_id == USER
    assert _refused(lambda: AccessKeys(parse_ring(NEW)).verify(old, NOW)) is errors.BAD_ACCESS_TOKEN


@pytest.mark.parametrize(
    "change",
    [{"iss": "other"}, {"aud": "other"}, {"aud": None}, {"role": "staff"}, {"role": None}, {"sub": "me"}, {"sub": None},
     {"session_id": 4}, {"exp": "9999999999"}, {"exp": None}, {"exp": True}, {"iat": None}, {"app_metadata": []},
     {"iat": int(NOW.timestamp()) + 60}],
)  # fmt: skip
def test_claims_of_another_shape_are_refused_even_when_signed(change: Mapping[str, object]) -> None:
    claims = {**_claims(_mint(AccessKeys(RING))), **change}
    text = jwt.encode({"alg": "HS256", "kid": "k2"}, claims, _derived("b" * 40))
    assert _refused(lambda: AccessKeys(RING).verify(text, NOW)) is errors.BAD_ACCESS_TOKEN


def test_expiry_is_looked_at_every_time_with_five_seconds_of_leeway() -> None:
    keys = AccessKeys(RING)
    token = _mint(keys)
    end = NOW + timedelta(hours=1, seconds=LEEWAY_S)
    keys.verify(token, NOW)
    keys.verify(token, end - timedelta(seconds=1))
    assert _refused(lambda: keys.verify(token, end)) is errors.ACCESS_TOKEN_EXPIRED
    assert _refused(lambda: AccessKeys(RING).verify(token, end)) is errors.ACCESS_TOKEN_EXPIRED


@pytest.mark.rule("streaming-010")
def test_a_token_never_outlives_its_session() -> None:
    keys = AccessKeys(RING)
    access = keys.verify(_mint(keys, until=NOW + timedelta(minutes=3)), NOW)
    assert access.expires_at_s == int(NOW.timestamp()) + 180


def test_what_is_remembered_is_bounded() -> None:
    keys = AccessKeys(RING, remembered=3)
    tokens = [_mint(keys, now=NOW + timedelta(seconds=number)) for number in range(10)]
    for token in tokens:
        keys.verify(token, NOW + timedelta(seconds=10))
    assert list(keys._verified) == tokens[-3:]


@given(
    st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: urlsafe_b64encode(raw).decode() + ".." + "A" * 43)
)
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    assert _refused(lambda: AccessKeys(RING).verify(text, NOW)) is errors.BAD_ACCESS_TOKEN


def test_a_header_nested_without_end_is_refused() -> None:
    deep = urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert _refused(lambda: AccessKeys(RING).verify(f"{deep}.e30.{'A' * 43}", NOW)) is errors.BAD_ACCESS_TOKEN


def test_the_api_keys_are_the_same_after_a_restart_and_other_for_another_ring() -> None:
    keys, again, other = AccessKeys(RING), AccessKeys(RING), AccessKeys(parse_ring(OLD))
    assert (keys.anon_key(), keys.service_key()) == (again.anon_key(), again.service_key())
    assert len({keys.anon_key(), keys.service_key(), other.anon_key(), other.service_key()}) == 4
    assert keys.verify(other.anon_key(), NOW).role == "anon"
    assert keys.verify(keys.service_key(), NOW).role == "service_role"


class _Sessions:
    """Standings as a test sets them; counts the look-ups and can hold one back."""

    def __init__(self) -> None:
        self.now: Standing | None = GOOD
        self.down = False
        self.asked = 0
        self.hold: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def standing(self, session_id: UUID, user_id: UUID) -> Standing | None:
        self.asked += 1
        if self.down:
            raise DatabaseDown("away")
        seen = self.now
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        return seen


class _Scene:
    """A gate with clocks that stand still."""

    def __init__(self, ring: KeyRing = RING) -> None:
        self.keys = AccessKeys(ring)
        self.sessions = _Sessions()
        self.at = NOW
        self.gate = Gate(self.keys, self.sessions, clock=lambda: self.at, monotonic=lambda: self.at.timestamp())

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    async def ask(self, token: str | None = None, **headers: str) -> Any:
        bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.gate.viewer(make_mocked_request("GET", "/", headers={**bearer, **headers}))

    async def refusal(self, token: str | None = None, **headers: str) -> Code:
        with pytest.raises(Refusal) as refused:
            await self.ask(token, **headers)
        return refused.value.code


async def test_who_a_request_comes_from() -> None:
    scene = _Scene()
    assert await scene.ask() == GUEST
    assert await scene.ask(apikey=scene.keys.anon_key()) == GUEST
    assert await scene.ask(scene.keys.anon_key()) == GUEST
    assert await scene.ask(scene.keys.service_key()) == service()
    viewer = await scene.ask(_mint(scene.keys), apikey=scene.keys.anon_key())
    assert (viewer.user_id, viewer.role) == (USER, "authenticated")
    for request in (
        make_mocked_request("GET", f"/?apikey={scene.keys.anon_key()}"),
        make_mocked_request("GET", "/", headers={"authorization": f"bearer {scene.keys.anon_key()}"}),
    ):
        assert await scene.gate.viewer(request) == GUEST


async def test_a_bad_credential_never_makes_a_guest() -> None:
    scene = _Scene()
    expired = _mint(scene.keys, now=NOW - timedelta(hours=2))
    assert await scene.refusal(expired, apikey=scene.keys.anon_key()) is errors.ACCESS_TOKEN_EXPIRED
    for text in ("", "x", "null", "undefined", expired[:-1]):
        assert await scene.refusal(text, apikey=scene.keys.anon_key()) is errors.BAD_ACCESS_TOKEN
    assert await scene.refusal(Authorization="Basic bTpt") is errors.BAD_ACCESS_TOKEN
    assert await scene.refusal(Authorization="Bearer") is errors.BAD_ACCESS_TOKEN
    assert await scene.refusal(apikey="nonsense") is errors.BAD_ACCESS_TOKEN
    in_address = make_mocked_request("GET", f"/?apikey={scene.keys.service_key()}")
    with pytest.raises(Refusal):
        await scene.gate.viewer(in_address)


def _bearing(token: str) -> web.Request:
    return make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {token}"})


async def test_only_a_person_passes_where_a_person_is_needed() -> None:
    scene = _Scene()
    for key in (None, scene.keys.anon_key(), scene.keys.service_key()):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with pytest.raises(Refusal) as refused:
            await scene.gate.require_user(make_mocked_request("GET", "/", headers=headers))
        assert refused.value.code is errors.SIGN_IN_NEEDED
    signed_in = await scene.gate.require_user(_bearing(_mint(scene.keys)))
    assert (signed_in.user_id, signed_in.session_id) == (USER, SESSION)


async def test_the_role_is_what_the_database_says_now() -> None:
    scene = _Scene()
    token = _mint(scene.keys, role="admin")
    assert (await scene.ask(token)).role == "authenticated"
    for role, acts_as in (("admin", "staff"), ("super_admin", "staff"), ("teacher", "authenticated")):
        scene.sessions.now = replace(GOOD, role=role)
        scene.gate.note_change({"t": "users", "u": str(USER)})
        assert (await scene.ask(token)).role == acts_as


@pytest.mark.rule("infocus-076")
async def test_a_session_is_looked_up_once_until_something_changes_or_time_passes() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    await asyncio.gather(*(scene.ask(token) for _ in range(20)))
    await scene.ask(token)
    assert scene.sessions.asked == 1
    scene.gate.note_change({"t": "contents", "c": str(SESSION)})
    scene.gate.note_change({"t": "users", "u": str(uuid4())})
    scene.gate.note_change({"t": "users", "u": None})
    await scene.ask(token)
    assert scene.sessions.asked == 1
    for change in (
        {"t": "users", "u": str(USER)},
        {"t": "sessions", "s": str(SESSION), "u": str(USER)},
        {"t": "users", "all": True},
    ):
        before = scene.sessions.asked
        scene.gate.note_change(change)
        await scene.ask(token)
        await scene.ask(token)
        assert scene.sessions.asked == before + 1
    before = scene.sessions.asked
    scene.later(RECHECK_AFTER_S)
    await scene.ask(token)
    assert scene.sessions.asked == before + 1


@pytest.mark.rule("streaming-014")
@pytest.mark.rule("streaming-015")
async def test_a_ban_bites_at_once_and_lapses_by_itself() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    await scene.ask(token)
    scene.sessions.now = replace(GOOD, account=Account("active", True, NOW + timedelta(seconds=20), "spam"))
    scene.gate.note_change({"t": "users", "u": str(USER)})
    assert await scene.refusal(token) is errors.BANNED
    scene.sessions.down = True
    assert await scene.refusal(token) is errors.BANNED
    scene.later(20)
    assert (await scene.ask(token)).user_id == USER


async def test_a_change_announced_during_a_look_up_is_never_overwritten_by_it() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    scene.sessions.hold = asyncio.Event()
    early = asyncio.create_task(scene.refusal(token))
    await scene.sessions.entered.wait()
    scene.sessions.now = None
    scene.gate.note_change({"t": "sessions", "s": str(SESSION), "u": str(USER)})
    late = asyncio.create_task(scene.refusal(token))
    scene.sessions.hold.set()
    assert await late is errors.BAD_ACCESS_TOKEN
    assert await early is errors.BAD_ACCESS_TOKEN
    assert await scene.refusal(token) is errors.BAD_ACCESS_TOKEN
    assert scene.sessions.asked == 2


async def test_a_waiter_that_hangs_up_takes_nothing_from_the_others() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    scene.sessions.hold = asyncio.Event()
    first, second = asyncio.create_task(scene.ask(token)), asyncio.create_task(scene.ask(token))
    await scene.sessions.entered.wait()
    first.cancel()
    scene.sessions.hold.set()
    assert (await second).user_id == USER
    assert scene.sessions.asked == 1


async def test_with_the_database_away_valid_tokens_work_and_it_is_asked_once_a_second() -> None:
    scene = _Scene()
    token = _mint(scene.keys, role="admin")
    scene.sessions.down = True
    for _ in range(5):
        assert (await scene.ask(token)).role == "staff"
    assert scene.sessions.asked == 1
    scene.later(1)
    scene.sessions.down = False
    assert (await scene.ask(token)).role == "authenticated"


async def test_with_the_database_away_what_was_announced_last_holds() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    await scene.ask(token)
    scene.sessions.down = True
    scene.later(RECHECK_AFTER_S)
    assert (await scene.ask(token)).user_id == USER
    scene.gate.forget_all()
    assert (await scene.ask(token)).user_id == USER
    scene.later(1)
    scene.gate.note_change({"t": "users", "u": str(USER)})
    assert await scene.refusal(token) is errors.UNAVAILABLE
    scene.later(1)
    scene.sessions.down = False
    await scene.ask(token)
    scene.sessions.down = True
    scene.later(RECHECK_AFTER_S)
    assert (await scene.ask(token)).user_id == USER


@pytest.mark.rule("streaming-010")
async def test_an_expired_session_is_refused_and_an_extended_one_is_not() -> None:
    scene = _Scene()
    token = _mint(scene.keys)
    scene.sessions.now = replace(GOOD, expires_at=NOW + timedelta(seconds=10))
    await scene.ask(token)
    scene.later(10)
    assert await scene.refusal(token) is errors.ACCESS_TOKEN_EXPIRED
    scene.later(RECHECK_AFTER_S)
    scene.sessions.now = replace(GOOD, expires_at=scene.at + timedelta(seconds=5))
    await scene.ask(token)
    scene.sessions.now = GOOD
    scene.later(5)
    await scene.ask(token)


async def test_what_the_gate_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.api.access.REMEMBERED_SESSIONS", 3)
    scene = _Scene()
    for number in range(10):
        token, _ = scene.keys.mint(
            user_id=USER, session_id=UUID(int=number), email="m@example.org", platform_role="user", providers=[],
            user_metadata={}, now=NOW,
        )  # fmt: skip
        await scene.ask(token)
        scene.gate.note_change({"t": "sessions", "s": str(UUID(int=number))})
    assert len(scene.gate._known) == len(scene.gate._doubted) == len(scene.gate._sessions_of[USER]) == 3


async def test_the_database_announces_what_the_gate_must_know(database: Database, database_urls: TestDatabase) -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    stop, connected = asyncio.Event(), asyncio.Event()
    keys = AccessKeys(RING)
    gate = Gate(keys, DatabaseSessions(database))

    def hear(text: str) -> None:
        payload = json.loads(text)
        gate.note_change(payload)
        if "r" not in payload:  # that is for who keeps answers to guests
            heard.put_nowait(payload)

    listener = asyncio.create_task(database.listen("penstock_changed", hear, connected.set, stop))
    await connected.wait()
    now = datetime.now(UTC)
    async with database.transaction(service()) as tx:
        user_id = await identity.sign_up(tx, name="Mara", email="m@example.org", password_hash="$argon2id$x", now=now)
        opened = [
            await identity.open_session(tx, user_id, proof=None, origin=Origin(None, None), now=now) for _ in range(2)
        ]
    tokens = [
        keys.mint(
            user_id=user_id, session_id=one.session_id, email="m@example.org", platform_role="user",
            providers=["email"], user_metadata={}, now=now,
        )[0]
        for one in opened
    ]  # fmt: skip

    async def change(sql: str, *args: object) -> dict[str, Any]:
        async with database.transaction(service()) as tx:
            await tx.connection.execute(sql, *args)
        async with asyncio.timeout(60):
            return await heard.get()

    async def refusal(token: str) -> Code:
        with pytest.raises(Refusal) as refused:
            await gate.require_user(_bearing(token))
        return refused.value.code

    first, second = tokens
    await gate.require_user(_bearing(first))
    await gate.require_user(_bearing(second))
    assert await change("UPDATE users SET banned = true WHERE id = $1", user_id) == {"t": "users", "u": str(user_id)}
    assert await refusal(first) is await refusal(second) is errors.BANNED
    await change("UPDATE users SET banned = false, role = 'admin' WHERE id = $1", user_id)
    assert (await gate.require_user(_bearing(first))).viewer.role == "staff"
    ended = {"t": "sessions", "s": str(opened[0].session_id), "u": str(user_id)}
    assert await change("UPDATE sessions SET revoked_at = now() WHERE id = $1", opened[0].session_id) == ended
    assert await refusal(first) is errors.BAD_ACCESS_TOKEN
    await change("UPDATE sessions SET created_at = 'epoch', expires_at = now() WHERE id = $1", opened[1].session_id)
    assert await refusal(second) is errors.ACCESS_TOKEN_EXPIRED
    # Sweeping dead sessions is no news; the deletion of the person is.
    async with database.transaction(service()) as tx:
        await tx.connection.execute("DELETE FROM sessions WHERE user_id = $1", user_id)
    assert (await change("DELETE FROM users WHERE id = $1", user_id))["t"] == "users"
    assert await refusal(second) is errors.BAD_ACCESS_TOKEN
    assert heard.empty()
    stop.set()
    await listener


def test_the_purpose_of_the_keys_is_their_own() -> None:
    assert access_keys.PURPOSE == b"penstock access token"
