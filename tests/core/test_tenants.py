"""No row of another tenant is seen or changed, over every table, verb and role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from core.database import Connection, Row, dedicated
from tests.conftest import Servers, TestDatabase, kept
from tests.core.rows import Rows

GLOBAL = {
    "users": "people are global; memberships place them in tenants",
    "user_profiles": "global, as users are",
    "accounts": "global, as users are",
    "sessions": "global, as users are",
    "archived_sessions": "global, as users are",
    "refresh_tokens": "global, as users are",
    "verifications": "global, as users are",
    "login_history": "global, as users are",
    "online_sessions": "global, as users are",
    "email_preferences": "global, as users are",
    "user_metrics": "global, as users are",
    "billing_addresses": "global, as users are",
    "follows": "global, as users are",
    "onboarding_progress": "global, as users are",
    "permissions": "what there is to be allowed, the same for all",
    "onboarding_steps": "the same for all",
    "system_config": "of the installation",
    "recovery_procedures": "of the installation",
    "replication_status": "of the installation, open to read",
    "failover_events": "of the installation, open to read",
    "time_partitions": "of the installation",
    "refresh_policies": "of the installation",
    "beat_ledger": "ids of heartbeats, which say nothing",
    "beat_ledger_crowded": "ids of heartbeats, which say nothing",
    "streaming_tokens": "digests, for the product alone",
    "playlist_progress": "a person's own, wherever they watch",
}
UNDER_PARENT = {"storage", "generations", "generation_keys", "renditions", "text_tracks", "transcode_tasks"}
ROLES = ("anon", "authenticated", "staff", "service_role")


@dataclass(frozen=True)
class Street:
    """Two tenants, a person who is in both, and a row of every table in the second one."""

    here: UUID
    there: UUID
    person: UUID
    rows: dict[str, Row]
    app_url: str


@dataclass
class Neighbours:
    """The street, and a connection of the app's role."""

    street: Street
    app: Connection[Row]

    @property
    def there(self) -> UUID:
        """The tenant next door."""
        return self.street.there

    @property
    def rows(self) -> dict[str, Row]:
        """Its rows, by table."""
        return self.street.rows

    async def become(self, role: str) -> None:
        """The app's connection acts here, in this role."""
        await self.app.execute(
            "SELECT set_config('app.tenant_id', $1, true), set_config('app.user_id', $2, true), set_config('app.role', $3, true)",
            str(self.street.here),
            "" if role in ("anon", "service_role") else str(self.street.person),
            role,
        )


@pytest.fixture(scope="module")
def street(servers: Servers) -> Iterator[Street]:
    """Every table holds a row of the tenant next door that belongs to the very person who looks. Nothing in it may be committed."""
    with kept(servers, "street") as (_, urls):
        yield asyncio.run(_built(urls))


@pytest.fixture
async def neighbours(street: Street) -> AsyncIterator[Neighbours]:
    """Who lives there, as a test finds them."""
    app = await dedicated(street.app_url)
    try:
        yield Neighbours(street, app)
    finally:
        await app.close()


async def _built(urls: TestDatabase) -> Street:
    admin = await dedicated(urls.admin_url)
    try:
        here = await admin.fetchval("INSERT INTO tenants (slug) VALUES ('here') RETURNING id")
        there = await admin.fetchval("INSERT INTO tenants (slug) VALUES ('there') RETURNING id")
        person = await admin.fetchval("INSERT INTO users (name, email) VALUES ('Vera', 'v@example.com') RETURNING id")
        factory = Rows(admin, there, person)
        rows = {}
        for table in await factory.tables():
            if table not in GLOBAL and table != "tenants" and not table.startswith(("pgqueuer", "schema_migrations")):
                rows[table] = await _row(admin, factory, table)
        return Street(here, there, person, rows, urls.app_url)
    finally:
        await admin.close()


async def _row(admin: Connection[Row], factory: Rows, table: str) -> Row:
    """The row that making another one has brought along, or a new one: some there can be only once."""
    found = await admin.fetchrow(
        f"SELECT * FROM {table} WHERE tenant_id = $1 LIMIT 1"
        if table not in UNDER_PARENT
        else f"SELECT * FROM {table} WHERE $1::uuid IS NOT NULL LIMIT 1",
        factory.tenant_id,
    )
    return found or await factory.make(table)


def where(table: str, there: UUID, row: Row) -> tuple[str, Any]:
    """The condition that finds the neighbour's rows."""
    return ("id = $1", row["id"]) if table in UNDER_PARENT else ("tenant_id = $1", there)


async def test_every_table_is_spoken_of(neighbours: Neighbours) -> None:
    with_tenant = {table for table, row in neighbours.rows.items() if "tenant_id" in row}
    assert set(neighbours.rows) - with_tenant == UNDER_PARENT
    assert not with_tenant & set(GLOBAL)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.rule("podcast-005")
