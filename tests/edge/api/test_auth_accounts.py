"""Accounts in the hands of the service key: supabase-js's `auth.admin`, unmodified, and what it is refused."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from edge.api.access_keys import AccessKeys
from edge.api.auth_accounts import USERS
from edge.cli.tools import node_path
from tests.edge.api.conftest import RING, House, refused

HERE = Path(__file__).parent
SERVICE = {"Authorization": f"Bearer {AccessKeys(RING).service_key()}"}


@pytest.mark.needs("node")
@pytest.mark.timeout(600)
async def test_supabase_js_keeps_accounts(house: House) -> None:
    keys = AccessKeys(RING)
    address = f"http://{house.client.host}:{house.client.port}"
    settings = {"url": address, "anon": keys.anon_key(), "key": keys.service_key()}
    process = await asyncio.create_subprocess_exec(
        *("node", str(HERE / "admin.mjs"), json.dumps(settings)),
        env={**os.environ, "PATH": node_path()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(240):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")
    assert json.loads(out) == {
        "made": ["Nora@example.org", True, "Nora", "teacher", None],
        "bare": ["otto.b@example.org", None, "otto.b"],
        "got": True,
        "first": [[True], 2, True],
        "all": True,
        "ended": [400, None],  # auth-js has an error of its own for a session that is over, without the code
        "changed": ["nora.n@example.org", None, "Nora N."],
        "again": True,
        "banned": 24,
        "kept_out": [403, "user_banned"],
        "unbanned": None,
        "errors": {
            "taken": [422, "user_already_exists"],
            "weak": [422, "weak_password"],
            "phone": [422, "validation_failed"],
            "missing": [404, "user_not_found"],
            "guest": [401, "no_authorization"],
            "person": [403, "not_admin"],
            "factors": [422, "mfa_totp_enroll_not_enabled"],
            "reauthenticate": [422, "not_offered"],
            "deleted": [404, "user_not_found"],
        },
    }


async def test_what_is_wrong_is_named_and_changes_nothing(house: House) -> None:
    user = f"{USERS}/{house.cast.vera}"
    for method, path, body, status, code, field in (
        ("GET", f"{USERS}?page=0", None, 422, "PS102", "page"),
        ("GET", f"{USERS}?page=x", None, 422, "PS102", "page"),
        ("GET", f"{USERS}?page=1&page=2", None, 422, "PS102", "page"),
        ("GET", f"{USERS}?per_page=1001", None, 422, "PS102", "per_page"),
        ("GET", f"{USERS}/me", None, 400, "PS107", "user_id"),
        ("POST", USERS, {}, 422, "PS102", "email"),
        ("POST", USERS, {"email": "no address"}, 422, "PS102", "email"),
        ("PUT", user, {"password_hash": "$argon2id$x"}, 422, "PS102", "password_hash"),
        ("PUT", user, {"app_metadata": {"role": "queen"}}, 422, "PS102", "app_metadata.role"),
        ("PUT", user, {"user_metadata": {"name": "a\0b"}}, 422, "PS102", "user_metadata.name"),
        *(
            ("PUT", user, {"ban_duration": text}, 422, "PS102", "ban_duration")
            for text in ("", "1", "1d", "-1h", "0s", "999999999h", "1h ", "1.h", "NONE")
        ),
    ):
        response = await house.client.request(method, path, json=body, headers=SERVICE)
        said = await refused(response, status, code)
        assert [fault["path"] for fault in said["fields"]] == [field], said
    seen = await (await house.client.get(user, headers=SERVICE)).json()
    assert "banned_until" not in seen


async def test_an_account_made_for_somebody_is_no_way_in_without_its_password(house: House) -> None:
    made = await house.client.post(USERS, json={"email": "new@example.org"}, headers=SERVICE)
    assert made.status == 200
    for password in ("", "None", "null"):
        body = {"email": "new@example.org", "password": password}
        answer = await house.client.post("/auth/v1/token?grant_type=password", json=body)
        assert answer.status in (400, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/v1/sso"),
        ("POST", "/auth/v1/invite"),
        ("POST", "/auth/v1/admin/generate_link"),
        ("GET", "/auth/v1/user/identities/authorize?provider=x"),
        ("DELETE", "/auth/v1/user/identities/0a"),
        ("POST", "/auth/v1/passkeys/authentication/options"),
    ],
)
async def test_what_is_not_offered_is_told_in_gotrues_words(house: House, method: str, path: str) -> None:
    answer = await house.client.request(method, path, json={})
    body = await answer.json()
    assert (answer.status, body["code"], body["error_code"]) == (422, "PS980", "not_offered")
    assert body["msg"] == body["message"]
