"""The platform's commands, given as people and processes give them, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson
import pytest

from core.database import Database, Row
from core.domain.commands import Commands
from core.domain.house import House
from core.domain.platform import experiments, integrations
from core.domain.registry import CONTEXTS
from core.domain.sealing import Sealer
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.keys import Key, KeyRing
from core.viewer import GUEST, Viewer, service
from tests.conftest import TestDatabase

SEALER = Sealer(KeyRing((Key("s1", b"s" * 48),)))
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ELSEWHERE = UUID("00000000-0000-7000-8000-00000000b000")
STAFF = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000302"), "staff")
MARA = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000301"), "authenticated")
OTTO = Viewer(DEFAULT_TENANT, UUID("00000000-0000-7000-8000-000000000303"), "authenticated")
NEXT_DOOR = Viewer(ELSEWHERE, STAFF.user_id, "staff")


@dataclass
class Office:
    """Gives commands as anybody, and looks at rows as the product."""

    database: Database
    commands: Commands

    async def do(self, viewer: Viewer, command: str, now: datetime = NOW, **fields: object) -> Any:
        asked = msgspec.convert(fields, self.commands.find(command, viewer).request, strict=False)
        return orjson.loads((await self.commands.run(viewer, command, asked, now=now)).body)

    async def refused(self, viewer: Viewer, command: str, **fields: object) -> str:
        with pytest.raises(Refusal) as refusal:
            await self.do(viewer, command, **fields)
        return refusal.value.code.code

    async def ask(self, sql: str, *args: object, viewer: Viewer | None = None) -> list[Row]:
        async with self.database.transaction(viewer or service()) as tx:
            return list(await tx.connection.fetch(sql, *args))


@pytest.fixture
async def office(database_urls: TestDatabase, database: Database) -> AsyncIterator[Office]:
    pool = await Database.connect(database_urls.app_url, name="test", max_size=4, house=House(SEALER))
    made = Office(pool, Commands(pool, CONTEXTS))
    await made.ask("INSERT INTO tenants (id, slug) VALUES ($1, 'next-door')", ELSEWHERE)
    for viewer, name, role in ((STAFF, "stella", "admin"), (MARA, "mara", "user"), (OTTO, "otto", "user")):
        await made.ask(
            "INSERT INTO users (id, name, email, role) VALUES ($1, $2, $2 || '@example.com', $3::text::platform_role)",
            viewer.user_id,
            name,
            role,
        )
    yield made
    await pool.close()


# Integrations


async def integration(office: Office) -> UUID:
    (row,) = await office.ask(
        "INSERT INTO integrations (name, integration_type) VALUES ('CRM', 'crm') RETURNING id", viewer=STAFF
    )
    return UUID(str(row["id"]))


@pytest.mark.rule("podcast-105")
async def test_a_token_is_kept_sealed_and_the_next_of_its_type_takes_its_place(office: Office) -> None:
    crm = await integration(office)
    for token in ("first-token", "second-token"):
        stored = await office.do(
            STAFF, "store_integration_token", integration_id=str(crm), token_type="access", token=token
        )
        (row,) = await office.ask("SELECT id, token_value_encrypted FROM integration_tokens")
        assert str(row["id"]) == stored["token_id"]
        kept = bytes(row["token_value_encrypted"])
        assert token.encode() not in kept
        assert SEALER.open(kept.decode(), bound_to=integrations.bound_to(row["id"])) == token
    logged = await office.ask("SELECT changes::text FROM audit_logs WHERE resource_type = 'integration_tokens'")
    assert logged
    assert not [row for row in logged if "token_value_encrypted" in row[0] or "-token" in row[0]]


async def test_a_token_is_for_ones_own_integration_and_for_later(office: Office) -> None:
    crm = str(await integration(office))
    fields = {"integration_id": crm, "token_type": "access", "token": "x"}
    assert await office.refused(NEXT_DOOR, "store_integration_token", **fields) == "PS105"
    assert await office.refused(MARA, "store_integration_token", **fields) == "PS304"
    assert await office.refused(STAFF, "store_integration_token", **{**fields, "token": ""}) == "PS102"
    past = (NOW - timedelta(seconds=1)).isoformat()
    assert await office.refused(STAFF, "store_integration_token", **fields, expires_at=past) == "PS102"
    assert await office.ask("SELECT 1 FROM integration_tokens") == []


@pytest.mark.rule("podcast-109")
async def test_an_exchange_ends_once_with_its_moment_its_state_and_its_count(office: Office) -> None:
    crm = str(await integration(office))
    good = await office.do(STAFF, "start_integration_sync", integration_id=crm, sync_type="people")
    await office.do(STAFF, "finish_integration_sync", sync_id=good["sync_id"], status="succeeded", records_synced=12)
    bad = await office.do(STAFF, "start_integration_sync", integration_id=crm, sync_type="people")
    assert await office.refused(STAFF, "finish_integration_sync", sync_id=bad["sync_id"], status="failed") == "PS102"
    await office.do(
        STAFF, "finish_integration_sync", sync_id=bad["sync_id"], status="failed", error_message="no answer"
    )
    rows = await office.ask(
        "SELECT status, records_synced, completed_at, error_message FROM integration_sync_logs ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [("succeeded", 12, NOW, None), ("failed", 0, NOW, "no answer")]
    assert (await office.ask("SELECT status FROM integrations"))[0][0] == "failing"
    assert await office.refused(STAFF, "finish_integration_sync", sync_id=bad["sync_id"], status="succeeded") == "PS504"
    assert await office.refused(STAFF, "finish_integration_sync", sync_id=str(uuid4()), status="succeeded") == "PS105"


# Onboarding


@pytest.mark.rule("podcast-127")
@pytest.mark.rule("podcast-129")
@pytest.mark.rule("podcast-130")
async def test_steps_come_in_their_order_and_only_what_is_not_required_is_skipped(office: Office) -> None:
    await office.ask(
        """INSERT INTO onboarding_steps (step_key, step_name, order_index, required)
           VALUES ('invite', 'Invite others', 3, false), ('profile', 'Say who you are', 1, true), ('taste', 'What you like', 2, false)"""
    )
    mine = await office.do(MARA, "my_onboarding")
    assert [step["step_key"] for step in mine["steps"]] == ["profile", "taste", "invite"]
    assert mine["is_finished"] is False
    assert await office.refused(MARA, "skip_onboarding_step", step_key="profile") == "PS630"
    assert await office.refused(MARA, "skip_onboarding_step", step_key="unheard-of") == "PS105"
    await office.do(MARA, "skip_onboarding_step", step_key="taste")
    await office.do(MARA, "complete_onboarding_step", step_key="profile")
    later = NOW + timedelta(hours=1)
    mine = await office.do(MARA, "complete_onboarding_step", now=later, step_key="profile")
    states = {step["step_key"]: (step["completed_at"], step["skipped_at"]) for step in mine["steps"]}
    moment = "2026-11-21T12:00:00Z"
    assert states == {"profile": (moment, None), "taste": (None, moment), "invite": (None, None)}
    assert mine["is_finished"] is True
    # What was skipped may be done after all; what is done is not skipped.
    await office.do(MARA, "complete_onboarding_step", now=later, step_key="taste")
    mine = await office.do(MARA, "skip_onboarding_step", now=later, step_key="taste")
    assert mine["steps"][1]["completed_at"] is not None
    assert mine["steps"][1]["skipped_at"] is None
    assert all(step["completed_at"] is None for step in (await office.do(OTTO, "my_onboarding"))["steps"])


# The operator's own


@pytest.mark.rule("edupeak-294")
async def test_who_changes_the_configuration_is_written_down(office: Office) -> None:
    first = await office.do(STAFF, "set_system_config", key="theme", value={"dark": True}, description="Colours")
    assert first["updated_by"] == str(STAFF.user_id)
    second = await office.do(service(), "set_system_config", key="theme", value=[1, None, "x"])
    assert (second["value"], second["description"]) == ([1, None, "x"], "Colours")
    third = await office.do(STAFF, "set_system_config", key="theme", value=None)
    assert (third["value"], third["updated_by"]) == (None, str(STAFF.user_id))
    assert [entry["key"] for entry in (await office.do(STAFF, "system_config"))["entries"]] == ["theme"]


async def test_the_configuration_is_the_operators_alone(office: Office) -> None:
    await office.do(STAFF, "set_system_config", key="theme", value=1)
    teacher = Viewer(DEFAULT_TENANT, OTTO.user_id, "staff")  # staff of one tenant, nobody on the platform
    assert await office.refused(teacher, "set_system_config", key="theme", value=2) == "PS304"
    assert await office.do(teacher, "system_config") == {"entries": []}
    assert await office.refused(MARA, "set_system_config", key="theme", value=2) == "PS304"
    assert await office.refused(STAFF, "set_system_config", key="theme", value="x" * 70_000) == "PS102"
    assert (await office.ask("SELECT value FROM system_config"))[0][0] == "1"


@pytest.mark.rule("podcast-135")
async def test_what_is_seen_of_a_replica_is_kept_on_its_one_row(office: Office) -> None:
    synced = NOW - timedelta(seconds=3)
    await office.do(
        service(),
        "observe_replica",
        replica_name="r1",
        status="streaming",
        lag_seconds="0.5",
        last_sync_at=synced.isoformat(),
    )
    await office.do(service(), "observe_replica", replica_name="r1", status="lost")
    (row,) = await office.ask("SELECT status, lag_seconds, last_sync_at FROM replication_status")
    assert (row["status"], row["lag_seconds"], row["last_sync_at"]) == ("lost", None, synced)
    await office.do(
        service(), "observe_replica", replica_name="r1", status="streaming", lag_seconds=2, last_sync_at=NOW.isoformat()
    )
    (row,) = await office.ask("SELECT status, lag_seconds, last_sync_at FROM replication_status")
    assert (row["status"], int(row["lag_seconds"]), row["last_sync_at"]) == ("streaming", 2, NOW)
    assert await office.refused(service(), "observe_replica", replica_name="r1", status="x", lag_seconds=-1) == "PS102"
    assert await office.refused(STAFF, "observe_replica", replica_name="r1", status="x") == "PS304"


@pytest.mark.rule("podcast-138")
async def test_a_test_of_a_procedure_moves_its_moment_forward(office: Office) -> None:
    await office.ask("INSERT INTO recovery_procedures (procedure_name) VALUES ('restore')")
    assert (await office.do(service(), "record_recovery_test", procedure_name="restore"))[
        "last_tested_at"
    ] == "2026-11-21T12:00:00Z"
    earlier = (NOW - timedelta(days=1)).isoformat()
    again = await office.do(service(), "record_recovery_test", procedure_name="restore", tested_at=earlier)
    assert again["last_tested_at"] == "2026-11-21T12:00:00Z"
    later = NOW + timedelta(days=1)
    moved = await office.do(service(), "record_recovery_test", now=later, procedure_name="restore")
    assert moved["last_tested_at"] == "2026-11-22T12:00:00Z"
    assert await office.refused(service(), "record_recovery_test", procedure_name="unheard-of") == "PS105"
    tomorrow = (NOW + timedelta(days=1)).isoformat()
    assert (
        await office.refused(service(), "record_recovery_test", procedure_name="restore", tested_at=tomorrow) == "PS102"
    )


@pytest.mark.rule("podcast-125")
async def test_who_leaves_is_written_down_with_the_reason(office: Office) -> None:
    (plan,) = await office.ask("INSERT INTO plans (name, price_monthly) VALUES ('Film', 9) RETURNING id")
    made = []
    for viewer in (MARA, OTTO):
        made += await office.ask(
            """INSERT INTO subscriptions (user_id, plan_id, status, current_period_end) VALUES ($1, $2, 'active', now() + interval '1 month')
               RETURNING id""",
            viewer.user_id,
            plan["id"],
        )
    await office.ask("UPDATE subscriptions SET cancel_at_period_end = true")
    assert await office.ask("SELECT 1 FROM churn_events") == []
    await office.ask("UPDATE subscriptions SET status = 'cancelled' WHERE id = $1", made[0]["id"])
    await office.ask("UPDATE subscriptions SET status = 'past_due' WHERE id = $1", made[1]["id"])
    await office.ask("UPDATE subscriptions SET status = 'expired' WHERE id = $1", made[1]["id"])
    rows = await office.ask(
        "SELECT user_id, churn_reason, occurred_at, churn_data FROM churn_events ORDER BY occurred_at"
    )
    assert [(row["user_id"], row["churn_reason"]) for row in rows] == [
        (MARA.user_id, "subscription_cancelled"),
        (OTTO.user_id, "subscription_expired"),
    ]
    assert orjson.loads(rows[0]["churn_data"])["subscription_id"] == str(made[0]["id"])
    assert all(row["occurred_at"] for row in rows)


# Searches


@pytest.mark.rule("edupeak-269")
@pytest.mark.rule("edupeak-270")
@pytest.mark.rule("edupeak-271")
@pytest.mark.rule("edupeak-272")
@pytest.mark.rule("edupeak-273")
async def test_searches_are_written_down_with_what_was_found_and_chosen(office: Office) -> None:
    await office.ask(
        """INSERT INTO contents (title, content_type, is_published, published_at) VALUES
           ('The seahorse valley', 'MOVIE', true, now()), ('Valley of dawn', 'MOVIE', true, now()), ('Secret valley', 'MOVIE', false, NULL)"""
    )
    found = await office.do(GUEST, "search_contents", query="valley", limit=1)
    assert (found["results_count"], len(found["results"])) == (2, 1)
    mine = await office.do(MARA, "search_contents", query=" seahorse -dawn ")
    assert [result["title"] for result in mine["results"]] == ["The seahorse valley"]
    await office.do(MARA, "search_contents", query="Submarine")
    await office.do(GUEST, "search_contents", query="submarine")
    result_id = mine["results"][0]["id"]
    await office.do(MARA, "record_search_click", search_id=mine["search_id"], result_id=result_id)
    rows = await office.ask("SELECT query, results_count, user_id, clicked_result FROM search_analytics ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("valley", 2, None, None),
        ("seahorse -dawn", 1, MARA.user_id, result_id),
        ("Submarine", 0, MARA.user_id, None),
        ("submarine", 0, None, None),
    ]
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    learnt = await office.do(STAFF, "search_effectiveness", since=since, until=until)
    assert learnt == {
        "searches": 4,
        "without_results": 2,
        "clicked": 1,
        "fruitless": [{"query": "submarine", "searches": 2}],
    }


async def test_a_click_belongs_to_ones_own_search(office: Office) -> None:
    mine = await office.do(MARA, "search_contents", query="valley")
    for viewer in (OTTO, GUEST, Viewer(ELSEWHERE, MARA.user_id, "authenticated")):
        assert (
            await office.refused(viewer, "record_search_click", search_id=mine["search_id"], result_id="x") == "PS105"
        )
    await office.ask("UPDATE search_analytics SET created_at = now() - interval '2 days'")
    assert await office.refused(MARA, "record_search_click", search_id=mine["search_id"], result_id="x") == "PS105"


@pytest.mark.parametrize("query", ["", "   ", "x" * 501, "a\x00b"])
async def test_a_search_for_nothing_is_refused(office: Office, query: str) -> None:
    assert await office.refused(GUEST, "search_contents", query=query) == "PS102"
    assert await office.ask("SELECT 1 FROM search_analytics") == []


@pytest.mark.parametrize("query", ["'", '"', "!!", "a & | b", "\\", ":*", "(((", "or or -"])
async def test_odd_words_are_no_error(office: Office, query: str) -> None:
    assert (await office.do(GUEST, "search_contents", query=query))["results_count"] == 0


# Experiments


async def experiment(office: Office, status: str = "running") -> str:
    (row,) = await office.ask(
        "INSERT INTO experiments (name, status) VALUES ('Posters', $1) RETURNING id", status, viewer=STAFF
    )
    return str(row["id"])


@pytest.mark.rule("podcast-122")
@pytest.mark.rule("podcast-123")
async def test_a_variant_stays_what_it_was_also_when_the_experiment_is_over(office: Office) -> None:
    posters = await experiment(office)
    first = await office.do(MARA, "experiment_variant", experiment_id=posters)
    assert first["variant"] in ("control", "treatment")
    for change in ("status = 'paused'", "end_date = now() - interval '1 day'"):
        await office.ask(f"UPDATE experiments SET {change}")
        assert await office.do(MARA, "experiment_variant", experiment_id=posters) == first
        assert await office.refused(OTTO, "experiment_variant", experiment_id=posters) == "PS631"
    assert await office.refused(MARA, "experiment_variant", experiment_id=str(uuid4())) == "PS631"
    assert await office.refused(GUEST, "experiment_variant", experiment_id=posters) == "PS301"
    there = Viewer(ELSEWHERE, OTTO.user_id, "authenticated")
    assert await office.refused(there, "experiment_variant", experiment_id=posters) == "PS631"


async def test_variants_are_given_to_about_as_many(office: Office) -> None:
    """The hash is a fixed function of the ids, so this is no matter of luck beyond the ids drawn: 400 heads fall between 140 and 260."""
    posters = await experiment(office)
    ids = [uuid4() for _ in range(400)]
    await office.ask(
        "INSERT INTO users (id, name, email) SELECT id, 'x', id || '@example.com' FROM unnest($1::uuid[]) AS id", ids
    )
    for id_ in ids:
        await office.ask(
            "SELECT assign_variant($1)", UUID(posters), viewer=Viewer(DEFAULT_TENANT, id_, "authenticated")
        )
    results = await office.do(STAFF, "experiment_results", experiment_id=posters)
    assert set(results["assigned"]) == {"control", "treatment"}
    assert 140 < results["assigned"]["control"] < 260


@pytest.mark.rule("podcast-124")
async def test_events_are_counted_by_variant(office: Office) -> None:
    posters = await experiment(office)
    variants = {}
    for viewer, times in ((MARA, 3), (OTTO, 1)):
        variants[viewer] = (await office.do(viewer, "experiment_variant", experiment_id=posters))["variant"]
        for _ in range(times):
            await office.do(
                viewer, "record_experiment_event", experiment_id=posters, event_type="opened", event_data={"n": 1}
            )
    results = await office.do(STAFF, "experiment_results", experiment_id=posters)
    counted = {row["variant"]: (row["events"], row["people"]) for row in results["counts"]}
    if variants[MARA] == variants[OTTO]:
        assert counted == {variants[MARA]: (4, 2)}
    else:
        assert counted == {variants[MARA]: (3, 1), variants[OTTO]: (1, 1)}
    assert await office.refused(STAFF, "record_experiment_event", experiment_id=posters, event_type="opened") == "PS105"
    big = {"x": "y" * 5000}
    assert (
        await office.refused(MARA, "record_experiment_event", experiment_id=posters, event_type="o", event_data=big)
        == "PS102"
    )


# What the engine serves of it


async def test_no_secret_and_no_trace_is_served() -> None:
    (platform,) = (context for context in CONTEXTS if context.name == "platform")
    hidden = {table.name: table.hidden for table in platform.tables}
    assert hidden["webhooks"] == {"secret", "old_secret"}
    assert hidden["integration_tokens"] == {"token_value_encrypted"}
    assert hidden["error_logs"] == {"stack"}
    assert not {"outbox", "idempotency_keys", "system_config"} & set(hidden)


@pytest.mark.rule("lms-069")
async def test_a_notification_that_is_read_says_since_when_and_only_its_reader_marks_it(office: Office) -> None:
    await office.ask("INSERT INTO notifications (user_id, type, title) VALUES ($1, 'reminder', 'Hello')", MARA.user_id)
    mark = "UPDATE notifications SET is_read = true RETURNING is_read, read_at"
    assert await office.ask(mark, viewer=OTTO) == []
    (row,) = await office.ask(mark, viewer=MARA)
    assert row["is_read"] is True
    assert row["read_at"] is not None
    (again,) = await office.ask(mark, viewer=MARA)
    assert again["read_at"] >= row["read_at"]


def test_a_number_of_any_length_is_taken() -> None:
    """orjson, which reads and writes elsewhere, ends at 64 bits."""
    assert experiments.check_data({"n": 10**30}) is None
