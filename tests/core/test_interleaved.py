"""Calls of many tenants and roles through one pool, many at once and some cut short: nobody gets a row of somebody else.

The count of what each is shown must be right too: who is shown nothing leaks nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import pytest

from core import database as database_module
from core.database import Connection, Database, DatabaseDown, Row, Tx, dedicated, viewer_settings
from core.domain.registry import CONTEXTS
from core.engine.read import Prepared, prepare
from core.engine.schema import SchemaSource
from core.errors import CONFLICT, TIMEOUT, UNAVAILABLE, Refusal
from core.viewer import Role, Viewer
from tests.conftest import TestDatabase

FEW, MANY = 4_000, 1_000_000
TENANTS, PEOPLE, SHOWN, DRAFTS = 4, 6, 3, 2
AT_ONCE = 48
ROLES: tuple[Role, ...] = ("anon", "authenticated", "staff", "service_role")


@dataclass
class Campaign:
    """One pool, the people who use it, and what was found."""

    pool: Database
    random: random.Random
    tenants: list[UUID]
    people: list[UUID]
    titles: dict[UUID, list[UUID]]
    """By tenant."""
    shelf: Prepared
    seen: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)

    def viewer(self) -> Viewer:
        """Anybody."""
        role = self.random.choice(ROLES)
        person = None if role in ("anon", "service_role") else self.random.choice(self.people)
        return Viewer(self.random.choice(self.tenants), person, role)

    async def run(self, calls: int) -> None:
        """So many calls, AT_ONCE of them under way."""
        left = iter(range(calls))

        async def work() -> None:
            for _ in left:
                await self._call()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _call(self) -> None:
        viewer, drawn = self.viewer(), self.random.random()
        what = (
            self._read if drawn < 0.7 else self._mine if drawn < 0.8 else self._several if drawn < 0.9 else self._write
        )
        task = asyncio.create_task(what(viewer))
        if self.random.random() < 0.1:
            for _ in range(self.random.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.seen["cut short"] += 1
        except DatabaseDown:
            self.seen["refused"] += 1
        except Refusal as refusal:
            # Two who change the same row, or a machine that stands still.
            assert refusal.code in (TIMEOUT, UNAVAILABLE, CONFLICT), refusal
            self.seen["refused"] += 1

    async def _read(self, viewer: Viewer) -> None:
        """A list with its shelves, as /rest/v1 asks for it."""
        row = await self.pool.read(viewer, self.shelf.sql.text, self.shelf.sql.arguments)
        assert row is not None
        titles = orjson.loads(row["body"])
        self._judge(viewer, "title", [title["tenant_id"] for title in titles], SHOWN + viewer.is_staff * DRAFTS)
        self._judge(viewer, "genre", [genre["tenant_id"] for title in titles for genre in title["genres"]], len(titles))

    async def _mine(self, viewer: Viewer) -> None:
        """What belongs to a person, wherever they are."""
        row = await self.pool.read(viewer, "SELECT array_agg(user_id) AS found FROM email_preferences", ())
        assert row is not None
        found = row["found"] or []
        if viewer.role != "service_role":
            expected = [viewer.user_id] if viewer.user_id else []
            if found != expected:
                self.foreign.append(f"{viewer}: preferences of {found}")
        self.seen["preferences"] += len(found)

    async def _several(self, viewer: Viewer) -> None:
        """Several statements of one transaction."""
        async with self.pool.transaction(viewer) as tx:
            titles = await tx.connection.fetch("SELECT tenant_id FROM contents")
            genres = await tx.connection.fetch("SELECT tenant_id FROM genres")
        self._judge(viewer, "title", [row[0] for row in titles], SHOWN + viewer.is_staff * DRAFTS)
        self._judge(viewer, "genre", [row[0] for row in genres], 1)

    async def _write(self, viewer: Viewer) -> None:
        """A change of a title, be it one's own tenant's or another's; kept or taken back."""
        tenant = self.random.choice(self.tenants)
        title = self.random.choice(self.titles[tenant])
        with suppress(_TakenBack):
            async with self.pool.transaction(viewer) as tx:
                touched = await self._change(tx, title)
                if self.random.random() < 0.5:
                    raise _TakenBack
        self._judge(viewer, "change", touched, int(tenant == viewer.tenant_id and viewer.is_staff))

    async def _change(self, tx: Tx, title: UUID) -> list[UUID]:
        rows = await tx.connection.fetch("UPDATE contents SET title = title WHERE id = $1 RETURNING tenant_id", title)
        return [row[0] for row in rows]

    def _judge(self, viewer: Viewer, what: str, tenants: list[Any], expected: int) -> None:
        self.seen[what] += len(tenants)
        if any(UUID(str(tenant)) != viewer.tenant_id for tenant in tenants) or len(tenants) != expected:
            self.foreign.append(f"{viewer}: {what} of {Counter(map(str, tenants))}, expected {expected}")


