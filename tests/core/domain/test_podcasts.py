"""Episodes that come out, and what listings bring in, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from core.database import Database, dedicated
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer
from edge.api.bodies import decode_struct
from tests.conftest import TestDatabase
from tests.core.rows import Rows

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STAFF = Viewer(DEFAULT_TENANT, None, "staff")
LISTENER = Viewer(DEFAULT_TENANT, uuid4(), "authenticated")


class Studio:
    """Gives commands at NOW."""

    def __init__(self, commands: Commands, rows: Rows) -> None:
        self.commands, self.rows = commands, rows

    async def ask(self, command: str, *, viewer: Viewer = STAFF, **body: Any) -> Any:
        asked = decode_struct(msgspec.json.encode(body), self.commands.known[command].request)
        return msgspec.json.decode((await self.commands.run(viewer, command, asked, now=NOW)).body)

    async def refused(self, command: str, *, viewer: Viewer = STAFF, **body: Any) -> str:
        with pytest.raises(Refusal) as caught:
            await self.ask(command, viewer=viewer, **body)
        return caught.value.code.code


@pytest.fixture
async def studio(database: Database, database_urls: TestDatabase) -> AsyncIterator[Studio]:
    connection = await dedicated(database_urls.admin_url)
    yield Studio(Commands(database, CONTEXTS), Rows(connection, DEFAULT_TENANT))
    await connection.close()


@pytest.mark.rule("podcast-132")
async def test_revenue_is_summed_by_listing_and_currency(studio: Studio) -> None:
    listing, other = [(await studio.rows.make("marketplace_listings"))["id"] for _ in range(2)]
    for what, amount, currency in (
        (listing, "10.50", "EUR"),
        (listing, "0.25", "EUR"),
        (listing, "900", "JPY"),
        (other, "7.00", "EUR"),
    ):
        await studio.ask("record_listing_revenue", listing_id=what, amount=amount, currency=currency)
    assert (await studio.ask("listing_revenue", listing_id=listing))["revenue"] == [
        {"currency": "EUR", "amount": "10.75", "entries": 2},
        {"currency": "JPY", "amount": "900", "entries": 1},
    ]
    empty = (await studio.rows.make("marketplace_listings"))["id"]
    assert (await studio.ask("listing_revenue", listing_id=empty))["revenue"] == []
    tomorrow = (NOW + timedelta(days=1)).date()
    for wrong, code in (
        ({"amount": "0"}, "PS102"),
        ({"amount": "-1"}, "PS102"),
        ({"amount": "1.001"}, "PS102"),
        ({"currency": "euro"}, "PS102"),
        ({"transaction_date": tomorrow}, "PS102"),
        ({"listing_id": uuid4()}, "PS105"),
    ):
        asked: dict[str, Any] = {"listing_id": empty, "amount": "1.00", "currency": "EUR", **wrong}
        assert await studio.refused("record_listing_revenue", **asked) == code
    assert (await studio.ask("listing_revenue", listing_id=empty))["revenue"] == []
    assert await studio.refused("listing_revenue", listing_id=uuid4()) == "PS105"
    assert await studio.refused("listing_revenue", viewer=LISTENER, listing_id=listing) == "PS304"


async def test_an_episode_comes_out_once_there_is_something_to_hear(studio: Studio) -> None:
    silent = await studio.rows.make("podcast_episodes", audio_url=None)
    assert await studio.refused("publish_episode", episode_id=silent["id"]) == "PS514"
    content = await studio.rows.make("contents", content_type="PODCAST_EPISODE")
    hosted = await studio.rows.make("podcast_episodes", content_id=content["id"])
    assert await studio.refused("publish_episode", episode_id=hosted["id"]) == "PS514"
    await studio.ask("publish_content", content_id=content["id"])
    first = await studio.ask("publish_episode", episode_id=hosted["id"])
    assert datetime.fromisoformat(first["published_at"]) == NOW
    later = NOW + timedelta(days=1)
    assert await studio.ask("publish_episode", episode_id=hosted["id"], published_at=later) == first
    taken = await studio.ask("unpublish_episode", episode_id=hosted["id"])
    assert taken["published_at"] is None
    planned = await studio.ask("publish_episode", episode_id=hosted["id"], published_at=later)
    assert datetime.fromisoformat(planned["published_at"]) == later
    past = NOW - timedelta(days=1)
    assert await studio.refused("publish_episode", episode_id=hosted["id"], published_at=past) == "PS102"
    for command in ("publish_episode", "unpublish_episode"):
        assert await studio.refused(command, episode_id=uuid4()) == "PS105"
