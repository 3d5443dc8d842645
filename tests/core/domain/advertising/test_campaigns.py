"""Bookings, matches, conversions and days, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from core.database import Database, Row, dedicated
from core.domain.advertising.matching import Signals, rationale, score
from core.domain.advertising.validation import Facts, judge
from core.domain.commands import Commands
from core.domain.registry import CONTEXTS
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import Viewer
from edge.api.bodies import decode_struct
from tests.conftest import TestDatabase
from tests.core.rows import Rows

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
STAFF = Viewer(DEFAULT_TENANT, None, "staff")


class Desk:
    """Where campaigns are sold: one sponsor with one campaign, a podcast, and two episodes of it."""

    def __init__(self, commands: Commands, rows: Rows, campaign: Row, episodes: list[Row]) -> None:
        self.commands, self.rows, self.campaign, self.episodes = commands, rows, campaign, episodes
        self.campaign_id: UUID = campaign["id"]

    async def ask(self, command: str, *, viewer: Viewer = STAFF, **body: Any) -> Any:
        asked = decode_struct(msgspec.json.encode(body), self.commands.known[command].request)
        return msgspec.json.decode((await self.commands.run(viewer, command, asked, now=NOW)).body)

    async def refused(self, command: str, *, viewer: Viewer = STAFF, **body: Any) -> str:
        with pytest.raises(Refusal) as caught:
            await self.ask(command, viewer=viewer, **body)
        return caught.value.code.code

    async def happens(self, kind: str, days_ago: float, listener: str = "listener-1", **more: Any) -> str:
        """A listener does something; the event's id."""
        at = NOW - timedelta(days=days_ago)
        told = {"campaign_id": self.campaign_id, "listener_id": listener, **more}
        answer = await self.ask("record_attribution_event", attribution_type=kind, occurred_at=at, **told)
        return str(answer["event_id"])

    async def count(self, table: str) -> int:
        return int(await self.rows.connection.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
async def desk(database: Database, database_urls: TestDatabase) -> AsyncIterator[Desk]:
    connection = await dedicated(database_urls.admin_url)
    rows = Rows(connection, DEFAULT_TENANT)
    campaign = await rows.make("campaigns", stage="running", name="Winter")
    podcast = await rows.make("podcasts", name="The Wire")
    episodes = [await rows.make("podcast_episodes", podcast_id=podcast["id"]) for _ in range(2)]
    yield Desk(Commands(database, CONTEXTS), rows, campaign, episodes)
    await connection.close()


@pytest.mark.rule("podcast-060")
async def test_a_booking_is_found_by_code_or_address_and_leads_to_its_campaign(desk: Desk) -> None:
    whose = {"campaign_id": desk.campaign_id, "sponsor_id": desk.campaign["sponsor_id"]}
    made = await desk.rows.make("io_bookings", **whose, promo_code="WIRE20", vanity_url="example.com/Wire")
    other = await desk.rows.make("campaigns")
    await desk.rows.make(
        "io_bookings", campaign_id=other["id"], sponsor_id=other["sponsor_id"], promo_code="OTHER", vanity_url=None
    )
    ways: list[dict[str, Any]] = [{"promo_code": "wire20"}, {"vanity_url": "EXAMPLE.com/wire"}]
    for asked in ways:
        found = await desk.ask("find_booking", **asked)
        assert (found["booking_id"], found["campaign_id"]) == (str(made["id"]), str(desk.campaign_id))
        assert (found["campaign_name"], found["promo_code"]) == ("Winter", "WIRE20")
    assert await desk.refused("find_booking", promo_code="WIRE2") == "PS105"
    assert await desk.refused("find_booking") == "PS102"
    assert await desk.refused("find_booking", promo_code="WIRE20", vanity_url="example.com/wire") == "PS102"
    listener = Viewer(DEFAULT_TENANT, uuid4(), "authenticated")
    assert await desk.refused("find_booking", viewer=listener, promo_code="WIRE20") == "PS304"
    by_code: dict[str, Any] = {"listener_id": "l", "attribution_type": "promo_code"}
    event = await desk.ask("record_attribution_event", promo_code="wire20", **by_code)
    assert event["campaign_id"] == str(desk.campaign_id)
    assert await desk.refused("record_attribution_event", promo_code="NOBODY", **by_code) == "PS105"


@pytest.mark.rule("podcast-061")
async def test_matches_say_how_well_why_and_from_what(desk: Desk) -> None:
    quiet = await desk.rows.make("podcasts", name="Quiet")
    hosted = await desk.rows.make("contents", content_type="PODCAST_EPISODE")
    played = await desk.rows.make(
        "podcast_episodes",
        podcast_id=desk.episodes[0]["podcast_id"],
        content_id=hosted["id"],
        published_at=NOW - timedelta(days=3),
    )
    await desk.rows.make("content_view_days", content_id=hosted["id"], day=(NOW - timedelta(days=2)).date(), views=99)
    await desk.rows.make("content_view_days", content_id=hosted["id"], day=(NOW - timedelta(days=40)).date(), views=7)
    await desk.rows.make(
        "ad_units", campaign_id=desk.campaign_id, episode_id=played["id"], position_seconds=0, duration_seconds=30
    )
    said = await desk.ask("match_campaign", campaign_id=desk.campaign_id)
    best, worst = said["matches"]
    assert (best["podcast_name"], worst["podcast_id"]) == ("The Wire", str(quiet["id"]))
    assert best["signals"] == {"plays_30d": 99, "episodes_90d": 1, "sponsor_spots": 1, "most_plays_30d": 99}
    assert best["score"] == pytest.approx(60 + 25 / 12 + 15 / 4, abs=1e-3)
    assert worst["score"] == 0
    assert "99 times" in best["rationale"]
    assert "new to the sponsor" in worst["rationale"]
    await desk.rows.make(
        "ad_units", campaign_id=desk.campaign_id, episode_id=played["id"], position_seconds=9, duration_seconds=9
    )
    again = await desk.ask("match_campaign", campaign_id=desk.campaign_id)
    assert await desk.ask("campaign_matches", campaign_id=desk.campaign_id) == again
    assert [match["match_id"] for match in again["matches"]] == [match["match_id"] for match in said["matches"]]
    assert again["matches"][0]["score"] > best["score"]
    assert len((await desk.ask("campaign_matches", campaign_id=desk.campaign_id, limit=1))["matches"]) == 1
    for command in ("match_campaign", "campaign_matches"):
        assert await desk.refused(command, campaign_id=uuid4()) == "PS105"


def test_no_podcast_scores_beyond_the_scale() -> None:
    assert score(Signals(10**12, 10**6, 10**6, 10**12)) == 100
    assert score(Signals(0, 0, 0, 0)) == 0
    assert "carried 3" in rationale(Signals(1, 1, 3, 1))


@pytest.mark.rule("podcast-087")
async def test_a_model_that_is_not_enabled_takes_no_part(desk: Desk) -> None:
    first, second = [episode["id"] for episode in desk.episodes]
    touches = [
        await desk.happens("listen", 2, episode_id=first),
        await desk.happens("vanity_visit", 1, episode_id=second),
    ]
    # Of another listener, too old, and after the conversion.
    await desk.happens("listen", 1, listener="listener-2")
    await desk.happens("listen", 91.5)
    conversion = await desk.happens("conversion", 0.5)
    await desk.happens("listen", 0.25)
    assert await desk.refused("attribute_conversion", event_id=conversion) == "PS531"
    await desk.ask("save_attribution_model", name="First", model_type="first_touch")
    await desk.ask("save_attribution_model", name="Even", model_type="linear")
    await desk.ask("save_attribution_model", name="Off", model_type="last_touch", enabled=False)
    said = await desk.ask("attribute_conversion", event_id=conversion)
    assert [touch["event_id"] for touch in said["touchpoints"]] == touches
    assert {credit["name"]: credit["shares"] for credit in said["credits"]} == {"First": [1, 0], "Even": [0.5, 0.5]}
    await desk.ask("save_attribution_model", name="First", model_type="first_touch", enabled=False)
    again = await desk.ask("attribute_conversion", event_id=conversion)
    assert [credit["name"] for credit in again["credits"]] == ["Even"]
    assert again["path_id"] == said["path_id"]
    assert await desk.count("attribution_paths") == 1
    day = await desk.ask("run_daily_attribution", analysis_date=NOW.date())
    assert list(day["analyses"][0]["metrics"]["models"]) == ["Even"]
    assert await desk.refused("attribute_conversion", event_id=touches[0]) == "PS532"
    assert await desk.refused("attribute_conversion", event_id=uuid4()) == "PS105"


async def test_a_model_is_set_to_what_its_type_knows(desk: Desk) -> None:
    wrong: dict[str, Any] = {"name": "Decay", "model_type": "time_decay", "configuration": {"ends_share": 0.1}}
    assert await desk.refused("save_attribution_model", **wrong) == "PS102"
    assert await desk.count("attribution_models") == 0
    made = await desk.ask("save_attribution_model", **{**wrong, "configuration": {"half_life_days": 3}})
    assert made["configuration"] == {"half_life_days": 3}


@pytest.mark.rule("podcast-091")
async def test_a_validation_is_stored_passed_or_not(desk: Desk) -> None:
    episode = desk.episodes[0]["id"]
    lonely = await desk.happens("conversion", 1, episode_id=episode)
    said = await desk.ask("validate_attribution", event_id=lonely)
    verdicts = {"within_campaign": True, "not_repeated": True, "spot_in_episode": False, "has_touch": False}
    assert {row["validation_type"]: row["passed"] for row in said["validations"]} == verdicts
    assert said["passed"] is False
    await desk.rows.make(
        "ad_units", campaign_id=desk.campaign_id, episode_id=episode, position_seconds=0, duration_seconds=30
    )
    await desk.happens("listen", 2)
    assert (await desk.ask("validate_attribution", event_id=lonely))["passed"] is True
    stored = await desk.rows.connection.fetch(
        "SELECT validation_type, passed, details::text FROM attribution_validations WHERE attribution_event_id = $1",
        UUID(lonely),
    )
    assert sorted(row["passed"] for row in stored) == [False, False, True, True, True, True, True, True]
    assert ("has_touch", False, '{"touches": 0}') in [tuple(row) for row in stored]
    twice = await desk.happens("conversion", 1)
    assert not (await desk.ask("validate_attribution", event_id=twice))["passed"]
    assert await desk.refused("validate_attribution", event_id=uuid4()) == "PS105"


@pytest.mark.parametrize(("days", "passed"), [(-1, False), (0, True), (3, True), (4, False)])
def test_an_event_belongs_to_the_days_of_its_campaign(days: int, passed: bool) -> None:
    start = NOW.date()
    facts = Facts("listen", NOW + timedelta(days=days), start, start + timedelta(days=3), None, 0, 0, 0)
    assert [(verdict.validation_type, verdict.passed) for verdict in judge(facts)] == [
        ("within_campaign", passed),
        ("not_repeated", True),
    ]


@pytest.mark.rule("podcast-093")
async def test_a_day_analysed_again_is_the_same_row(desk: Desk) -> None:
    first, second = [episode["id"] for episode in desk.episodes]
    await desk.ask("save_attribution_model", name="Ends", model_type="position_based")
    for listener, episodes in (("a", (first, second)), ("b", (first,)), ("c", ())):
        for days, episode in enumerate(episodes, 2):
            await desk.happens("listen", days, listener, episode_id=episode)
        await desk.happens("conversion", 1, listener)
    yesterday = (NOW - timedelta(days=1)).date().isoformat()
    (said,) = (await desk.ask("run_daily_attribution"))["analyses"]
    assert (said["campaign_id"], said["analysis_date"]) == (str(desk.campaign_id), yesterday)
    assert said["metrics"] == {
        "events": {"conversion": 3},
        "listeners": 3,
        "conversions": 3,
        "without_touch": 1,
        "models": {"Ends": {"model_type": "position_based", "episodes": {str(first): 1.5, str(second): 0.5}}},
    }
    (row,) = await desk.rows.connection.fetch("SELECT id, metrics::text FROM attribution_analytics")
    assert (await desk.ask("run_daily_attribution", analysis_date=yesterday))["analyses"] == [said]
    await desk.happens("conversion", 1, "d")
    named = await desk.ask("run_daily_attribution", analysis_date=yesterday, campaign_id=desk.campaign_id)
    assert named["analyses"][0]["metrics"]["conversions"] == 4
    (after,) = await desk.rows.connection.fetch("SELECT id, metrics::text FROM attribution_analytics")
    assert after["id"] == row["id"]
    assert after["metrics"] != row["metrics"]
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    assert await desk.refused("run_daily_attribution", analysis_date=tomorrow) == "PS102"
    assert await desk.refused("run_daily_attribution", campaign_id=uuid4()) == "PS105"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"listener_id": "mara@example.com"}, "PS102"),
        ({"attribution_type": "Conversion"}, "PS102"),
        ({"occurred_at": NOW + timedelta(hours=1)}, "PS102"),
        ({"occurred_at": NOW - timedelta(days=93)}, "PS102"),
        ({"attribution_data": {"note": "x" * 5000}}, "PS102"),
        ({"metadata": {"note": "x" * 5000}}, "PS102"),
        ({"campaign_id": None}, "PS102"),
        ({"promo_code": "WIRE20"}, "PS102"),
        ({"campaign_id": str(uuid4())}, "PS105"),
        ({"episode_id": str(uuid4())}, "PS502"),
    ],
)
async def test_an_event_that_cannot_be_is_refused(desk: Desk, wrong: dict[str, Any], code: str) -> None:
    right = {"campaign_id": desk.campaign_id, "listener_id": "l", "attribution_type": "listen"}
    assert await desk.refused("record_attribution_event", **{**right, **wrong}) == code
    assert await desk.count("attribution_events") == 0