class _TakenBack(Exception):  # noqa: N818 - states the fact
    pass


@pytest.fixture
async def campaign(database: Database, database_urls: TestDatabase, request: pytest.FixtureRequest) -> Campaign:
    admin = await dedicated(database_urls.admin_url)
    try:
        tenants, people, titles = await _seed(admin)
    finally:
        await admin.close()
    schema = await SchemaSource(database, CONTEXTS).current()
    shelf = prepare(schema, "contents", "select=id,tenant_id,genres(tenant_id)&order=published_at", "", "", "")
    return Campaign(database, random.Random(request.node.name), tenants, people, titles, shelf)


async def _seed(admin: Connection[Row]) -> tuple[list[UUID], list[UUID], dict[UUID, list[UUID]]]:
    tenants = [
        row["id"]
        for row in await admin.fetch(
            "INSERT INTO tenants (slug) SELECT 't-' || n FROM generate_series(1, $1) n RETURNING id", TENANTS
        )
    ]
    people = [
        row["id"]
        for row in await admin.fetch(
            "INSERT INTO users (name, email) SELECT 'P' || n, n || '@example.com' FROM generate_series(1, $1) n RETURNING id",
            PEOPLE,
        )
    ]
    await admin.execute("INSERT INTO email_preferences (user_id) SELECT id FROM users")
    titles = {}
    for tenant in tenants:
        await admin.execute(
            "SELECT set_config('app.tenant_id', $1, false), set_config('app.role', 'service_role', false)", str(tenant)
        )
        await admin.execute("INSERT INTO genres (title, slug) VALUES ('Drama', 'drama')")
        rows = await admin.fetch(
            """INSERT INTO contents (title, content_type, is_published, published_at)
               SELECT 'Title ' || n, 'MOVIE', n <= $1, CASE WHEN n <= $1 THEN now() - n * interval '1 hour' END
               FROM generate_series(1, $2) n RETURNING id""",
            SHOWN,
            SHOWN + DRAFTS,
        )
        titles[tenant] = [row["id"] for row in rows]
        await admin.execute(
            """INSERT INTO content_genres (content_id, genre_id)
               SELECT c.id, g.id FROM contents c JOIN genres g USING (tenant_id) WHERE tenant_id = $1""",
            tenant,
        )
    return tenants, people, titles


@pytest.mark.rule("podcast-005")
@pytest.mark.rule("podcast-009")
@pytest.mark.parametrize("calls", [FEW, pytest.param(MANY, marks=[pytest.mark.long, pytest.mark.timeout(7200)])])
async def test_nobody_is_shown_what_is_another_tenants_or_persons(campaign: Campaign, calls: int) -> None:
    await campaign.run(calls)
    assert campaign.foreign[:3] == []
    # All of it was tried.
    assert campaign.seen["cut short"] > calls / 50
    assert campaign.seen["title"] > calls
    assert campaign.seen["change"] > calls / 200
    assert campaign.seen["preferences"] > calls / 50


async def test_a_pool_that_remembers_whom_it_served_is_caught(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: settings made for the length of the connection, on whichever one was there, and believed in afterwards."""
    pool, through = campaign.pool, campaign.pool.read

    async def read(viewer: Viewer, sql: str, args: Any, *, explain: bool = False) -> Row | None:
        lent = database_module._Lent(pool._connections, pool._patience)
        async with lent as connection:
            await connection.execute(database_module._SET_VIEWER.replace("true", "false"), *viewer_settings(viewer))
        return await through(viewer, sql, args, explain=explain)

    def believe(sql: str, explain: bool) -> str:
        return f"SELECT answer.* FROM (SELECT $1::text, $2::text, $3::text) AS viewer, ({sql}) AS answer"

    monkeypatch.setattr(pool, "read", read)
    monkeypatch.setattr(database_module, "_for_viewer", believe)
    await campaign.run(400)
    assert campaign.foreign
