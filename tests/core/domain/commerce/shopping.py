"""A shop to buy in: things with prices, people, and every command by its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from core.database import Database, Row
from core.domain.commands import Commands
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer, service
from edge.api.bodies import decode_struct
from tests.core.rows import Rows

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Till:
    """Gives commands as whoever a test says."""

    database: Database
    commands: Commands
    rows: Rows
    staff: Viewer
    buyer: Viewer

    async def ask(
        self, viewer: Viewer, name: str, *, now: datetime | None = None, key: str | None = None, **body: Any
    ) -> Any:
        """The answer of a command. Raises Refusal."""
        asked = decode_struct(msgspec.json.encode(body), self.commands.known[name].request)
        done = await self.commands.run(viewer, name, asked, now=now or datetime.now(UTC), key=key)
        return msgspec.json.decode(done.body)

    async def refused(self, viewer: Viewer, name: str, **body: Any) -> str:
        """The code of the refusal."""
        try:
            answer = await self.ask(viewer, name, **body)
        except Refusal as refusal:
            return refusal.code.code
        raise AssertionError(answer)

    async def buys(
        self, *things: Row, currency: str | None = "EUR", viewer: Viewer | None = None, period: str | None = None
    ) -> UUID:
        """The order of these things, not paid."""
        who = viewer or self.buyer
        for thing in things:
            kind = kind_of(thing)
            more = {"billing_period": period} if kind == "PLAN" and period else {}
            await self.ask(who, "add_to_cart", item_type=kind, item_id=thing["id"], currency=currency, **more)
        return UUID((await self.ask(who, "checkout"))["order_id"])

    async def pays(self, order_id: UUID, reference: str | None = None) -> UUID:
        """Staff receive the money; the payment."""
        order = await self.one("SELECT total_amount, currency FROM orders WHERE id = $1", order_id)
        money = {"amount": order["total_amount"], "currency": order["currency"]}
        paid = await self.ask(
            self.staff, "record_payment", order_id=order_id, reference=reference or f"ref-{order_id}", **money
        )
        return UUID(paid["payment_id"])

    async def one(self, sql: str, *args: object) -> Row:
        """The one row of a query by the administrator."""
        row = await self.rows.connection.fetchrow(sql, *args)
        assert row is not None
        return row

    async def many(self, sql: str, *args: object) -> list[Any]:
        """The first column of a query by the administrator."""
        return [row[0] for row in await self.rows.connection.fetch(sql, *args)]

    async def library(self, viewer: Viewer | None = None) -> set[UUID]:
        """What somebody owns."""
        who = (viewer or self.buyer).user_id
        return set(await self.many("SELECT content_id FROM user_library WHERE user_id = $1", who))

    async def topics(self) -> list[str]:
        """What was told the world, in order."""
        return await self.many("SELECT topic FROM outbox ORDER BY seq")

    async def content(self, *prices: tuple[str, str], **values: Any) -> Row:
        """A published title with prices since long ago."""
        made = await self.rows.make("contents", is_published=True, published_at=LONG_AGO, **values)
        for price, currency in prices:
            await self.rows.make(
                "content_prices", content_id=made["id"], price=price, currency=currency, effective_from=LONG_AGO
            )
        return made

    async def playlist(self, price: str, *contents: Row, currency: str = "EUR") -> Row:
        """A playlist of these titles."""
        made = await self.rows.make("playlists")
        for number, content in enumerate(contents, 1):
            await self.rows.make(
                "playlist_episodes", playlist_id=made["id"], content_id=content["id"], episode_order=number
            )
        await self.rows.make(
            "playlist_prices", playlist_id=made["id"], price=price, currency=currency, effective_from=LONG_AGO.date()
        )
        return made

    async def course(self, price: str, **values: Any) -> Row:
        """A published course that is paid for."""
        what = {"pricing_type": "paid", "price": price, "currency": "EUR", **values}
        made = await self.rows.make("courses", **what)
        chapter = await self.rows.make("chapters", course_id=made["id"])
        await self.rows.make("lessons", course_id=made["id"], chapter_id=chapter["id"])
        return await self.rows.change("courses", made, status="published", published_at=LONG_AGO)

    async def plan(self, month: str | None, year: str | None = None, **values: Any) -> Row:
        """A plan."""
        return await self.rows.make("plans", price_monthly=month, price_yearly=year, currency="EUR", **values)

    async def person(self, role: str = "authenticated") -> Viewer:
        """Somebody else."""
        made = await self.rows.make("users")
        return Viewer(DEFAULT_TENANT, made["id"], role)  # type: ignore[arg-type]  # one of the roles

    async def allowed(self, viewer: Viewer, content: Row, at: datetime | None = None) -> bool:
        """Whether somebody may watch it, were it encoded."""
        async with self.database.transaction(service()) as tx:
            row = await tx.connection.fetchrow(
                "SELECT reason FROM entitlement($1, $2, false, $3)",
                viewer.user_id,
                content["id"],
                at or datetime.now(UTC),
            )
        assert row is not None
        return row["reason"] in ("library", "subscription", "enrolled", "free")


def kind_of(thing: Row) -> str:
    """CONTENT, PLAYLIST, COURSE or PLAN, by what columns it has."""
    names = set(thing.keys())
    if "content_type" in names:
        return "CONTENT"
    if "price_monthly" in names:
        return "PLAN"
    return "COURSE" if "pricing_type" in names else "PLAYLIST"


def soon(**delta: int) -> datetime:
    """A moment from now."""
    return datetime.now(UTC) + timedelta(**delta)
