"""Identity on real rows: accounts, sessions, refresh tokens, locks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.database import Database
from core.domain import identity
from core.domain.credentials import canonical_email, check_password, clean_name
from core.domain.identity import Account, Opened, Origin
from core.errors import Refusal
from core.viewer import GUEST, Viewer, service

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA"
NOWHERE = Origin(None, None)


async def _run(database: Database, sql: str, *args: object) -> list[dict[str, object]]:
    async with database.transaction(service()) as tx:
        return [dict(row) for row in await tx.connection.fetch(sql, *args)]


async def _sign_up(database: Database, email: str = "mara@example.org", name: str = "Mara") -> UUID:
    async with database.transaction(service()) as tx:
        return await identity.sign_up(tx, name=name, email=email, password_hash=HASH, now=NOW)


async def _open(database: Database, user_id: UUID, now: datetime = NOW) -> Opened:
    async with database.transaction(service()) as tx:
        return await identity.open_session(tx, user_id, proof=HASH, origin=NOWHERE, now=now)


async def _rotate(database: Database, token: str, now: datetime = NOW) -> Opened | Refusal:
    async with database.transaction(service()) as tx:
        return await identity.rotate_refresh_token(tx, token, now)


async def _renewed(database: Database, token: str, now: datetime = NOW) -> Opened:
    outcome = await _rotate(database, token, now)
    assert isinstance(outcome, Opened), outcome
    return outcome


async def _refused(database: Database, token: str, now: datetime = NOW) -> Refusal:
    outcome = await _rotate(database, token, now)
    assert isinstance(outcome, Refusal)
    return outcome


@pytest.mark.rule("streaming-001")
@pytest.mark.rule("infocus-005")
@pytest.mark.rule("lms-001")
@pytest.mark.rule("podcast-021")
@pytest.mark.rule("edupeak-001")
async def test_an_address_has_one_account_however_it_is_capitalised(database: Database) -> None:
    await _sign_up(database)
    with pytest.raises(Refusal) as refused:
        await _sign_up(database, "MARA@EXAMPLE.ORG")
    assert refused.value.code is errors.EMAIL_TAKEN
    await _sign_up(database, "noa@example.org")
    with pytest.raises(Refusal) as refused:
        await _run(database, "UPDATE users SET email = 'Mara@example.org' WHERE email = 'noa@example.org'")
    assert refused.value.code is errors.EMAIL_TAKEN
    assert await _run(database, "SELECT count(*) FROM accounts") == [{"count": 2}]


@pytest.mark.rule("streaming-002")
@pytest.mark.rule("streaming-003")
@pytest.mark.rule("edupeak-002")
@pytest.mark.rule("edupeak-003")
async def test_usernames_are_unique_and_optional(database: Database) -> None:
    for email in ("a@example.org", "b@example.org", "c@example.org"):
        await _sign_up(database, email)
    await _run(database, "UPDATE users SET username = 'mara' WHERE email = 'a@example.org'")
    with pytest.raises(Refusal) as refused:
        await _run(database, "UPDATE users SET username = 'mara' WHERE email = 'b@example.org'")
    assert refused.value.code is errors.CONFLICT
    with pytest.raises(Refusal) as refused:
        await _run(database, "INSERT INTO users (name, email, username) VALUES ('D', 'd@example.org', 'mara')")
    assert refused.value.code is errors.CONFLICT
    nameless = "SELECT count(*) FROM users WHERE username IS NULL AND email LIKE '%example.org'"
    assert await _run(database, nameless) == [{"count": 2}]


@pytest.mark.rule("lms-003")
async def test_the_schema_refuses_what_is_no_address(database: Database) -> None:
    for wrong in ("mara", "mara@", "@example.org", "ma ra@example.org"):
        with pytest.raises(Refusal) as refused:
            await _sign_up(database, wrong)
        assert refused.value.code is errors.RULE_BROKEN


@pytest.mark.rule("streaming-004")
@pytest.mark.rule("lms-006")
@pytest.mark.rule("podcast-023")
@pytest.mark.rule("edupeak-004")
@pytest.mark.rule("edupeak-030")
async def test_signing_up_makes_a_person_an_account_and_a_profile(database: Database) -> None:
    user_id = await _sign_up(database)
    (user,) = await _run(database, "SELECT status::text, email_verified, points FROM users WHERE id = $1", user_id)
    assert user == {"status": "pending_verification", "email_verified": False, "points": 0}
    (account,) = await _run(
        database, "SELECT provider_id, account_id, password FROM accounts WHERE user_id = $1", user_id
    )
    assert account == {"provider_id": "credential", "account_id": str(user_id), "password": HASH}
    (profile,) = await _run(database, "SELECT display_name FROM user_profiles WHERE user_id = $1", user_id)
    assert profile == {"display_name": "Mara"}
    with pytest.raises(Refusal):
        await _run(database, "INSERT INTO user_profiles (user_id) VALUES ($1)", user_id)


@pytest.mark.rule("streaming-008")
@pytest.mark.rule("edupeak-015")
@pytest.mark.rule("edupeak-020")
@pytest.mark.rule("lms-012")
@pytest.mark.rule("lms-013")
async def test_a_person_may_have_several_live_sessions(database: Database) -> None:
    user_id = await _sign_up(database)
    async with database.transaction(service()) as tx:
        await identity.record_failure(tx, user_id, NOW)
    first, second = await _open(database, user_id), await _open(database, user_id, NOW + timedelta(seconds=1))
    for opened in (first, second):
        async with database.transaction(service()) as tx:
            standing = await identity.find_standing(tx, opened.session_id, user_id)
        assert identity.check_standing(standing, NOW + timedelta(seconds=2)) is None
    rows = await _run(
        database, "SELECT impersonated_by, octet_length(token_digest) AS digest, expires_at FROM sessions"
    )
    assert [row["impersonated_by"] for row in rows] == [None, None]
    assert [row["digest"] for row in rows] == [32, 32]
    (user,) = await _run(database, "SELECT last_login, login_attempts FROM users WHERE id = $1", user_id)
    assert user == {"last_login": NOW + timedelta(seconds=1), "login_attempts": 0}


@pytest.mark.rule("streaming-009")
@pytest.mark.rule("infocus-009")
@pytest.mark.rule("infocus-012")
@pytest.mark.rule("podcast-036")
@pytest.mark.rule("edupeak-016")
async def test_no_two_sessions_or_refresh_tokens_share_a_token(database: Database) -> None:
    await _open(database, await _sign_up(database))
    for again in (
        "INSERT INTO sessions (user_id, token_digest, expires_at) "
        "SELECT user_id, token_digest, expires_at FROM sessions",
        "INSERT INTO refresh_tokens (session_id, user_id, token_digest, expires_at) "
        "SELECT session_id, user_id, token_digest, expires_at FROM refresh_tokens",
    ):
        with pytest.raises(Refusal) as refused:
            await _run(database, again)
        assert refused.value.code is errors.CONFLICT


@pytest.mark.rule("streaming-018")
@pytest.mark.rule("streaming-019")
@pytest.mark.rule("infocus-017")
@pytest.mark.rule("infocus-018")
@pytest.mark.rule("infocus-019")
@pytest.mark.rule("edupeak-034")
@pytest.mark.rule("edupeak-035")
async def test_deleting_a_person_deletes_how_they_sign_in_and_where_they_are(database: Database) -> None:
    user_id = await _sign_up(database)
    opened = await _open(database, user_id)
    await _renewed(database, opened.refresh_token)
    await _run(database, "DELETE FROM users WHERE id = $1", user_id)
    for table in ("sessions", "accounts", "refresh_tokens", "user_profiles"):
        assert await _run(database, f"SELECT count(*) FROM {table} WHERE user_id = $1", user_id) == [{"count": 0}]
    assert (await _refused(database, opened.refresh_token)).code is errors.BAD_REFRESH_TOKEN


@pytest.mark.rule("infocus-013")
@pytest.mark.rule("infocus-014")
async def test_a_refresh_token_is_spent_by_its_use_and_a_second_use_ends_the_session(database: Database) -> None:
    user_id = await _sign_up(database)
    opened = await _open(database, user_id)
    other = await _open(database, user_id)
    child = await _renewed(database, opened.refresh_token)
    assert child.session_id == opened.session_id
    assert child.refresh_token != opened.refresh_token
    later = NOW + timedelta(seconds=10, microseconds=1)
    refusal = await _refused(database, opened.refresh_token, later)
    assert refusal.data == {"reason": "refresh_token_reused"}
    assert (await _refused(database, child.refresh_token, later)).code is errors.BAD_REFRESH_TOKEN
    async with database.transaction(service()) as tx:
        assert identity.check_standing(await identity.find_standing(tx, opened.session_id, user_id), later) is not None
        assert identity.check_standing(await identity.find_standing(tx, other.session_id, user_id), later) is None
    await _renewed(database, other.refresh_token, later)


async def test_a_lost_answer_is_forgiven_for_ten_seconds_unless_a_child_was_used(database: Database) -> None:
    opened = await _open(database, await _sign_up(database))
    lost = await _renewed(database, opened.refresh_token)
    again = await _renewed(database, opened.refresh_token, NOW + timedelta(seconds=10))
    assert again.refresh_token != lost.refresh_token
    await _renewed(database, again.refresh_token, NOW + timedelta(seconds=10))
    refusal = await _refused(database, opened.refresh_token, NOW + timedelta(seconds=10))
    assert refusal.data == {"reason": "refresh_token_reused"}


async def test_two_refreshes_at_once_both_succeed_and_leave_one_session(database: Database) -> None:
    opened = await _open(database, await _sign_up(database))
    outcomes = await asyncio.gather(*(_renewed(database, opened.refresh_token) for _ in range(5)))
    assert len({outcome.refresh_token for outcome in outcomes}) == 5
    assert {outcome.session_id for outcome in outcomes} == {opened.session_id}
    (spent,) = await _run(database, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NOT NULL")
    assert spent == {"count": 1}


@pytest.mark.rule("infocus-016")
@pytest.mark.rule("podcast-037")
async def test_an_expired_refresh_token_is_refused_and_one_in_use_extends_its_session(database: Database) -> None:
    opened = await _open(database, await _sign_up(database))
    refusal = await _refused(database, opened.refresh_token, NOW + identity.SESSION_LIFETIME)
    assert refusal.data == {"reason": "session_expired"}
    at = NOW + identity.SESSION_LIFETIME - timedelta(seconds=1)
    renewed = await _renewed(database, opened.refresh_token, at)
    assert await _run(database, "SELECT expires_at FROM sessions") == [{"expires_at": at + identity.SESSION_LIFETIME}]
    await _renewed(database, renewed.refresh_token, at + timedelta(days=1))


@pytest.mark.rule("infocus-015")
@pytest.mark.rule("podcast-038")
@pytest.mark.rule("podcast-039")
@pytest.mark.parametrize(("scope", "living"), [("local", {1, 2}), ("others", {0}), ("global", set())])
async def test_sign_out_ends_what_its_scope_says_and_keeps_the_rows(
    database: Database, scope: identity.Scope, living: set[int]
) -> None:
    user_id = await _sign_up(database)
    opened = [await _open(database, user_id) for _ in range(3)]
    stranger = await _open(database, await _sign_up(database, "noa@example.org"))
    async with database.transaction(service()) as tx:
        ended = await identity.end_sessions(tx, user_id, opened[0].session_id, scope, NOW)
    assert set(ended) == {one.session_id for index, one in enumerate(opened) if index not in living}
    for index, one in enumerate(opened):
        assert isinstance(await _rotate(database, one.refresh_token), Opened) is (index in living)
    await _renewed(database, stranger.refresh_token)
    (revoked,) = await _run(database, "SELECT count(*) FROM refresh_tokens WHERE revoked_at = $1", NOW)
    assert revoked == {"count": 3 - len(living)}


@pytest.mark.rule("lms-009")
@pytest.mark.rule("lms-010")
@pytest.mark.rule("lms-011")
async def test_ten_wrong_passwords_lock_for_five_minutes(database: Database) -> None:
    user_id = await _sign_up(database)
    for number in range(1, identity.MAX_FAILURES + 1):
        async with database.transaction(service()) as tx:
            locked_until = await identity.record_failure(tx, user_id, NOW)
        (user,) = await _run(database, "SELECT login_attempts FROM users WHERE id = $1", user_id)
        assert user == {"login_attempts": number}
        assert (locked_until is not None) is (number == identity.MAX_FAILURES)
    with pytest.raises(Refusal) as refused:
        await _open(database, user_id, NOW + timedelta(minutes=4, seconds=59))
    assert refused.value.code is errors.TOO_MANY_TRIES
    assert refused.value.retry_after_s == 1
    after = NOW + identity.LOCK
    async with database.transaction(service()) as tx:
        assert await identity.record_failure(tx, user_id, after) is None
    await _open(database, user_id, after)


async def test_parallel_failures_are_all_counted(database: Database) -> None:
    user_id = await _sign_up(database)

    async def fail() -> None:
        async with database.transaction(service()) as tx:
            await identity.record_failure(tx, user_id, NOW)

    await asyncio.gather(*(fail() for _ in range(8)))
    assert await _run(database, "SELECT login_attempts FROM users WHERE id = $1", user_id) == [{"login_attempts": 8}]


async def test_a_password_changed_during_verification_opens_nothing(database: Database) -> None:
    user_id = await _sign_up(database)
    opened = await _open(database, user_id)
    async with database.transaction(service()) as tx:
        await identity.change_password(tx, user_id, opened.session_id, old=HASH, new=HASH + "A", now=NOW)
    with pytest.raises(Refusal) as refused:
        await _open(database, user_id)
    assert refused.value.code is errors.INVALID_CREDENTIALS
    with pytest.raises(Refusal) as refused:
        async with database.transaction(service()) as tx:
            await identity.change_password(tx, user_id, opened.session_id, old=HASH, new=HASH + "B", now=NOW)
    assert refused.value.code is errors.CONFLICT
    await _renewed(database, opened.refresh_token)


@pytest.mark.rule("streaming-014")
@pytest.mark.rule("streaming-015")
@pytest.mark.rule("lms-008")
@pytest.mark.rule("edupeak-024")
@pytest.mark.rule("edupeak-025")
@pytest.mark.rule("edupeak-026")
@pytest.mark.rule("edupeak-027")
async def test_who_is_banned_neither_signs_in_nor_refreshes_until_the_ban_ends(database: Database) -> None:
    user_id = await _sign_up(database)
    opened = await _open(database, user_id)
    for state in (
        "banned = true, ban_reason = 'spam'",
        "banned = true, ban_expires = '2026-11-20 12:01Z'",
        "status = 'suspended'",
        "status = 'inactive'",
    ):
        await _run(database, f"UPDATE users SET {state} WHERE id = $1", user_id)
        with pytest.raises(Refusal) as refused:
            await _open(database, user_id)
        assert refused.value.code is errors.BANNED
        assert (await _refused(database, opened.refresh_token)).code is errors.BANNED
        if "ban_expires" in state:
            await _open(database, user_id, NOW + timedelta(minutes=1))
            opened = await _renewed(database, opened.refresh_token, NOW + timedelta(minutes=1))
        await _run(
            database,
            "UPDATE users SET banned = false, ban_expires = NULL, ban_reason = NULL, status = 'active' WHERE id = $1",
            user_id,
        )


async def test_the_rule_on_bans_is_the_schemas(database: Database) -> None:
    user_id = await _sign_up(database)
    for status, banned, expires in product(
        ("active", "suspended", "pending_verification"), (True, False), (None, NOW, NOW + timedelta(seconds=1))
    ):
        if expires is not None and not banned:
            continue
        (row,) = await _run(
            database,
            "UPDATE users SET status = $2::text::user_status, banned = $3, ban_expires = $4 WHERE id = $1 "
            "RETURNING is_banned(users, $5)",
            user_id, status, banned, expires, NOW,
        )  # fmt: skip
        refusal = identity.check_account(Account(status, banned, expires, None), NOW)
        assert (refusal is not None) is row["is_banned"]


async def test_only_the_product_itself_reads_accounts_and_sessions(database: Database) -> None:
    user_id = await _sign_up(database)
    opened = await _open(database, user_id)
    for viewer in (GUEST, Viewer(GUEST.tenant_id, uuid4(), "authenticated"), Viewer(GUEST.tenant_id, user_id, "staff")):
        async with database.transaction(viewer) as tx:
            assert await identity.find_for_sign_in(tx, "mara@example.org") is None or viewer.is_staff
            assert await tx.connection.fetchval("SELECT count(*) FROM accounts") == 0
            assert await tx.connection.fetchval("SELECT count(*) FROM refresh_tokens") == 0
    assert (await _refused(database, opened.refresh_token + "A")).code is errors.BAD_REFRESH_TOKEN


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("  Mara@Example.ORG ", "Mara@example.org"),
        ("mara\uff20example.org", "mara@example.org"),
        ("m\u00e4ra@M\u00dcNCHEN.example", "m\u00e4ra@m\u00fcnchen.example"),
    ],
)
def test_an_address_is_brought_to_one_form(text: str, email: str) -> None:
    assert canonical_email(text) == email


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@b", "@b.example", "a@", "a@@b.example", "a b@c.example", "a\x00@c.example", "a\u200b@c.example",
     "a@c..example", "a@.example", "a@c.example.", "a@" + "b" * 250 + ".example", "\u202ea@c.example", "a\n@c.example"],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        canonical_email(text)
    assert refused.value.faults[0].path == "email"


@given(st.text(max_size=300) | st.from_regex(r"[^@\s]{1,20}@[^@\s.]{1,10}\.[^@\s.]{1,10}", fullmatch=True))
def test_the_form_of_an_address_is_final(text: str) -> None:
    try:
        email = canonical_email(text)
    except Refusal:
        return
    assert canonical_email(email) == email
    assert len(email) <= 254


@pytest.mark.parametrize(
    ("password", "good"),
    [("1234567", False), ("12345678", True), ("x" * 256, True), ("x" * 257, False), ("Mara@Example.org", False),
     ("p\u00e4ssw\u00f6rter\U0001f3ac", True)],
)  # fmt: skip
def test_a_password_has_a_length_and_is_not_the_address(password: str, good: bool) -> None:
    assert (check_password(password, "mara@example.org") is None) is good


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b", "a\nb", "a\u2028b"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as refused:
        clean_name(name)
    assert refused.value.faults[0].path == "data.name"


def test_nothing_that_decides_who_may_do_what_is_written_through_the_engine() -> None:
    tables = {table.name: table for table in identity.CONTEXT.tables}
    assert {"accounts", "verifications", "refresh_tokens"}.isdisjoint(tables)
    written = {name for name, table in tables.items() if table.verbs != {"read"}}
    assert written == {"user_profiles", "email_preferences", "user_interests"}
    assert all("token_digest" not in (table.insertable | table.updatable) for table in tables.values())
    assert "token_digest" in tables["sessions"].hidden
    assert "key_hash" in tables["api_keys"].hidden
    assert "date_of_birth" in tables["user_profiles"].hidden
