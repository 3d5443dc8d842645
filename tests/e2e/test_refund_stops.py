"""A purchase that is given back stops the very next segment, in every web process, on a connection that is in the fast lane.

No clock is asked. Announcements reach a process in the order in which they were committed: a witness, whose own purchase is given back
after the buyer's, is asked until the process has heard of it; the buyer's next request on that connection is then the very next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from tests.faults.ward import Ward, running_ward
from tests.waiting import until
from tests.web import Person

pytestmark = [pytest.mark.xdist_group("ward"), pytest.mark.timeout(1200)]

CONNECTIONS = 6
SEGMENT_BYTES = 40_000
PATIENCE_S = 60


@pytest.fixture(scope="module")
def ward() -> Iterator[Ward]:
    """Two web processes; their one title is for sale."""
    with running_ward() as running:
        yield running


@dataclass
class Line:
    """One connection, and so one process: what is asked on it is answered by that process alone."""

    http: aiohttp.ClientSession
    url: str
    opened: list[object]
    """One for each connection that was made."""

    async def get(self, grant: dict[str, Any], name: str) -> tuple[int, bytes]:
        """Status and body of an object under a grant."""
        path = grant["manifest_url"].replace("master.m3u8", name)
        async with self.http.get(f"{self.url}{path}") as answer:
            body = await answer.read()
        assert len(self.opened) == 1, "the server closed the connection: another process may have answered"
        return answer.status, body

    async def plays(self, grant: dict[str, Any], name: str) -> None:
        """The segment comes whole."""
        status, body = await self.get(grant, name)
        assert (status, len(body)) == (200, SEGMENT_BYTES), body[:200]


@asynccontextmanager
async def a_line(ward: Ward) -> AsyncIterator[Line]:
    """A connection of its own, kept open."""
    opened: list[object] = []

    async def note(*told: object) -> None:
        opened.append(told)

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(note)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=3600)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[tracing], timeout=timeout) as http:
        yield Line(http, ward.url, opened)


async def do(staff: Person, command: str, **asked: object) -> Any:
    """What a command answers, once the web processes have heard that whoever asks is staff."""

    async def answer() -> Any:
        status, said = await staff.call("POST", f"/rest/v1/rpc/{command}", json=asked)
        assert status == 200, said
        return said

    return await until(answer, PATIENCE_S, command)


async def test_a_direct_purchase_that_is_given_back_stops_the_very_next_segment(ward: Ward) -> None:
    await ward.change("UPDATE contents SET is_free = false WHERE id = $1", ward.content_id)
    title = str(ward.content_id)
    async with AsyncExitStack() as stack:
        staff, buyer, witness, owner = [await stack.enter_async_context(ward.newcomer()) for _ in range(4)]
        await ward.change("UPDATE users SET role = 'admin' WHERE id = $1::text::uuid", staff.user_id)
        status, refusal = await buyer.call("POST", f"/play/{title}", json={})
        assert (status, refusal["reason"]) == (403, "not_entitled"), "it is for sale"
        sold = {"content_id": title, "price": "4.50", "currency": "EUR"}
        people = (buyer, witness, owner)
        bought = [await do(staff, "record_direct_purchase", user_id=person.user_id, **sold) for person in people]
        grants = [await person.play(title) for person in people]

        lines = [await stack.enter_async_context(a_line(ward)) for _ in range(CONNECTIONS)]
        for line in lines:
            for grant in grants:
                # Twice: the second is answered by what the first one taught the connection.
                await line.plays(grant, "s0.m4s")
                await line.plays(grant, "s1.m4s")

        for purchase in bought[:2]:
            assert (await do(staff, "refund_direct_purchase", purchase_id=purchase["purchase_id"]))["status"] == (
                "REFUNDED"
            )
        of_buyer, of_witness, of_owner = grants
        for number, line in enumerate(lines):

            async def has_heard(line: Line = line) -> bool:
                status, _ = await line.get(of_witness, "s0.m4s")
                return status == 403

            await until(has_heard, PATIENCE_S, "the process to hear of the second refund")
            # One that is known by heart, and one that was never asked for.
            for name in ("s1.m4s", f"s{2 + number}.m4s", "master.m3u8"):
                status, body = await line.get(of_buyer, name)
                refusal = orjson.loads(body)
                assert (status, refusal["code"], refusal["reason"]) == (403, "PS404", "not_entitled"), name
            await line.plays(of_owner, f"s{2 + number}.m4s")

        status, refusal = await buyer.call("POST", f"/play/{title}", json={"device_id": "test-client"})
        assert (status, refusal["reason"]) == (403, "not_entitled"), "it is for sale again"