async def test_an_event_keeps_what_is_known_besides(desk: Desk) -> None:
    event = await desk.happens("listen", 3, metadata={"player": "web"}, attribution_data={"ad": 1})
    row = await desk.rows.connection.fetchrow(
        "SELECT e.attribution_data::text AS data, m.metadata::text FROM attribution_events e"
        " JOIN attribution_event_metadata m ON m.event_id = e.id WHERE e.id = $1",
        UUID(event),
    )
    assert row is not None
    assert tuple(row) == ('{"ad": 1}', '{"player": "web"}')


async def test_another_workspace_knows_nothing_of_it(desk: Desk) -> None:
    other = Rows(desk.rows.connection, (await desk.rows.make("tenants"))["id"])
    stranger = Viewer(other.tenant_id, None, "staff")
    event = await desk.happens("conversion", 1)
    for command, asked in (
        ("attribute_conversion", {"event_id": event}),
        ("validate_attribution", {"event_id": event}),
        ("match_campaign", {"campaign_id": desk.campaign_id}),
        ("run_daily_attribution", {"campaign_id": desk.campaign_id}),
        ("record_attribution_event", {"campaign_id": desk.campaign_id, "listener_id": "l", "attribution_type": "x"}),
    ):
        assert await desk.refused(command, viewer=stranger, **asked) == "PS105"
