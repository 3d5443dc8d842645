"""Through pgbouncer, which lends a connection for one transaction: the same answers, the same limits, the same walls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from core import opening
from core.database import Database, DatabaseDown, dedicated
from core.errors import TIMEOUT, Refusal
from core.ids import DEFAULT_TENANT
from core.opening import leads_through_pooler
from core.viewer import Viewer, service
from edge.local.valkey import EmbeddedValkey
from edge.migrate import MigrationError, migrate
from edge.progress.drain import Drain
from edge.progress.stream import IntakeStream
from edge.redis_client import Breaker, Redis, connect
from tests.conftest import TestDatabase
from tests.core.test_interleaved import Campaign
from tests.core.test_interleaved import campaign as campaign
from tests.edge.progress.conftest import patient as patient
from tests.edge.progress.test_drain import a_beat, a_session, point
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast
from tests.pooler import LENT, Pooler, running_pooler
from tests.waiting import until

pytestmark = [pytest.mark.needs("pgbouncer"), pytest.mark.rule("edupeak-311")]

CALLS = 600


@pytest.fixture
def pooler(database_urls: TestDatabase) -> Iterator[Pooler]:
    """pgbouncer before the test's database."""
    with running_pooler(database_urls.app_url, database_urls.owner_url) as running:
        yield running


