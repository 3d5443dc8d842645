"""What administrators do to accounts: ban, give a role, act in somebody's name, erase."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from core import errors
from core.domain.commands import Commands
from core.domain.identity.moderation import VISIT_LIFETIME
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT, SYSTEM_USER
from core.viewer import Viewer, service
from tests.edge.test_auth import EMAIL, Door, door

__all__ = ["door"]


async def account(door: Door, email: str, role: str = "user") -> dict[str, Any]:
    session = await door.sign_up(email)
    await door.run("UPDATE users SET role = $2::text::platform_role WHERE email = $1", email, role)
    return session


def id_of(session: dict[str, Any]) -> UUID:
    return UUID(session["user"]["id"])


async def do(door: Door, actor: dict[str, Any] | None, name: str, **asked: object) -> Any:
    """Gives a command as an administrator of a workspace would: `staff` there says nothing about the installation."""
    commands = Commands(door.database, CONTEXTS)
    viewer = Viewer(DEFAULT_TENANT, id_of(actor), "staff") if actor else service()
    request = msgspec.convert(
        {k: str(v) if isinstance(v, UUID) else v for k, v in asked.items()}, commands.known[name].request
    )
    return msgspec.json.decode((await commands.run(viewer, name, request, now=door.at)).body)


async def refused(door: Door, actor: dict[str, Any] | None, name: str, **asked: object) -> errors.Code:
    with pytest.raises(Refusal) as why:
        await do(door, actor, name, **asked)
    return why.value.code


@pytest.mark.rule("edupeak-028")
async def test_a_ban_says_why_and_ends_what_was_open(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    until = door.at + timedelta(days=7)
    state = await do(door, admin, "ban_user", user_id=id_of(mara), reason="Sold her login", until=until.isoformat())
    assert (state["banned"], state["ban_reason"]) == (True, "Sold her login")
    async with door.database.transaction(Viewer(DEFAULT_TENANT, id_of(admin), "staff")) as tx:
        row = await tx.connection.fetchrow("SELECT ban_reason, ban_expires FROM users WHERE id = $1", id_of(mara))
    assert row is not None
    assert (row["ban_reason"], row["ban_expires"]) == ("Sold her login", until)
    door.gate.forget_all()
    assert (await door.call("GET", "/user", token=mara["access_token"]))[0] in (401, 403)
    assert (await door.sign_in())[1]["details"] == "Sold her login"
    await do(door, admin, "unban_user", user_id=id_of(mara))
    assert (await door.sign_in())[0] == 200
    assert (await door.refresh(mara["refresh_token"]))[0] == 400, "what was ended stays ended"


@pytest.mark.rule("edupeak-029")
async def test_roles_of_the_installation_are_given_by_who_has_more(door: Door) -> None:
    chief, admin = await account(door, "chief@example.org", "super_admin"), await account(door, "admin@example.org")
    mara = await account(door, EMAIL)
    assert (await do(door, chief, "set_platform_role", user_id=id_of(admin), role="admin"))["role"] == "admin"
    for role in ("teacher", "student"):
        assert (await do(door, admin, "set_platform_role", user_id=id_of(mara), role=role))["role"] == role
    for role in ("admin", "super_admin"):
        assert await refused(door, admin, "set_platform_role", user_id=id_of(mara), role=role) is errors.FORBIDDEN
    assert await refused(door, chief, "set_platform_role", user_id=id_of(chief), role="user") is errors.NOT_YOURSELF
    assert await refused(door, admin, "set_platform_role", user_id=id_of(chief), role="user") is errors.FORBIDDEN


@pytest.mark.parametrize("name", ["ban_user", "unban_user", "set_platform_role", "erase_user"])
async def test_an_administrator_of_a_workspace_does_nothing_to_accounts(door: Door, name: str) -> None:
    staff, mara = await account(door, "staff@example.org"), await account(door, EMAIL)
    more = {"ban_user": {"reason": "x"}, "set_platform_role": {"role": "teacher"}}.get(name, {})
    assert await refused(door, staff, name, user_id=id_of(mara), **more) is errors.NOT_PLATFORM_ADMIN
    assert await refused(door, None, name, user_id=SYSTEM_USER, **more) is errors.NOT_FOUND
    assert (await door.sign_in())[0] == 200


async def visit(
    door: Door, actor: dict[str, Any], subject: object, reason: str = "A ticket: no sound"
) -> tuple[int, Any]:
    body = {"reason": reason}
    return await door.call("POST", f"/admin/users/{subject}/impersonate", body, actor["access_token"])


@pytest.mark.rule("edupeak-018")
@pytest.mark.rule("streaming-016")
async def test_an_admin_acts_in_somebodys_name_for_a_while_and_it_is_noted(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    status, session = await visit(door, admin, id_of(mara))
    assert (status, session["user"]["email"]) == (200, EMAIL)
    assert door.keys.verify(session["access_token"], door.at).claims["impersonated_by"] == str(id_of(admin))
    (row,) = await door.run(
        "SELECT user_id, impersonated_by, expires_at FROM sessions WHERE impersonated_by IS NOT NULL"
    )
    assert (row["user_id"], row["impersonated_by"]) == (id_of(mara), id_of(admin))
    assert row["expires_at"] == door.at + VISIT_LIFETIME
    (note,) = await door.run(
        "SELECT user_id, details ->> 'reason' AS reason FROM security_events WHERE event_type = 'impersonation_started'"
    )
    assert note == {"user_id": id_of(admin), "reason": "A ticket: no sound"}
    assert (await door.call("GET", "/user", token=session["access_token"]))[0] == 200
    logins = await door.run("SELECT FROM login_history WHERE user_id = $1", id_of(mara))
    assert len(logins) == 1, "the person has not signed in"


async def test_a_visit_ends_when_it_was_to_however_often_it_is_refreshed(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    _, session = await visit(door, admin, id_of(mara))
    door.at += timedelta(minutes=20)
    status, session = await door.refresh(session["refresh_token"])
    assert status == 200
    claims = door.keys.verify(session["access_token"], door.at).claims
    assert claims["impersonated_by"] == str(id_of(admin))
    assert claims["exp"] == int((door.at + timedelta(minutes=10)).timestamp())
    door.at += timedelta(minutes=10)
    assert (await door.refresh(session["refresh_token"]))[1]["error_code"] == "session_expired"


@pytest.mark.rule("edupeak-019")
async def test_nobody_else_acts_in_anybodys_name(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    other = await account(door, "other@example.org", "admin")
    teacher = await account(door, "teacher@example.org", "teacher")
    for actor, subject, code in (
        (mara, id_of(teacher), "PS575"),
        (teacher, id_of(mara), "PS575"),
        (admin, id_of(admin), "PS576"),
        (admin, id_of(other), "PS304"),
        (admin, SYSTEM_USER, "PS105"),
        (admin, DEFAULT_TENANT, "PS105"),
        (admin, "me", "PS107"),
    ):
        assert (await visit(door, actor, subject))[1]["code"] == code
    for reason in ("", " ", "x" * 501, "a\nb"):
        assert (await visit(door, admin, id_of(mara), reason))[1]["fields"][0]["path"] == "reason"
    assert await door.run("SELECT FROM sessions WHERE impersonated_by IS NOT NULL") == []


async def test_a_visitor_changes_neither_password_nor_address_nor_visits_further(door: Door) -> None:
    chief, admin = (
        await account(door, "chief@example.org", "super_admin"),
        await account(door, "a@example.org", "admin"),
    )
    mara = await account(door, EMAIL)
    _, session = await visit(door, chief, id_of(admin))
    for body in ({"password": "another good one"}, {"email": "x@example.org"}):
        assert (await door.call("PUT", "/user", body, session["access_token"]))[1]["code"] == "PS577"
    assert (await visit(door, session, id_of(mara)))[1]["code"] == "PS577"
    assert (await door.call("PUT", "/user", {"data": {"name": "Ada"}}, session["access_token"]))[0] == 200


@pytest.mark.parametrize("change", ["role = 'user'", "banned = true"])
async def test_a_visit_ends_with_the_right_to_make_one(door: Door, change: str) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    _, session = await visit(door, admin, id_of(mara))
    await door.run(f"UPDATE users SET {change} WHERE email = 'admin@example.org'")
    door.gate.forget_all()
    assert (await door.call("GET", "/user", token=session["access_token"]))[1]["error_code"] == "session_not_found"
    assert (await door.call("GET", "/user", token=mara["access_token"]))[0] == 200


@pytest.mark.rule("lms-093")
async def test_an_erased_person_leaves_a_row_without_a_name_and_nothing_else(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    mara_id = id_of(mara)
    await door.call("PUT", "/user", {"data": {"name": "Mara Winter"}}, mara["access_token"])
    await do(door, {"user": {"id": str(mara_id)}}, "request_privacy", request_type="erasure")
    await door.run("INSERT INTO follows (follower_id, following_id) VALUES ($1, $2)", mara_id, id_of(admin))
    await door.run(
        """INSERT INTO archived_sessions (user_id, token_digest, expires_at, user_agent, created_at, updated_at)
           VALUES ($1, '', '2026-01-02Z', 'Mara Winter on Linux', '2026-01-01Z', '2026-01-01Z')""",
        mara_id,
    )
    await door.run(
        "INSERT INTO orders (tenant_id, user_id, total_amount, currency, status) SELECT id, $1, 9, 'EUR', 'PAID' FROM tenants",
        mara_id,
    )
    async with door.database.transaction(Viewer(DEFAULT_TENANT, id_of(admin), "service_role")) as tx:
        await tx.connection.execute(
            "UPDATE user_profiles SET bio = 'Mara Winter of Bergen' WHERE user_id = $1", mara_id
        )
    state = await do(door, admin, "erase_user", user_id=mara_id)
    assert datetime.fromisoformat(state["deleted_at"]) == door.at
    (row,) = await door.run("SELECT name, email, status::text FROM users WHERE id = $1", mara_id)
    assert row == {"name": "Deleted user", "email": f"deleted-{mara_id}@penstock.invalid", "status": "inactive"}
    assert len(await door.run("SELECT FROM orders WHERE user_id = $1", mara_id)) == 1
    for table in (
        "accounts",
        "sessions",
        "archived_sessions",
        "refresh_tokens",
        "verifications",
        "user_profiles",
        "login_history",
        "follows",
    ):
        column = "follower_id" if table == "follows" else "user_id"
        assert await door.run(f"SELECT FROM {table} WHERE {column} = $1", mara_id) == [], table
    assert [r["status"] for r in await door.run("SELECT status FROM gdpr_requests WHERE user_id IS NULL")] == [
        "completed"
    ]
    everything = [
        r["name"] for r in await door.run("SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'")
    ]
    for table in everything:
        text = str(await door.run(f'SELECT to_jsonb(t)::text AS row FROM "{table}" t'))
        if table != "outbox":  # what was mailed is blanked when it has been sent
            assert "Mara Winter" not in text, table
            assert EMAIL not in text, table
    door.gate.forget_all()
    assert (await door.call("GET", "/user", token=mara["access_token"]))[0] == 401
    assert (await door.sign_in())[0] == 400
    assert await refused(door, admin, "erase_user", user_id=mara_id) is errors.NOT_FOUND
    assert (await door.sign_up())["user"]["id"] != str(mara_id), "the address is free again"


async def test_a_ban_that_ends_before_it_begins_is_refused(door: Door) -> None:
    admin, mara = await account(door, "admin@example.org", "admin"), await account(door, EMAIL)
    code = await refused(door, admin, "ban_user", user_id=id_of(mara), reason="x", until=door.at.isoformat())
    assert code is errors.BAD_FIELD


@pytest.mark.rule("lms-018")
@pytest.mark.rule("infocus-084")
async def test_who_follows_is_listed_among_the_followers(door: Door) -> None:
    noa, mara = await account(door, "noa@example.org"), await account(door, EMAIL)
    for _ in range(2):
        answer = await do(door, noa, "follow_user", user_id=id_of(mara))
        assert (answer["is_following"], answer["followers"]) == (True, 1)
    async with door.database.transaction(Viewer(DEFAULT_TENANT, id_of(mara), "authenticated")) as tx:
        followers = await tx.connection.fetch("SELECT follower_id FROM follows WHERE following_id = $1", id_of(mara))
    assert [row["follower_id"] for row in followers] == [id_of(noa)]
    assert await refused(door, noa, "follow_user", user_id=id_of(noa)) is errors.NOT_YOURSELF
    assert await refused(door, noa, "follow_user", user_id=DEFAULT_TENANT) is errors.NOT_FOUND
    assert (await do(door, noa, "unfollow_user", user_id=id_of(mara)))["followers"] == 0


async def test_a_person_ends_their_own_sessions_and_nobody_elses(door: Door) -> None:
    mara, noa = await account(door, EMAIL), await account(door, "noa@example.org")
    (row,) = await door.run("SELECT id FROM sessions WHERE user_id = $1", id_of(mara))
    assert await refused(door, noa, "end_session", session_id=row["id"]) is errors.NOT_FOUND
    assert (await door.call("GET", "/user", token=mara["access_token"]))[0] == 200
    await do(door, mara, "end_session", session_id=row["id"])
    assert await refused(door, mara, "end_session", session_id=row["id"]) is errors.NOT_FOUND
    assert (await door.refresh(mara["refresh_token"]))[0] == 400


@pytest.mark.rule("infocus-008")
async def test_preferences_are_any_object_and_come_back_as_they_were(door: Door) -> None:
    mara = await account(door, EMAIL)
    kept = '{"theme": "dark", "rows": [1, 2, {"deep": null}], "subtitles": {"size": 1.25}}'
    async with door.database.transaction(Viewer(DEFAULT_TENANT, id_of(mara), "authenticated")) as tx:
        await tx.connection.execute(
            "UPDATE user_profiles SET preferences = $1::text::jsonb WHERE user_id = $2", kept, id_of(mara)
        )
        said = await tx.connection.fetchval(
            "SELECT preferences::text FROM user_profiles WHERE user_id = $1", id_of(mara)
        )
    assert msgspec.json.decode(said) == msgspec.json.decode(kept)
