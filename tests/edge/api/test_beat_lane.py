"""Posts known by heart are answered as the slow way answers them, and nothing else is taken for one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from core.ids import uuid7
from edge.api import beat_lane
from edge.api.beat_lane import LINE, is_plain_post
from edge.api.boundary import refuse_unparsed
from edge.lane.handler import handlers
from edge.lane.lane import Lane
from edge.lane.protocol import LaneProtocol
from edge.lane.traffic import BODY_S, Traffic
from edge.progress.beat import Beat
from tests.edge.api.conftest import House
from tests.edge.api.test_beats import a_beat, backlog
from tests.edge.progress.conftest import patient as patient
from tests.edge.tokens.conftest import cast as cast
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patient")


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Talk:
    """A connection through the lane."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    house: House
    grant: dict[str, Any]
    seq: int = 0

    def post(self, body: object = None, *, length: int | None = None, extra: str = "", **changes: object) -> bytes:
        """A post as a browser sends it."""
        self.seq += 1
        if body is None:
            body = a_beat(self.house.cast.free_film, seq=self.seq, position_s=self.seq / 10, **changes)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"POST /progress HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n"
            f"Content-Length: {len(data) if length is None else length}\r\nAuthorization: Bearer {self.grant['token']}\r\n"
            f"Content-Type: application/json\r\n{extra}Accept: */*\r\n\r\n"
        )
        return head.encode() + data

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answer:
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip().split("\r\n")
            headers = dict(one.split(": ", 1) for one in lines)
            body = await self.reader.readexactly(int(headers.get("Content-Length", 0)))
        return Answer(int(line.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        """The answer; returns when aiohttp has come to rest, as it has for a player that waits five seconds."""
        self.send(data)
        answer = await self.answer()
        await self.rest()
        return answer

    async def rest(self) -> None:
        """Returns when aiohttp has."""
        await until(lambda: all(one.rests for one in self.connections()), 60, "aiohttp to rest")

    async def has_read(self, end: bytes) -> None:
        """Returns when the server has read what was sent and ends so, of a post that is not whole yet."""

        def is_there(one: LaneProtocol) -> bool:
            return one.part.endswith(end) or one.owed != 0

        await until(lambda: any(map(is_there, self.connections())), 60, "what was sent to have come")

    def connections(self) -> list[LaneProtocol]:
        return list(self.traffic.connections)

    @property
    def traffic(self) -> Traffic:
        return _traffic

    @property
    def fast(self) -> int:
        """How many posts have been answered by heart; nothing collects them in a test."""
        return self.house.edge.beat_lane.posts


_traffic = Traffic(cap=100)


@pytest.fixture
async def talk(house: House) -> AsyncIterator[Talk]:
    for task in [task for task in house.edge.tasks if task.get_coro().__qualname__.endswith("Pulse.run")]:  # type: ignore[union-attr]
        task.cancel()
    runner = house.client.server.runner
    assert runner is not None
    assert isinstance(runner.server, web.Server)
    _traffic.connections.clear()
    edge = house.edge
    lane = Lane(
        edge.learned, edge.sessions.session_of, handlers(runner.server, refuse_unparsed), _traffic, posts=edge.beat_lane
    )
    server = await asyncio.get_running_loop().create_server(lambda: LaneProtocol(lane), "127.0.0.1", 0)
    grant = await house.play(house.cast.free_film, await house.sign_in(house.cast.vera))
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield Talk(reader, writer, house, grant)
    writer.close()
    server.close()


async def test_the_second_post_is_answered_by_heart_and_alike(talk: Talk) -> None:
    slow = await talk.ask(talk.post())
    assert (slow.status, talk.fast) == (204, 0)
    for n in range(1, 4):
        fast = await talk.ask(talk.post())
        assert (fast.status, fast.body, talk.fast) == (204, b"", n)
        assert fast.headers.keys() == slow.headers.keys()
        for name in slow.headers.keys() - {"Date", "X-Request-Id"}:
            assert fast.headers[name] == slow.headers[name]
        assert len(fast.headers["X-Request-Id"]) == len(slow.headers["X-Request-Id"])
    assert talk.house.edge.beat_lane.taken == 3
    assert await backlog(talk.house) == 4


async def test_the_answer_to_another_origin_is_alike_too(talk: Talk) -> None:
    slow = await talk.ask(talk.post(extra="Origin: https://shop.example\r\n"))
    fast = await talk.ask(talk.post(extra="Origin: https://shop.example\r\n"))
    assert talk.fast == 1
    assert fast.headers.keys() == slow.headers.keys()
    assert fast.headers["Access-Control-Allow-Origin"] == "*"


async def test_several_beats_and_other_lengths_are_taken(talk: Talk) -> None:
    film = talk.house.cast.free_film
    await talk.ask(talk.post())
    assert (await talk.ask(talk.post([a_beat(film, seq=n) for n in range(50, 90)]))).status == 204
    assert (await talk.ask(talk.post(device_type="a television"))).status == 204
    assert (talk.fast, talk.house.edge.beat_lane.taken) == (2, 41)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"position_s": 999}, 422, "PS408"), ({"event": "dance"}, 422, "PS408"), ({"at": "2999-01-01T00:00:00Z"}, 422, "PS408"),
        ({"content_id": str(uuid7())}, 403, "PS410"),
    ],
)  # fmt: skip
async def test_what_is_refused_is_refused_in_the_same_words(
    talk: Talk, changes: dict[str, object], status: int, code: str
) -> None:
    await talk.ask(talk.post())
    answer = await talk.ask(talk.post(a_beat(talk.house.cast.free_film, **changes)))
    assert (answer.status, json.loads(answer.body)["code"], talk.fast) == (status, code, 0)
    assert (await talk.ask(talk.post())).status == 204


