"""What the first use of a token costs, and that Redis could keep it all in one slot of a cluster."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from core.errors import PLAYBACK_REVOKED, TOO_MANY_STREAMS, Refusal
from edge.local.valkey import EmbeddedValkey
from edge.redis_client import Redis, ResponseError, connect
from edge.tokens import names
from edge.tokens.entitlements import ALLOWED_TTL_S, DENIED_TTL_S, Entitlement
from edge.tokens.leases import PLACE_S
from edge.tokens.session import Session
from edge.tokens.sessions import RECHECK_S
from tests.edge.tokens.test_sessions import NOW, World
from tests.ports import free_port
from tests.waiting import until


@pytest.fixture
async def world(redis: Redis) -> World:
    return World(redis)


def exchanges(world: World) -> int:
    """How often Redis has been asked and answered so far."""
    return world.leases._pipelined.sent + world.entitlements._pipelined.sent


async def remembered(world: World, token: str) -> None:
    """What /play has asked is known to Redis."""
    await world.entitlements.ask(Session(token, world.grants.verify(token, NOW)).subject)


@pytest.mark.parametrize("is_guest", [False, True])
async def test_a_new_token_costs_one_exchange_and_no_question_to_postgres(world: World, *, is_guest: bool) -> None:
    token = await world.play(**({"user_id": None} if is_guest else {}))
    await remembered(world, token)
    before, asked = exchanges(world), world.asked
    await world.sessions.admit(token, NOW)
    assert (exchanges(world) - before, world.asked - asked) == (1, 0)
    # The lease slides as cheaply.
    await world.sessions.admit(token, NOW + RECHECK_S)
    assert (exchanges(world) - before, world.asked - asked) == (2, 0)


async def test_tokens_that_come_in_one_turn_share_the_exchange(world: World) -> None:
    tokens = [await world.play() for _ in range(40)]
    for token in tokens:
        await remembered(world, token)
    before, asked = exchanges(world), world.asked
    await asyncio.gather(*(world.sessions.admit(token, NOW) for token in tokens))
    assert (exchanges(world) - before, world.asked - asked) == (1, 0)


async def test_one_token_asked_for_often_at_once_is_checked_once(world: World) -> None:
    token = await world.play()
    await remembered(world, token)
    before = exchanges(world)
    sessions = await asyncio.gather(*(world.sessions.admit(token, NOW) for _ in range(20)))
    assert len({id(session) for session in sessions}) == 1
    assert exchanges(world) - before == 1


async def test_many_tokens_for_one_right_that_is_not_remembered_ask_postgres_once(world: World) -> None:
    user, film = uuid4(), uuid4()
    tokens = [await world.play(user, f"tv{n % 2}", content_id=film) for n in range(10)]
    await asyncio.gather(*(world.sessions.admit(token, NOW) for token in tokens))
    assert world.asked == 1


@pytest.mark.parametrize(("allowed", "ttl_s"), [(True, ALLOWED_TTL_S), (False, DENIED_TTL_S)])
async def test_a_right_is_remembered_for_a_while_and_a_denial_for_a_moment(
    world: World, redis: Redis, *, allowed: bool, ttl_s: int
) -> None:
    world.answer = Entitlement(allowed, "library")
    await remembered(world, await world.play())
    (key,) = await redis.keys("ent:*")
    assert ttl_s - 2 <= await redis.ttl(key) <= ttl_s


async def test_a_remembered_denial_ends_the_session_without_a_question(world: World) -> None:
    world.answer = Entitlement(False, "not_entitled")
    token = await world.play()
    await remembered(world, token)
    asked = world.asked
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await world.sessions.admit(token, NOW)
        assert refused.value.code is PLAYBACK_REVOKED
        assert refused.value.data["reason"] == "not_entitled"
    assert world.asked == asked


async def test_a_remembered_rental_counts_to_its_end(world: World) -> None:
    world.answer = Entitlement(True, "library", until=NOW + 30)
    token = await world.play()
    await remembered(world, token)
    await world.sessions.admit(token, NOW + 29)
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(token, NOW + 30)
    assert refused.value.code is PLAYBACK_REVOKED


async def test_a_refused_use_opens_nothing(world: World, redis: Redis) -> None:
    token = await world.play()
    await remembered(world, token)
    with pytest.raises(Refusal):
        await world.sessions.admit(token, NOW + 306)
    (key,) = await redis.keys("ps:*")
    assert await redis.get(key) == b"n"
    assert not await redis.keys("streams:*")


async def test_without_a_place_the_lease_slides_all_the_same(world: World, redis: Redis) -> None:
    user = uuid4()
    tokens = [await world.play(user, device) for device in ("tv", "phone", "tablet")]
    for token in tokens[:2]:
        await world.sessions.admit(token, NOW)
    with pytest.raises(Refusal) as refused:
        await world.sessions.admit(tokens[2], NOW)
    assert refused.value.code is TOO_MANY_STREAMS
    # Later than its first use had to be: it counts as used.
    assert await world.sessions.admit(tokens[2], NOW + 400 + PLACE_S)


@given(st.none() | st.uuids(), st.uuids(), st.uuids())
def test_all_that_one_admission_looks_at_has_one_slot(user: UUID | None, content: UUID, session: UUID) -> None:
    tag = names.owner(user, content)
    keys = (
        names.session_key(tag, session),
        names.entitlement_key(tag, content),
        names.streams_key(tag),
        names.places_key(tag, session),
    )
    assert len({key_slot(key.encode()) for key in keys}) == 1
    assert len(set(keys)) == 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedValkey]:
    """A cluster of one: it holds every slot, and refuses a script that touches two."""
    folder = Path(tempfile.mkdtemp(prefix="psc-", dir="/tmp"))
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = EmbeddedValkey(folder / "data", folder / "v.sock", folder / "v.log", append_fsync="no", options=options)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def clustered(cluster: EmbeddedValkey) -> AsyncIterator[World]:
    client = connect(cluster.url)
    info = await client.execute_command("CLUSTER INFO")
    if info["cluster_state"] != "ok":
        await client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)

        async def is_ready() -> bool:
            return bool((await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok")

        await until(is_ready, 60, "the cluster to have all its slots")
    await client.flushall()
    yield World(client)
    await client.aclose()


@pytest.mark.parametrize("is_guest", [False, True])
async def test_a_cluster_serves_a_session_from_its_grant_to_its_end(clustered: World, *, is_guest: bool) -> None:
    with pytest.raises(ResponseError):
        await clustered.redis.eval("return 1", 2, "a", "b")
    clustered.sessions.by_network = True
    token = await clustered.play(**({"user_id": None} if is_guest else {}))
    session = await clustered.sessions.admit(token, NOW, "192.0.2.7")
    await clustered.sessions.admit(token, NOW + RECHECK_S, "198.51.100.1")
    claims = session.claims
    if claims.user_id is not None:
        kicked = await clustered.leases.take_place(claims.user_id, "x", limit=1, now=NOW, kick_oldest=True)
        assert kicked.devices == (claims.device.hex(),)
    for change in ({"c": str(claims.content_id)}, {"all": True}, {"u": str(claims.user_id or uuid4())}):
        await clustered.sessions.changed({"t": "x", **change})
        if "u" not in change or claims.user_id is not None:
            assert not await clustered.redis.keys("ent:*")
        await clustered.sessions.admit(token, NOW + 2 * RECHECK_S)
    await clustered.sessions.changed({"t": "playback_sessions", "s": str(claims.session_id), "u": None})
    with pytest.raises(Refusal) as refused:
        await clustered.sessions.admit(token, NOW + 2 * RECHECK_S)
    assert refused.value.code is PLAYBACK_REVOKED