@pytest.fixture
async def database(
    pooler: Pooler, database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """A pool of 8 through it: more than it has to lend."""
    for name in ("core.connections.ACQUIRE_TIMEOUT_S", "core.opening.CONNECT_TIMEOUT_S", "core.patience.SUSPECT_S"):
        monkeypatch.setattr(name, 60.0)
    url = pooler.url(database_urls.app_url)
    pool = await Database.connect(url, name="test", max_size=8, direct_url=database_urls.app_url)
    yield pool
    await pool.close()


async def test_nobody_is_shown_what_is_another_tenants(campaign: Campaign) -> None:
    """Reads, transactions and changes of four tenants, many cut short; `campaign` counts what each is shown."""
    await campaign.run(CALLS)
    assert campaign.foreign[:3] == []
    assert campaign.seen["title"] > CALLS
    assert campaign.seen["change"] > 0
    assert campaign.seen["cut short"] > 0


async def test_connections_really_are_shared(database: Database) -> None:
    """The control: eight of ours were served by no more of PostgreSQL's than pgbouncer has."""
    backend = "SELECT pg_backend_pid() AS pid FROM pg_sleep(0.01)"

    async def ask() -> int:
        async with database.transaction(service()) as tx:
            return int(await tx.connection.fetchval(backend))

    backends = [await asyncio.gather(*(ask() for _ in range(8))) for _ in range(4)]
    assert len({pid for round_ in backends for pid in round_}) <= LENT
    assert await database.alive()


async def test_limits_of_time_hold_for_each_transaction_and_leave_nothing_behind(
    database: Database, database_urls: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, ms in (("statement_timeout", 5_000), ("lock_timeout", 2_000)):
        monkeypatch.setitem(opening.LIMITS_MS, limit, ms)
    shown = "SELECT current_setting('statement_timeout') || current_setting('lock_timeout')"
    async with database.transaction(service()) as tx:
        assert await tx.connection.fetchval(shown) == "5s2s"
    row = await database.read(service(), shown + " AS shown", ())
    assert row is not None
    assert row["shown"] == "5s2s"
    with monkeypatch.context() as hasty:
        hasty.setitem(opening.LIMITS_MS, "statement_timeout", 50)
        with pytest.raises(Refusal) as refused:
            await database.read(service(), "SELECT 1 AS one FROM pg_sleep(30)", ())
    assert refused.value.code is TIMEOUT
    # What a stranger gets next on the same connections of the server.
    stranger = await asyncio.gather(*(_bare_settings(database) for _ in range(2 * LENT)))
    assert set(stranger) == {"0|0|||"}


async def _bare_settings(database: Database) -> str:
    connection = await database._opening.open()
    try:
        # Never set on this one, or set back: PostgreSQL tells the two apart, policies do not.
        return str(
            await connection.fetchval(
                """SELECT concat_ws('|', current_setting('statement_timeout'), current_setting('lock_timeout'),
                   coalesce(current_setting('app.tenant_id', true), ''), coalesce(current_setting('app.user_id', true), ''),
                   coalesce(current_setting('app.role', true), ''))"""
            )
        )
    finally:
        connection.terminate()


async def test_set_tenant_context_is_for_one_transaction(database: Database, campaign: Campaign) -> None:
    """Five hundred transactions of two tenants, each naming its own by the function, each seeing its own."""
    first, second = campaign.tenants[:2]
    found = "SELECT DISTINCT tenant_id FROM contents"

    async def call(tenant: UUID) -> None:
        async with database.transaction(Viewer(DEFAULT_TENANT, None, "anon")) as tx:
            await tx.connection.execute("SELECT set_tenant_context($1)", tenant)
            assert [row["tenant_id"] for row in await tx.connection.fetch(found)] == [tenant]

    tenants = [first, second] * 250
    random.Random(1).shuffle(tenants)
    left = iter(tenants)

    async def work() -> None:
        for tenant in left:
            await call(tenant)

    await asyncio.gather(*(work() for _ in range(16)))
    async with database.transaction(Viewer(DEFAULT_TENANT, None, "anon")) as tx:
        assert await tx.connection.fetch(found) == []


@pytest.mark.usefixtures("patient")
async def test_a_heartbeat_is_drained_through_it(
    database: Database, cast: Cast, redis: Redis, valkey: EmbeddedValkey
) -> None:
    session = await a_session(cast, cast.vera, cast.free_film)
    beats = [a_beat(cast, session, 1, 12.5), a_beat(cast, session, 2, 17.5)]
    await IntakeStream(redis, Breaker(), 1).add(beats)
    client = connect(valkey.url, blocking=True)
    drain = Drain(database, client)
    running = asyncio.create_task(drain.run())
    await until(lambda: drain.beats == 2, 60, "two beats in PostgreSQL")
    drain.stop()
    await running
    await client.aclose()
    assert (await point(cast))["position_ms"] == 17_500


async def test_announcements_come_past_it(database: Database, database_urls: TestDatabase, pooler: Pooler) -> None:
    assert not await database.is_deaf()
    heard: list[str] = []
    connected, stop = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(database.listen("told", heard.append, connected.set, stop))
    async with asyncio.timeout(60):
        await connected.wait()
    async with database.transaction(service()) as tx:
        await tx.connection.execute("SELECT pg_notify('told', 'through the pooler')")
    await until(lambda: heard == ["through the pooler"], 60, "the announcement")
    stop.set()
    await listening
    deaf = await Database.connect(pooler.url(database_urls.app_url), name="test", max_size=1)
    assert await deaf.is_deaf()
    await deaf.close()


async def test_it_is_told_from_postgresql_itself(pooler: Pooler, database_urls: TestDatabase) -> None:
    assert await leads_through_pooler(pooler.url(database_urls.app_url))
    assert not await leads_through_pooler(database_urls.app_url)


async def test_migrations_do_not_go_through_it(pooler: Pooler, database_urls: TestDatabase) -> None:
    with pytest.raises(MigrationError, match="PENSTOCK_OWNER_DATABASE_URL"):
        await migrate(pooler.url(database_urls.owner_url))
    assert await migrate(database_urls.owner_url) == []


async def test_statements_cut_off_on_the_way_leave_the_pool_usable(
    database: Database, database_urls: TestDatabase
) -> None:
    async def cut_off() -> None:
        async with database.transaction(service()) as tx:
            pid = await tx.connection.fetchval("SELECT pg_backend_pid()")
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await tx.connection.fetchval("SELECT true")

    admin = await dedicated(database_urls.admin_url)
    try:
        for _ in range(2 * LENT):
            with pytest.raises(DatabaseDown):
                await cut_off()
    finally:
        await admin.close()
    row = await database.read(service(), "SELECT 1 AS one", ())
    assert row is not None
    assert row["one"] == 1
