"""A session opens once, slides with use, ends when it must, and lives through the absence of either server."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from core.database import DatabaseDown
from core.errors import PLAYBACK_EXPIRED, PLAYBACK_REVOKED, TOO_MANY_STREAMS, UNAVAILABLE, Refusal
from core.ids import DEFAULT_TENANT, uuid7
from core.keys import Key, KeyRing
from edge.redis_client import Breaker, Redis, connect
from edge.tokens.checking import GRACE_S, Checks, Recorded
from edge.tokens.entitlements import Entitlement, Entitlements, Subject
from edge.tokens.grant import Claims, Grants, device_mark
from edge.tokens.leases import PLACE_S, Leases
from edge.tokens.sessions import RECHECK_S, Sessions

NOW = 1_800_000_000.0
YES = Entitlement(True, "library", max_streams=2)


@dataclass
class World:
    """Sessions over a real Valkey and a PostgreSQL whose answers a test writes."""

    redis: Redis
    answer: Entitlement = YES
    database_down: bool = False
    recorded: Recorded | None = "granted"
    asked: int = 0
    sessions: Sessions = field(init=False)
    leases: Leases = field(init=False)

    def __post_init__(self) -> None:
        breaker = Breaker(clock=lambda: 0.0)
        self.leases = Leases(self.redis, breaker)
        self.grants = Grants(KeyRing((Key("k1", b"1" * 32),)))
        self.entitlements = Entitlements(self._ask, self.redis, breaker)
        self.sessions = Sessions(self.grants, Checks(self.leases, self.entitlements, self._vouch))

    async def _ask(self, subject: Subject) -> Entitlement:
        self.asked += 1
        if self.database_down:
            raise DatabaseDown
        return self.answer

    async def _vouch(self, claims: Claims) -> Recorded | None:
        if self.database_down:
            raise DatabaseDown
        return self.recorded

    async def play(self, user: UUID | None = None, device: str = "tv", *, granted: bool = True, **more: object) -> str:
        """A token, as /play gives it out at NOW; `more` are claims that matter to a test."""
        facts: dict[str, object] = {
            "session_id": uuid7(), "tenant_id": DEFAULT_TENANT, "content_id": uuid4(), "user_id": user or uuid4(),
            "device": device_mark(device), "expires_at": int(NOW) + 86_400, "first_use_by": int(NOW) + 300,
            "duration_ms": 60_000,
        }  # fmt: skip
        claims = Claims(**{**facts, **more})  # type: ignore[arg-type]
        if granted:
            place = self.sessions.place_of(None, claims.country)
            await self.leases.grant(claims, 300, place=place, now=NOW)
        return self.grants.issue(claims)


@pytest.fixture
async def world(redis: Redis) -> World:
    return World(redis)


@pytest.fixture
async def deaf() -> World:
    """A world whose Redis is not there."""
    return World(connect("unix:///nonexistent/valkey.sock"))


async def test_a_granted_session_opens_and_is_then_known_without_asking(world: World) -> None:
    token = await world.play()
    session = await world.sessions.admit(token, NOW)
    assert world.sessions.known(token, NOW + RECHECK_S - 1) is session
    assert world.sessions.known(token, NOW + RECHECK_S) is None
    assert await world.sessions.admit(token, NOW + RECHECK_S) is session


async def test_a_token_not_used_in_time_is_expired(world: World) -> None:
    token = await world.play()
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 306)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_a_token_in_use_outlives_its_first_use_window(world: World) -> None:
    token = await world.play()
    admitted = [await world.sessions.admit(token, NOW + after_s) for after_s in (200, 1000, 7000)]
    assert len({session.claims.session_id for session in admitted}) == 1


async def test_a_long_pause_is_survived_also_by_another_process(world: World, redis: Redis) -> None:
    token = await world.play()
    await world.sessions.admit(token, NOW)
    other = World(redis)
    assert await other.sessions.admit(token, NOW + 5 * 3600)


async def test_the_hard_end_holds_however_much_it_is_used(world: World) -> None:
    token = await world.play()
    await world.sessions.admit(token, NOW + 10)
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 86_406)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_a_session_that_nobody_knows_is_expired(world: World) -> None:
    token = await world.play(granted=False)
    world.recorded = None
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_a_session_granted_while_redis_was_away_is_taken_up_by_it(world: World, redis: Redis) -> None:
    token = await world.play(granted=False)
    await world.sessions.admit(token, NOW)
    elsewhere = World(redis, recorded=None)
    assert await elsewhere.sessions.admit(token, NOW + 4000)


async def test_a_running_film_survives_a_redis_that_lost_everything(world: World, redis: Redis) -> None:
    token = await world.play()
    await world.sessions.admit(token, NOW)
    await redis.flushall()
    assert await world.sessions.admit(token, NOW + 4000)
    await redis.flushall()
    by_its_beats = World(redis, recorded="used")
    assert await by_its_beats.sessions.admit(token, NOW + 5000)


async def test_a_redis_that_lost_everything_makes_no_late_first_use_possible(world: World, redis: Redis) -> None:
    token = await world.play()
    await redis.flushall()
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 306)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_an_ended_session_stays_ended_when_redis_lost_everything(world: World, redis: Redis) -> None:
    token = await world.play()
    await world.sessions.admit(token, NOW)
    await redis.flushall()
    world.recorded = None
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + RECHECK_S)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_a_lost_right_ends_the_session_everywhere_with_the_reason(world: World, redis: Redis) -> None:
    token = await world.play()
    claims = (await world.sessions.admit(token, NOW)).claims
    world.answer = Entitlement(False, "banned")
    await world.sessions.changed({"t": "users", "u": str(claims.user_id)})
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 1)
    assert refused.value.code is PLAYBACK_REVOKED
    assert refused.value.data["reason"] == "banned"
    elsewhere = World(redis)
    with pytest.raises(Refusal) as refused:
        await elsewhere.sessions.admit(token, NOW + 1)
    assert refused.value.code is PLAYBACK_REVOKED


@pytest.mark.parametrize("key", ["u", "c", "all", "uc"])
async def test_a_change_that_takes_nothing_away_interrupts_nobody(world: World, key: str) -> None:
    token = await world.play()
    claims = (await world.sessions.admit(token, NOW)).claims
    asked = world.asked
    change: dict[str, object] = {"t": "x"}
    if "u" in key:
        change["u"] = str(claims.user_id)
    if "c" in key:
        change["c"] = str(claims.content_id)
    if key == "all":
        change["all"] = True
    await world.sessions.changed(change)
    assert world.sessions.known(token, NOW + 1) is None
    await world.sessions.admit(token, NOW + 1)
    assert world.asked == asked + 1


async def test_a_change_of_somebody_else_makes_nothing_suspect(world: World) -> None:
    token = await world.play()
    await world.sessions.admit(token, NOW)
    await world.sessions.changed({"t": "users", "u": str(uuid4())})
    assert world.sessions.known(token, NOW + 1) is not None


async def test_an_ended_session_is_refused_on_every_edge(world: World, redis: Redis) -> None:
    token = await world.play()
    claims = (await world.sessions.admit(token, NOW)).claims
    other = World(redis)
    await other.sessions.admit(token, NOW)
    change: dict[str, object] = {"t": "playback_sessions", "s": str(claims.session_id), "u": str(claims.user_id)}
    for edge in (world, other):
        await edge.sessions.changed(change)
        with pytest.raises(Refusal) as refused:
            await edge.sessions.admit(token, NOW + 1)
        assert refused.value.code is PLAYBACK_REVOKED


async def test_a_rental_that_ends_while_it_plays_stops(world: World) -> None:
    world.answer = Entitlement(True, "library", until=NOW + 10)
    token = await world.play()
    await world.sessions.admit(token, NOW)
    assert world.sessions.known(token, NOW + 9) is not None
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 11)
    assert refused.value.code is PLAYBACK_REVOKED


async def test_streams_at_once_are_counted_by_device(world: World) -> None:
    user = uuid4()
    first, again, second, third = [await world.play(user, device) for device in ("tv", "tv", "phone", "tablet")]
    for token in (first, again, second):
        await world.sessions.admit(token, NOW)
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(third, NOW)
    assert refused.value.code is TOO_MANY_STREAMS
    # The others fell silent: their places are free, their sessions are not lost.
    await world.sessions.admit(third, NOW + PLACE_S + 1)


async def test_the_smaller_ceiling_counts(world: World) -> None:
    world.answer = Entitlement(True, "library", max_height=1080)
    session = await world.sessions.admit(await world.play(max_height=720), NOW)
    assert session.max_height == 720


async def test_postgres_down_a_session_goes_on_by_its_lease(world: World) -> None:
    token = await world.play()
    world.database_down = True
    first = await world.sessions.admit(token, NOW)
    assert (await world.sessions.admit(token, NOW + 6000)).claims == first.claims


async def test_postgres_down_the_ceiling_of_the_token_holds(world: World) -> None:
    token = await world.play(max_height=480)
    world.database_down = True
    assert (await world.sessions.admit(token, NOW)).max_height == 480


async def test_what_was_announced_before_postgres_went_away_is_looked_at_when_it_is_back(world: World) -> None:
    token = await world.play()
    claims = (await world.sessions.admit(token, NOW)).claims
    world.database_down, world.answer = True, Entitlement(False, "banned")
    await world.sessions.changed({"t": "users", "u": str(claims.user_id)})
    await world.sessions.admit(token, NOW + 1)
    world.database_down = False
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 2)
    assert refused.value.code is PLAYBACK_REVOKED


async def test_redis_down_postgres_vouches_for_new_and_running(deaf: World) -> None:
    token = await deaf.play(granted=False)
    await deaf.sessions.admit(token, NOW)
    await deaf.sessions.admit(token, NOW + 4000)
    deaf.recorded = None
    with pytest.raises(Refusal) as refused:
        await deaf.sessions.admit(token, NOW + 5000)
    assert refused.value.code is PLAYBACK_EXPIRED


async def test_both_down_a_running_session_has_its_grace_and_a_new_one_waits(deaf: World) -> None:
    token = await deaf.play(granted=False)
    await deaf.sessions.admit(token, NOW)
    deaf.database_down = True
    # Use does not lengthen it.
    for at in range(RECHECK_S, GRACE_S, RECHECK_S):
        await deaf.sessions.admit(token, NOW + at)
    for late, at in ((token, NOW + GRACE_S + RECHECK_S), (await deaf.play(granted=False), NOW)):
        with pytest.raises(Refusal) as refused:
            await deaf.sessions.admit(late, at)
        assert refused.value.code is UNAVAILABLE
        assert refused.value.retry_after_s


async def test_taking_a_place_by_force_names_who_had_to_go(world: World) -> None:
    user = uuid4()
    for at, device in enumerate(("tv", "phone")):
        assert (await world.leases.take_place(user, device, limit=2, now=NOW + at, kick_oldest=False)).taken
    full = await world.leases.take_place(user, "tablet", limit=2, now=NOW + 2, kick_oldest=False)
    assert (full.taken, set(full.devices)) == (False, {"tv", "phone"})
    kicked = await world.leases.take_place(user, "tablet", limit=2, now=NOW + 2, kick_oldest=True)
    assert (kicked.taken, kicked.devices) == (True, ("tv",))


async def test_who_cannot_wait_finds_the_session_when_the_check_is_over(world: World) -> None:
    token = await world.play()
    check = world.sessions.begin_check(token, NOW)
    assert check is not None
    assert world.sessions.begin_check(token, NOW) is check
    await check
    session = world.sessions.session_of(token)
    assert session is not None
    assert session is await world.sessions.admit(token, NOW)
    assert session.good_until == NOW + RECHECK_S


async def test_there_is_nothing_to_wait_for_where_a_check_changes_nothing(world: World) -> None:
    token = await world.play()
    assert world.sessions.begin_check(token + "A", NOW) is None
    assert world.sessions.begin_check(token, NOW + 86_406) is None
    user = uuid4()
    over = [await world.play(user, device) for device in ("tv", "phone", "tablet")]
    for one in over[:2]:
        await world.sessions.admit(one, NOW)
    with pytest.raises(Refusal):
        await world.sessions.admit(over[2], NOW)
    assert world.sessions.begin_check(over[2], NOW) is None, "it has been refused: the reason is to be told"
    world.sessions.by_network = True
    assert world.sessions.begin_check(token, NOW) is None, "where it is used from is not known here"
