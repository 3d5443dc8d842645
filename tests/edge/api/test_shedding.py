"""More than can be answered: the excess hears so at once, what matters most is served longest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from core.errors import Refusal
from edge.api.boundary import boundary, cors
from edge.api.shedding import BOUNDS, LATE_SHARE, LATE_TICKS, TICK_S, WAIT_S, Bound, Kind, Shedding, kind_of
from tests.waiting import until

SMALL: dict[Kind, Bound] = {
    "media": Bound(4, 2.0), "beats": Bound(3, 1.0), "upload": Bound(1, 0.5), "api": Bound(2, 0.25),
}  # fmt: skip


@dataclass
class Front:
    """A server whose handlers wait until they are let go."""

    shedding: Shedding
    client: TestClient[web.Request, web.Application]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Waits at the gate."""
        self.under_way += 1
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        return web.Response(text="served")

    async def get(self, path: str) -> tuple[int, str | None]:
        """Status and Retry-After."""
        answer = await self.client.get(path)
        return answer.status, answer.headers.get("Retry-After")


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    shedding = Shedding(SMALL)
    app = web.Application(middlewares=[boundary, shedding.layer(), cors])
    client = TestClient(TestServer(app))
    made = Front(shedding, client)
    app.router.add_get("/{tail:.*}", made.handle)
    async with client:
        yield made
        made.gate.set()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/hls/t/c/1/master.m3u8", "media"),
        ("/progress", "beats"),
        ("/progress/123", "beats"),
        ("/storage/v1/upload/resumable", "upload"),
        ("/storage/v1/object/public/x", "api"),
        ("/play/x", "api"),
        ("/", "api"),
        ("/hlsx", "api"),
        ("/healthz", None),
        ("/readyz", None),
        ("/metrics", None),
        ("/healthz-not", "api"),
    ],
)
def test_a_path_tells_the_kind_of_a_request(path: str, kind: Kind | None) -> None:
    assert kind_of(path) == kind


def test_media_may_use_the_most_and_is_refused_last() -> None:
    assert BOUNDS["media"].under_way > BOUNDS["api"].under_way
    assert BOUNDS["media"].late_s > BOUNDS["beats"].late_s > BOUNDS["api"].late_s


async def test_one_too_many_waits_a_moment_and_is_sent_away(front: Front) -> None:
    first = [asyncio.create_task(front.get("/rest/v1/x")) for _ in range(2)]
    await until(lambda: front.under_way == 2, 60)
    began = time.monotonic()
    status, retry_after = await front.get("/rest/v1/x")
    assert status == 503
    assert retry_after is not None
    assert 1 <= int(retry_after) <= 4
    assert time.monotonic() - began > WAIT_S * 0.9
    assert front.under_way == 2, "it never reached the handler"
    # A full API is no reason to keep a film waiting, nor to hide how we are.
    for path in ("/hls/x", "/healthz", "/progress"):
        going = asyncio.create_task(front.get(path))
        before = front.under_way
        await until(lambda before=before: front.under_way > before, 60, path)
        first.append(going)
    front.gate.set()
    assert {status for status, _ in await asyncio.gather(*first)} == {200}


async def test_a_place_that_comes_free_in_time_goes_to_who_waits(front: Front) -> None:
    first = [asyncio.create_task(front.get("/rest/v1/x")) for _ in range(2)]
    await until(lambda: front.under_way == 2, 60)
    waiting = asyncio.create_task(front.get("/rest/v1/x"))
    await until(lambda: len(front.shedding._places["api"].queue) == 1, 60)
    front.gate.set()
    assert await waiting == (200, None)
    await asyncio.gather(*first)
    assert front.shedding._places["api"].free == 2


async def test_a_long_queue_is_refused_without_waiting() -> None:
    shedding = Shedding(SMALL)
    for _ in range(2):
        await shedding.enter("api")
    queued = SMALL["api"].queued
    waiting = [asyncio.create_task(shedding.enter("api")) for _ in range(queued)]
    await until(lambda: len(shedding._places["api"].queue) == queued, 60)
    with pytest.raises(Refusal):
        await shedding.enter("api")
    assert not any(task.done() for task in waiting), "it waited longer than those who came before it"
    assert all(isinstance(result, Refusal) for result in await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_client_that_leaves_while_it_waits_takes_no_place_with_it() -> None:
    shedding = Shedding(SMALL)
    await shedding.enter("upload")
    for leaves_after_it_was_handed in (False, True):
        waiting = asyncio.create_task(shedding.enter("upload"))
        await until(lambda: len(shedding._places["upload"].queue) == 1, 60)
        if leaves_after_it_was_handed:
            shedding.leave("upload")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not shedding._places["upload"].queue
    assert shedding._places["upload"].free == 1


@pytest.mark.parametrize(
    ("late_s", "refused"),
    [(0.1, set()), (0.3, {"api"}), (0.6, {"api", "upload"}), (1.5, {"api", "upload", "beats"}), (3.0, set(SMALL))],
)
async def test_a_late_loop_refuses_most_of_what_can_best_wait(late_s: float, refused: set[Kind]) -> None:
    shedding = Shedding({kind: Bound(8, bound.late_s) for kind, bound in SMALL.items()})
    for _ in range(LATE_TICKS):
        shedding.note_tick(late_s)
    found: set[Kind] = set()
    for kind in SMALL:
        for number in range(8):
            try:
                await shedding.enter(kind)
            except Refusal:
                assert number >= 8 // LATE_SHARE, "a few are always served"
                found.add(kind)
    assert found == refused
    shedding.note_tick(0.0)
    assert shedding.late_s == 0.0, "caught up"


def test_one_late_moment_is_no_overload() -> None:
    shedding = Shedding(SMALL)
    for late_s in (0.0, 5.0, 5.0, 0.0, 5.0):
        shedding.note_tick(late_s)
        assert shedding.late_s == 0.0


async def test_lateness_is_measured() -> None:
    shedding = Shedding(SMALL)
    watching = asyncio.create_task(shedding.watch())
    try:
        for _ in range(LATE_TICKS + 1):
            await asyncio.sleep(0)
            time.sleep(TICK_S * 4)  # noqa: ASYNC251 - the overload itself
            await asyncio.sleep(TICK_S / 100)
        assert shedding.late_s > TICK_S
    finally:
        watching.cancel()