@pytest.mark.rule("podcast-009")
@pytest.mark.rule("podcast-011")
@pytest.mark.rule("podcast-052")
@pytest.mark.rule("podcast-084")
async def test_the_neighbours_rows_are_neither_seen_nor_changed(neighbours: Neighbours, role: str) -> None:
    leaks = []
    for table, row in neighbours.rows.items():
        condition, value = where(table, neighbours.there, row)
        column = next(name for name in dict(row) if name not in ("search", "completion_rate", "avg_value", "seq"))
        for verb, sql in (
            ("read", f"SELECT count(*) FROM {table} WHERE {condition}"),
            ("update", f"WITH touched AS (UPDATE {table} SET {column} = {column} WHERE {condition} RETURNING 1) SELECT count(*) FROM touched"),
            ("delete", f"WITH gone AS (DELETE FROM {table} WHERE {condition} RETURNING 1) SELECT count(*) FROM gone"),
        ):  # fmt: skip
            transaction = neighbours.app.transaction()
            await transaction.start()
            await neighbours.become(role)
            if await neighbours.app.fetchval(sql, value) != 0:
                leaks.append(f"{verb} {table}")
            await transaction.rollback()
    assert leaks == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.rule("podcast-010")
async def test_nothing_can_be_put_next_door(neighbours: Neighbours, role: str) -> None:
    """Not even a copy of a row that is there: the policy is asked before any key or rule."""
    accepted = []
    for table, row in neighbours.rows.items():
        if table in UNDER_PARENT:
            continue
        generated = {"search", "completion_rate", "avg_value", "seq"}
        names = [name for name in dict(row) if name not in generated]
        transaction = neighbours.app.transaction()
        await transaction.start()
        await neighbours.become(role)
        try:
            await neighbours.app.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f'${n}' for n in range(1, len(names) + 1))})",
                *(row[name] for name in names),
            )
            accepted.append(table)
        except asyncpg.InsufficientPrivilegeError:
            pass
        except asyncpg.PostgresError as error:
            accepted.append(f"{table}: {error}")
        await transaction.rollback()
    assert accepted == []


@pytest.mark.rule("podcast-006")
@pytest.mark.rule("podcast-007")
@pytest.mark.rule("podcast-008")
async def test_one_call_names_the_tenant_for_every_table(neighbours: Neighbours) -> None:
    """set_tenant_context, or either of the settings that podcast installations know."""
    for name_tenant in (
        "SELECT set_tenant_context($1::text::uuid)",
        "SELECT set_config('app.current_tenant', $1, true)",
        "SELECT set_config('app.current_tenant_id', $1, true)",
    ):
        async with neighbours.app.transaction():
            await neighbours.app.execute("SELECT set_config('app.role', 'service_role', true)")
            await neighbours.app.execute(name_tenant, str(neighbours.there))
            unseen = [
                table
                for table, row in neighbours.rows.items()
                if not await neighbours.app.fetchval(
                    f"SELECT count(*) FROM {table} WHERE {where(table, neighbours.there, row)[0]}",
                    where(table, neighbours.there, row)[1],
                )
            ]
        assert unseen == []


@pytest.mark.rule("podcast-009")
async def test_without_a_tenant_there_is_nothing_to_see(neighbours: Neighbours) -> None:
    seen = [table for table in neighbours.rows if await neighbours.app.fetchval(f"SELECT count(*) FROM {table}")]
    assert seen == []


async def test_the_courier_passes_the_wall_at_three_queues_alone(neighbours: Neighbours) -> None:
    """The one role that works for every tenant at once: what it delivers it sees, and not one row of anything else."""
    async with neighbours.app.transaction():
        await neighbours.become("courier")
        seen = set()
        for table, row in neighbours.rows.items():
            condition, value = where(table, neighbours.there, row)
            if await neighbours.app.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}", value):
                seen.add(table)
    assert seen - {"failover_events", "replication_status"} == {"outbox", "webhooks", "webhook_deliveries"}


@pytest.mark.rule("podcast-013")
@pytest.mark.rule("podcast-014")
async def test_the_state_of_replicas_is_open(database_urls: TestDatabase) -> None:
    admin, app = await dedicated(database_urls.admin_url), await dedicated(database_urls.app_url)
    try:
        factory = Rows(admin, await admin.fetchval("INSERT INTO tenants (slug) VALUES ('here') RETURNING id"))
        for table in ("replication_status", "failover_events"):
            await factory.make(table)
            assert await app.fetchval(f"SELECT count(*) FROM {table}") == 1
    finally:
        await admin.close()
        await app.close()