async def test_garbage_in_a_known_head_is_refused(talk: Talk) -> None:
    await talk.ask(talk.post())
    for body, status in ((b"{", 400), (b"[]", 422), (b"\xff", 400), (b"x" * 70_000, 413)):
        answer = await talk.ask(talk.post(body))
        assert (answer.status, talk.fast) == (status, 0)


async def test_another_head_goes_the_slow_way(talk: Talk) -> None:
    await talk.ask(talk.post())
    good = talk.post()
    for changed in (
        good.replace(b"Accept: */*", b"Accept: text/html"),
        good.replace(b"Connection: keep-alive\r\n", b""),
        good.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ):
        assert (await talk.ask(changed)).status == 204
        assert talk.fast == 0


async def test_a_forged_token_is_refused_on_a_connection_that_is_known(talk: Talk) -> None:
    await talk.ask(talk.post())
    forged = talk.post().replace(talk.grant["token"][-6:].encode(), b"AAAAAA")
    answer = await talk.ask(forged)
    assert (answer.status, talk.fast) == (401, 0)


@pytest.mark.parametrize("length", ["+0", "00", "0x1", " "])
async def test_a_length_in_another_spelling_is_not_known(talk: Talk, length: str) -> None:
    await talk.ask(talk.post())
    post = talk.post()
    size = post.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    talk.send(post.replace(b"Content-Length: " + size, b"Content-Length: " + length.encode() + size, 1))
    answer = await talk.answer()
    assert (answer.status in (204, 400), talk.fast) == (True, 0)


async def test_only_a_body_as_long_as_it_says_is_taken(talk: Talk) -> None:
    await talk.ask(talk.post())
    (connection,) = talk.connections()
    lane, body = talk.house.edge.beat_lane, json.dumps(a_beat(talk.house.cast.free_film)).encode()
    for claimed in range(2 * len(talk.post(body))):
        if claimed != len(body):
            assert not lane.take(connection, talk.post(body, length=claimed)), claimed
    assert lane.take(connection, talk.post(body))
    assert (await talk.answer()).status == 204


