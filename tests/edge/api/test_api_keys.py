"""API keys over HTTP: shown once, good for their scopes alone, ended at once, and every use of them written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database import Row, Tx, dedicated
from core.domain.credentials import digest
from core.domain.identity.api_keys import ApiKey, CreatedApiKey, check_key, check_scopes
from core.errors import BAD_FIELD, DISK_FULL, OUT_OF_SCOPE, Refusal
from core.ids import DEFAULT_TENANT, uuid7
from core.viewer import Viewer, service
from edge.api import api_keys
from tests.edge.api.conftest import House, refused
from tests.waiting import until

SHELF = "/rest/v1/contents?select=title"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def made(house: House, *scopes: str, **more: object) -> dict[str, Any]:
    """Vera's new key, as she is shown it."""
    headers = await house.sign_in(house.cast.vera)
    body = {"name": "Reports", "scopes": list(scopes), **more}
    response = await house.client.post("/rest/v1/rpc/create_api_key", json=body, headers=headers)
    assert response.status == 200, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


def bearing(key: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {key['key']}"}


async def asked(house: House, sql: str, *args: object) -> list[Row]:
    connection = await dedicated(house.cast.admin_url)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()


@pytest.mark.rule("podcast-099")
async def test_a_key_is_shown_once_and_only_its_digest_is_kept(house: House) -> None:
    key = await made(house, "contents:read")
    assert key["key"].startswith(key["prefix"])
    (row,) = await asked(house, "SELECT * FROM api_keys")
    assert row["key_hash"] == digest(key["key"])
    assert key["key"] not in repr(dict(row))
    headers = await house.sign_in(house.cast.vera)
    listed = await (await house.client.get("/rest/v1/api_keys", headers=headers)).json()
    assert [(one["prefix"], one["scopes"]) for one in listed] == [(key["prefix"], ["contents:read"])]
    assert "key_hash" not in listed[0]
    await refused(await house.client.get("/rest/v1/api_keys?select=key_hash", headers=headers), 400, "PS202")


@pytest.mark.rule("podcast-099")
async def test_the_answer_that_shows_a_key_is_kept_for_nobody(house: House) -> None:
    headers = {**await house.sign_in(house.cast.vera), "Idempotency-Key": "again"}
    body = {"name": "Reports", "scopes": ["*:read"]}
    first = await house.client.post("/rest/v1/rpc/create_api_key", json=body, headers=headers)
    assert first.status == 200
    shown = (await first.json())["key"]
    await refused(await house.client.post("/rest/v1/rpc/create_api_key", json=body, headers=headers), 409, "PS632")
    (row,) = await asked(house, "SELECT answer FROM idempotency_keys")
    assert shown.encode() not in bytes(row["answer"])
    assert len(await asked(house, "SELECT FROM api_keys")) == 1


async def test_others_neither_see_nor_end_a_key(house: House) -> None:
    key = await made(house, "contents:read")
    headers = await house.sign_in(house.cast.otto)
    assert await (await house.client.get("/rest/v1/api_keys", headers=headers)).json() == []
    await refused(
        await house.client.post("/rest/v1/rpc/revoke_api_key", json={"id": key["id"]}, headers=headers), 404, "PS105"
    )
    assert (await house.client.get(SHELF, headers=bearing(key))).status == 200


@pytest.mark.parametrize("header", ["Authorization", "apikey"])
async def test_a_key_acts_for_its_person(house: House, header: str) -> None:
    key = await made(house, "user_library:read")
    headers = bearing(key) if header == "Authorization" else {"apikey": key["key"]}
    rows = await (await house.client.get("/rest/v1/user_library?select=content_id", headers=headers)).json()
    assert rows == [{"content_id": str(house.cast.paid_film)}]


@pytest.mark.rule("podcast-100")
async def test_what_no_scope_covers_is_refused_with_the_scope_that_would(house: House) -> None:
    key = bearing(await made(house, "contents:read", "rpc:revoke_api_key"))
    assert (await house.client.get(SHELF, headers=key)).status == 200
    for method, path, body, scope in (
        ("GET", "/rest/v1/genres", None, "genres:read"),
        ("GET", "/rest/v1/contents?select=title,genres(title)", None, "content_genres:read"),
        ("POST", "/rest/v1/rpc/publish_content", {"content_id": str(house.cast.free_film)}, None),
    ):
        refusal = await refused(
            await house.client.request(method, path, json=body, headers=key), 403, "PS116" if scope else "PS304"
        )
        assert refusal.get("scope") == scope
    await refused(
        await house.client.post("/rest/v1/rpc/create_api_key", json={"name": "x", "scopes": ["*:*"]}, headers=key),
        403,
        "PS116",
    )


@pytest.mark.rule("podcast-100")
async def test_writing_has_scopes_of_its_own(house: House) -> None:
    await house.cast.change("UPDATE users SET role = 'admin' WHERE id = $1", house.cast.vera)
    path = f"/rest/v1/contents?id=eq.{house.cast.free_film}"
    reads, writes = [
        bearing(await made(house, *scopes)) for scopes in (["contents:read"], ["contents:read", "contents:update"])
    ]
    refusal = await refused(await house.client.patch(path, json={"title": "New"}, headers=reads), 403, "PS116")
    assert refusal["scope"] == "contents:update"
    assert (await house.client.patch(path, json={"title": "New"}, headers=writes)).status == 204
    await refused(await house.client.delete(path, headers=writes), 403, "PS116")


async def test_a_key_cannot_make_keys_however_wide_it_is(house: House) -> None:
    key = bearing(await made(house, "*:*"))
    body = {"name": "child", "scopes": ["*:*"]}
    await refused(await house.client.post("/rest/v1/rpc/create_api_key", json=body, headers=key), 403, "PS116")


async def test_a_key_is_for_the_data_and_nothing_else(house: House) -> None:
    key = bearing(await made(house, "*:*"))
    assert (await house.client.get("/auth/v1/user", headers=key)).status == 401
    assert (await house.client.post(f"/play/{house.cast.paid_film}", json={}, headers=key)).status == 401


@pytest.mark.rule("podcast-101")
async def test_an_expired_key_is_refused(house: House) -> None:
    key = await made(house, "contents:read", expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert (await house.client.get(SHELF, headers=bearing(key))).status == 200
    house.edge.callers.api_keys.clock = lambda: datetime.now(UTC) + timedelta(hours=2)
    refusal = await refused(await house.client.get(SHELF, headers=bearing(key)), 401, "PS303")
    assert refusal["reason"] == "key_expired"


@pytest.mark.rule("podcast-102")
@pytest.mark.parametrize("by", ["its owner", "the operator", "a ban"])
async def test_an_ended_key_is_refused_as_soon_as_it_is_announced(house: House, by: str) -> None:
    key = await made(house, "contents:read")
    assert (await house.client.get(SHELF, headers=bearing(key))).status == 200
    if by == "its owner":
        headers = await house.sign_in(house.cast.vera)
        for _ in range(2):
            ended = await house.client.post("/rest/v1/rpc/revoke_api_key", json={"id": key["id"]}, headers=headers)
            assert ended.status == 200
    elif by == "the operator":
        await house.cast.change("UPDATE api_keys SET revoked_at = now()")
    else:
        await house.cast.change("UPDATE users SET banned = true WHERE id = $1", house.cast.vera)

    async def is_refused() -> bool:
        return (await house.client.get(SHELF, headers=bearing(key))).status == (403 if by == "a ban" else 401)

    await until(is_refused, 60)


async def test_a_change_during_the_reading_is_not_missed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key, keys = await made(house, "contents:read"), house.edge.callers.api_keys
    through = api_keys.find_key_holder

    async def slow(tx: Any, text: str) -> Any:
        found = await through(tx, text)
        keys.note_change({"t": "api_keys", "u": str(house.cast.vera)})
        return found

    monkeypatch.setattr(api_keys, "find_key_holder", slow)
    assert (await house.client.get(SHELF, headers=bearing(key))).status == 200
    assert keys._known == {}


@pytest.mark.rule("podcast-103")
@pytest.mark.rule("podcast-104")
async def test_every_request_is_written_down_and_successes_move_the_last_use(house: House) -> None:
    key = await made(house, "contents:read")
    await house.edge.callers.api_keys.uses.flush()
    assert (await asked(house, "SELECT last_used_at FROM api_keys"))[0]["last_used_at"] is None
    assert (await house.client.get("/rest/v1/genres", headers=bearing(key))).status == 403
    await house.edge.callers.api_keys.uses.flush()
    assert (await asked(house, "SELECT last_used_at FROM api_keys"))[0]["last_used_at"] is None
    assert (await house.client.get(SHELF, headers=bearing(key))).status == 200
    await house.edge.callers.api_keys.uses.flush()

    async def written() -> list[Row]:
        return await asked(house, "SELECT * FROM api_usage JOIN api_keys k ON k.id = api_key_id ORDER BY occurred_at")

    rows = await until(lambda: _of_length(written, 2), 60)
    assert [(row["endpoint"], row["method"], row["status_code"]) for row in rows] == [
        ("/rest/v1/{table}", "GET", 403),
        ("/rest/v1/{table}", "GET", 200),
    ]
    assert all(row["response_time_ms"] >= 0 for row in rows)
    assert rows[1]["last_used_at"] == rows[1]["occurred_at"]


async def _of_length(ask: Any, length: int) -> list[Row] | None:
    rows: list[Row] = await ask()
    return rows if len(rows) == length else None


@pytest.mark.rule("podcast-104")
async def test_what_is_not_written_yet_is_written_at_the_end(house: House) -> None:
    key = await made(house, "contents:read")
    for _ in range(5):
        await house.client.get(SHELF, headers=bearing(key))
    await house.client.close()
    assert len(await asked(house, "SELECT FROM api_usage")) == 5


async def test_uses_wait_while_the_database_is_away_and_the_oldest_go_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MOST_WAITING", 3)
    uses = api_keys.KeyUses(house.edge.database)
    made_ = [api_keys.Use(uuid7(), DEFAULT_TENANT, "/x", "GET", 200, 1, NOW + timedelta(seconds=n)) for n in range(5)]
    for use in made_:
        uses.add(use)

    async def fail(*_: object) -> None:
        raise Refusal(DISK_FULL)

    monkeypatch.setattr(api_keys, "write_uses", fail)
    with pytest.raises(Refusal):
        await uses.flush()
    assert list(uses.waiting) == made_[2:]
    monkeypatch.undo()
    # The keys are not there any more: their rows name none.
    await uses.flush()
    assert [row["api_key_id"] for row in await asked(house, "SELECT api_key_id FROM api_usage")] == [None] * 3


async def test_a_failure_in_one_workspace_has_no_use_of_another_written_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = UUID(int=2**128 - 1)
    uses = api_keys.KeyUses(house.edge.database)
    for tenant_id in (later, DEFAULT_TENANT, later):
        uses.add(api_keys.Use(uuid7(), tenant_id, "/x", "GET", 200, 1, NOW))
    write = api_keys.write_uses

    async def fail_later(tx: Tx, batch: Sequence[api_keys.Use]) -> None:
        if batch[0].tenant_id == later:
            raise Refusal(DISK_FULL)
        await write(tx, batch)

    monkeypatch.setattr(api_keys, "write_uses", fail_later)
    for _ in range(2):
        with pytest.raises(Refusal):
            await uses.flush()
    assert [use.tenant_id for use in uses.waiting] == [later, later]
    assert len(await asked(house, "SELECT FROM api_usage")) == 1


@pytest.mark.parametrize(
    ("scope", "is_one"),
    [
        *((scope, True) for scope in ("contents:read", "*:*", "*:insert", "carts:*", "rpc:publish_content", "rpc:*")),
        *(
            (scope, False)
            for scope in (
                "",
                "read",
                "contents:write",
                "contents",
                "Contents:read",
                ":read",
                "rpc:",
                "a:read b:read",
                "content:read",
                "rpc:read",
                "rpc:publish",
                "publish_content:*",
            )
        ),
        ("contents:read\n", False),
    ],
)
def test_a_scope_is_a_subject_and_a_verb(scope: str, is_one: bool) -> None:
    refusal = check_scopes(
        ["*:read", scope], {"contents": ["read"], "carts": ["read", "insert"], "rpc": ["publish_content"]}
    )
    assert (refusal is None) is is_one
    if refusal:
        assert (refusal.code, refusal.faults[0].path) == (BAD_FIELD, "scopes[1]")


@pytest.mark.parametrize(
    ("scope", "why", "hint"),
    [
        ("content:read", "there is no table content", "Perhaps you meant contents."),
        ("zzz:*", "there is no table zzz", None),
        ("accounts:read", "there is no table accounts", None),
        ("rpc:publish_contents", "there is no command publish_contents", "Perhaps you meant publish_content."),
    ],
)
async def test_a_key_is_made_for_what_is_served_alone(house: House, scope: str, why: str, hint: str | None) -> None:
    headers = await house.sign_in(house.cast.vera)
    body = {"name": "Reports", "scopes": ["contents:read", scope]}
    response = await house.client.post("/rest/v1/rpc/create_api_key", json=body, headers=headers)
    refusal = await refused(response, 422, "PS102")
    assert refusal["fields"] == [{"path": "scopes[1]", "why": why}]
    assert (refusal["scope"], refusal["hint"]) == (scope, hint)
    assert await asked(house, "SELECT FROM api_keys") == []


@given(st.sampled_from(["contents", "genres"]), st.sampled_from(["read", "update"]), st.sets(st.sampled_from(
    ["contents:read", "contents:*", "*:read", "*:*", "genres:update", "rpc:*", "rpc:read"])))  # fmt: skip
def test_a_scope_covers_what_it_names(table: str, verb: str, scopes: set[str]) -> None:
    covers = any(
        subject in (table, "*") and allowed in (verb, "*")
        for subject, allowed in (scope.split(":") for scope in scopes)
    )  # fmt: skip
    viewer = Viewer(DEFAULT_TENANT, uuid7(), "authenticated", frozenset(scopes))
    try:
        viewer.check_scope(table, verb)
    except Refusal as refusal:
        assert refusal.code is OUT_OF_SCOPE
        assert not covers
    else:
        assert covers
    service().check_scope(table, verb)


def test_a_key_is_over_from_the_very_moment_on() -> None:
    key = ApiKey(uuid7(), DEFAULT_TENANT, uuid7(), frozenset(), NOW, None)
    assert check_key(key, NOW - timedelta(microseconds=1)) is None
    assert check_key(key, NOW) is not None
    assert check_key(None, NOW) is not None
    assert CreatedApiKey.__struct_fields__.count("key") == 1