async def test_a_post_in_pieces_is_put_together(talk: Talk) -> None:
    await talk.ask(talk.post())
    post = talk.post()
    for cut in (5, len(post) // 2, len(post) - 1):
        talk.send(post[:cut])
        await talk.writer.drain()
        await asyncio.sleep(0)
        talk.send(post[cut:])
        assert (await talk.answer()).status == 204


async def test_a_head_and_its_body_may_come_apart(talk: Talk) -> None:
    """Chromium sends them as two when they are more than 1,400 bytes together; so do many others, always."""
    for number in range(4):
        head, _, body = talk.post().partition(b"\r\n\r\n")
        talk.send(head + b"\r\n\r\n")
        await talk.has_read(b"\r\n\r\n")
        assert talk.fast == max(0, number - 1)
        talk.send(body)
        assert (await talk.answer()).status == 204
        await talk.rest()
        assert talk.fast == number


async def test_a_body_in_pieces_behind_a_known_head_is_put_together(talk: Talk) -> None:
    await talk.ask(talk.post())
    head, _, body = talk.post().partition(b"\r\n\r\n")
    for piece in (head + b"\r\n\r\n", body[:7]):
        talk.send(piece)
        await talk.has_read(piece[-7:])
    talk.send(body[7:])
    assert (await talk.answer()).status == 204
    assert (talk.fast, await backlog(talk.house)) == (0, 2)


@pytest.mark.parametrize("length", ["0", "65537", "999999999", "007", "+7", "x"])
async def test_a_head_whose_length_is_odd_is_aiohttps(talk: Talk, length: str) -> None:
    await talk.ask(talk.post())
    (connection,) = talk.connections()
    before = connection.slow_at
    head, _, _ = talk.post(length=12345).partition(b"\r\n\r\n")
    talk.send(head.replace(b"12345", length.encode()) + b"\r\n\r\n")
    await until(lambda: connection.slow_at > before, 60, "aiohttp to have it")
    assert (connection.part, talk.fast) == (b"", 0)
    # Some of them wait for a body that does not come; the end of the server would wait with them.
    talk.writer.close()
    await until(lambda: not talk.connections(), 60, "the connection to be gone")


async def test_who_leaves_between_head_and_body_leaves_nothing(talk: Talk) -> None:
    await talk.ask(talk.post())
    head, _, _ = talk.post().partition(b"\r\n\r\n")
    talk.send(head + b"\r\n\r\n")
    await talk.has_read(b"\r\n\r\n")
    talk.writer.write_eof()
    assert await talk.reader.read() == b""
    await until(lambda: not talk.connections(), 60, "the connection to be gone")
    assert await backlog(talk.house) == 1


async def test_a_body_that_does_not_come_ends_the_connection(talk: Talk) -> None:
    await talk.ask(talk.post())
    head, _, _ = talk.post().partition(b"\r\n\r\n")
    talk.send(head + b"\r\n\r\n")
    await talk.has_read(b"\r\n\r\n")
    (connection,) = talk.connections()
    since = connection.active_at
    talk.traffic.close_idle()
    talk.traffic.sweep_once(since + 3)
    assert connection.handler is None, "an idle handler is given back"
    talk.traffic.close_idle()
    assert not connection.transport.is_closing(), "a process that leaves waits for it"
    talk.traffic.sweep_once(since + BODY_S - 1)
    assert not connection.transport.is_closing()
    talk.traffic.sweep_once(since + BODY_S + 60)
    await until(lambda: not talk.connections(), 60, "the connection to be gone")


async def test_the_token_may_be_in_the_body_too(talk: Talk) -> None:
    """Our page says it twice: it can set no header on a beacon."""
    film = talk.house.cast.free_film

    def envelope(token: str) -> dict[str, object]:
        return {"token": token, "beats": [a_beat(film, seq=talk.seq)]}

    for number in range(3):
        assert (await talk.ask(talk.post(envelope(talk.grant["token"])))).status == 204
        assert talk.fast == number
    # Another token in the body is the one that counts, and the slow way says whether it is good.
    assert (await talk.ask(talk.post(envelope("k1.forged.token")))).status == 401
    assert talk.fast == 2


async def test_what_another_tokens_body_vouches_for_is_not_learnt(talk: Talk) -> None:
    other = await talk.house.play(talk.house.cast.free_film, await talk.house.sign_in(talk.house.cast.vera))
    body = {"token": other["token"], "beats": [a_beat(talk.house.cast.free_film)]}
    assert (await talk.ask(talk.post(body))).status == 204
    assert not talk.house.edge.beat_lane.heads


async def test_a_post_right_behind_an_answer_finds_the_lane(talk: Talk) -> None:
    """Sent before aiohttp's task has come to rest, it waits a turn of the loop: gone slow, it would leave the next the same race."""
    talk.send(talk.post())
    assert (await talk.answer()).status == 204
    for _ in range(20):
        talk.send(talk.post())
        assert (await talk.answer()).status == 204
    assert talk.fast == 20


async def test_a_head_is_known_on_every_connection(talk: Talk) -> None:
    await talk.ask(talk.post())
    reader, writer = await asyncio.open_connection(*talk.writer.get_extra_info("peername"))
    writer.write(talk.post())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
    assert talk.fast == 1
    writer.close()


async def test_heads_are_forgotten_when_there_are_too_many(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_lane, "MAX_HEADS", 2)
    heads = talk.house.edge.beat_lane.heads
    for agent in "abc":
        await talk.ask(talk.post(extra=f"User-Agent: {agent}\r\n"))
    assert [b"User-Agent: a" in head for head in heads] == [False, False]


async def test_posts_and_other_requests_sent_at_once_are_answered_in_order(talk: Talk) -> None:
    await talk.ask(talk.post())
    nothing = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for burst in ((talk.post(), talk.post()), (talk.post(), nothing, talk.post()), (nothing, talk.post())):
        for data in burst:
            talk.send(data)
        wanted = [404 if data == nothing else 204 for data in burst]
        assert [(await talk.answer()).status for _ in burst] == wanted
        await asyncio.sleep(0)


async def post_held_back(talk: Talk) -> asyncio.Event:
    """Sends a post that is on its way to the disk until the event is set."""
    gate = asyncio.Event()
    batcher = talk.house.edge.batcher
    store = batcher._store

    async def slowly(beats: Sequence[Beat]) -> None:
        await gate.wait()
        await store(beats)

    batcher._store = slowly
    talk.send(talk.post())
    await until(lambda: talk.fast == 1, 60, "the post to be under way")
    return gate


async def test_what_comes_while_a_post_is_under_way_waits_for_its_answer(talk: Talk) -> None:
    await talk.ask(talk.post())
    gate = await post_held_back(talk)
    talk.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    talk.send(talk.post())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not talk.reader._buffer  # type: ignore[attr-defined]
    gate.set()
    assert [(await talk.answer()).status for _ in range(3)] == [204, 404, 204]


async def test_who_has_finished_sending_still_gets_the_answers(talk: Talk) -> None:
    await talk.ask(talk.post())
    gate = await post_held_back(talk)
    talk.send(talk.post())
    talk.writer.write_eof()
    await until(lambda: any(one.behind for one in talk.connections()), 60, "the next to have come")
    gate.set()
    assert [(await talk.answer()).status for _ in range(2)] == [204, 204]
    assert await talk.reader.read() == b""
    assert talk.fast == 2


async def test_no_more_than_a_chunk_waits_behind_a_post(talk: Talk) -> None:
    await talk.ask(talk.post())
    gate = await post_held_back(talk)
    (connection,) = talk.connections()
    film, count = talk.house.cast.free_film, 40
    for number in range(count):
        talk.send(talk.post([a_beat(film, seq=number)] * 60))
    await until(lambda: connection.behind != b"", 60, "more to have come")
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(connection.behind) <= 256 * 1024
    gate.set()
    for _ in range(1 + count):
        assert (await talk.answer()).status == 204


async def test_what_cannot_be_stored_is_sent_back_in_words(talk: Talk) -> None:
    await talk.ask(talk.post())

    async def never(beats: Sequence[Beat]) -> None:
        raise OSError("no disk")

    batcher = talk.house.edge.batcher
    store, batcher._store = batcher._store, never
    answer = await talk.ask(talk.post())
    assert (answer.status, json.loads(answer.body)["code"], answer.headers["Retry-After"]) == (503, "PS409", "2")
    assert (talk.fast, talk.house.edge.beat_lane.taken) == (0, 0)
    batcher._store = store
    assert (await talk.ask(talk.post())).status == 204
    assert talk.fast == 1


async def test_who_leaves_while_a_post_is_under_way_disturbs_nobody(talk: Talk) -> None:
    await talk.ask(talk.post())
    gate = await post_held_back(talk)
    talk.writer.transport.abort()
    gate.set()

    async def stored() -> bool:
        return await backlog(talk.house) == 2

    await until(stored, 60, "the post to be stored all the same")


async def test_a_process_that_leaves_says_so_in_each_answer(talk: Talk) -> None:
    await talk.ask(talk.post())
    talk.house.edge.leaving.begun.set()
    talk.house.edge.beat_lane.is_open = False
    answer = await talk.ask(talk.post())
    assert (answer.status, answer.headers["Connection"], talk.fast) == (204, "close", 0)


async def test_a_token_past_its_end_is_looked_at_again(talk: Talk) -> None:
    await talk.ask(talk.post())
    (head,) = talk.house.edge.beat_lane.heads.values()
    head.good_until = 0
    assert (await talk.ask(talk.post())).status == 204
    assert talk.fast == 0


HEADERS = (
    (b"Host", b"localhost"),
    (b"Content-Length", b"5"),
    (b"Authorization", b"Bearer x"),
    (b"Content-Type", b"application/json"),
)


def head_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return LINE + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"


def test_a_plain_head_is_known_for_one() -> None:
    assert is_plain_post(head_of(HEADERS), HEADERS)
    assert is_plain_post(head_of((*HEADERS, (b"Accept", b"*/*"))), (*HEADERS, (b"Accept", b"*/*")))


@pytest.mark.parametrize(
    "more",
    [
        (b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"), (b"Content-Encoding", b"gzip"), (b"Host", b"other"),
        (b"Connection", b"close"), (b"Upgrade", b"h2c"), (b"X-Request-Id", b"chosen-by-client"), (b"Content-Length", b"6"),
        (b"If-Match", b"*"),
    ],
)  # fmt: skip
def test_a_head_with_anything_that_bears_on_the_answer_is_not_plain(more: tuple[bytes, bytes]) -> None:
    assert not is_plain_post(head_of((*HEADERS, more)), (*HEADERS, more))


@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_head_with_stray_bytes_is_not_plain(stray: bytes, at: int) -> None:
    head = head_of(HEADERS)
    changed = head[:at] + stray + head[at:]
    assert is_plain_post(changed, HEADERS) == (changed == head)
