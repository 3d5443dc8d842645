"""The lane answers byte for byte what aiohttp answers: the same bytes, cut in the same way, to a connection of each.

Only Date and X-Request-Id may differ. Sessions change state in between; chunks arrive while answers are under way.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edge.lane import stage as s
from tests.edge.lane.stage import BROWSER, FILM, GOOD, OTHER_FILM, Stage, Wire, get, open_stage, settle

_VARYING = re.compile(rb"(?<=\r\n)(Date|X-Request-Id): [^\r]*")


@dataclass(frozen=True)
class Chunk:
    """Bytes that arrive together, and how many turns the loop takes before the next; None: until it rests."""

    data: bytes
    turns: int | None


@dataclass(frozen=True)
class Turn:
    """A session changes."""

    token: str
    to: Literal["suspect", "expired", "ceiling", "good"]


Step = Chunk | Turn

BLOCKS = [
    BROWSER,
    BROWSER.replace(b"gzip, deflate, br", b"identity"),
    BROWSER.replace(b"gzip, deflate, br", b"gzip;q=0"),
    b"Host: 127.0.0.1:8080\r\nAccept: */*\r\n\r\n",
    b"Host: [::1]:8080\r\nX-Playback-Session-Id: 1\r\nAccept-Encoding: gzip\r\n\r\n",
    b"Host: edge.example\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
]
PATHS = ["master.m3u8", "v/720p.m3u8", "v/1.m4s", "thumbs/1.jpg", "v/large.m4s"]
ODD_PATHS = [
    "master.m3u8?", "v/1.m4s?CMCD=bl%3D1", "v/missing.m4s", "v//1.m4s", "./master.m3u8", "v/../master.m3u8",
    "v%2f1.m4s", "master.m3u8#x", "", "v/1.m4s ", "master.M3U8",
]  # fmt: skip
TOKENS = [s.GOOD, s.OTHER, s.SUSPECT, s.EXPIRED, s.CEILING, "k1.nobody", "", "k1.good-token%20"]
PLAIN_HEADERS = [
    b"Host: edge.example", b"Accept: */*", b"Accept-Encoding: gzip", b"Origin: https://a.example", b"Cookie: a=b; c=d",
    b"X-Padding: " + b"x" * 1900, b"Sec-Fetch-Mode: cors", b"X-Forwarded-For: 10.0.0.1", b"Accept-Encoding: br;q=1, gzip;q=0",
]  # fmt: skip
ODD_HEADERS = [
    b"Range: bytes=0-9", b"Range: bytes=5-", b"Range: bytes=99999999-", b"Range: bytes=0-1,3-4", b"If-None-Match: *",
    b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", b"If-Range: \"x\"", b"Connection: close", b"Connection: keep-alive",
    b"connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Expect: magic", b"Host: second.example",
    b"Host:", b"Host: a b", b"Content-Length: 0", b"Content-Length: 3", b"Content-Length: 3, 3", b"Content-Length:3",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding : chunked", b" folded: yes",
    b"X-Space : a", b"X-Nul: a\x00b", b"X-CR: a\rb", b"X-LF: a\nb", b"X-High: \xff\xfe", b"X-Trail: a \t", b"X-Empty:", b":empty",
    b"X-Request-Id: abcdefgh-1", b"Content-Type: application/json", b"Authorization: Bearer x", b"Accept-Encoding: gzip;q=0", b"no colon",
]  # fmt: skip
# The same odd block again and again, with every object: what was learnt by mistake from one is then used for another.
ODD_BLOCKS = [b"Host: edge.example\r\n" + header + b"\r\n\r\n" for header in ODD_HEADERS]


def _mangled(case: int, header: bytes) -> bytes:
    name, colon, value = header.partition(b":")
    return [name, name.lower(), name.upper(), name.swapcase()][case] + colon + value


hot = st.builds(get, st.sampled_from(PATHS[:4]), st.sampled_from(BLOCKS))
large = st.just(get("v/large.m4s"))
blocks = st.builds(
    lambda plain, odd, order, cases: (
        b"".join(_mangled(cases[i % 4], h) + b"\r\n" for i, h in enumerate(order.sample(plain + odd, len(plain + odd))))
        + b"\r\n"
    ),
    st.lists(st.sampled_from(PLAIN_HEADERS[1:]), max_size=4, unique=True).map(lambda more: [PLAIN_HEADERS[0], *more]),
    st.lists(st.sampled_from(ODD_HEADERS), max_size=2),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
media = st.builds(
    lambda method, path, token, film, version, block: (
        f"{method} /hls/{token}/{film}/1/{path} {version}\r\n".encode() + block
    ),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "get", "TRACE", "CONNECT", "BREW"]),
    st.sampled_from(PATHS[:4] + ODD_PATHS),
    st.sampled_from([GOOD] * 5 + TOKENS),
    st.sampled_from([FILM, FILM, FILM, OTHER_FILM]),
    st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 x"]),
    st.sampled_from(BLOCKS) | st.sampled_from(ODD_BLOCKS) | blocks,
)
bodies = st.sampled_from([b"", b"abc", b"x" * 5000, get("master.m3u8"), b"\r\n\r\n", b"0\r\n\r\n"])
posts = st.builds(
    lambda path, body, skew, header: (
        f"POST {path} HTTP/1.1\r\nHost: edge.example\r\n{header}{max(0, len(body) + skew)}\r\n\r\n".encode() + body
    ),
    st.sampled_from(["/measure", "/unread", "/nowhere", "/hls/x"]),
    bodies,
    st.sampled_from([0] * 8 + [-1, 1, 40]),
    st.sampled_from(
        ["Content-Length: "] * 6 + ["content-length:", "Content-Length:  ", "Content-Length: +", "Content-Length: 0"]
    ),
)
chunked = st.builds(
    lambda path, body, size, end: (
        f"POST {path} HTTP/1.1\r\nHost: edge.example\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + b"%s\r\n%s\r\n" % (size % len(body), body)
        + end
    ),
    st.sampled_from(["/measure", "/unread"]),
    bodies.filter(bool),
    st.sampled_from([b"%x"] * 5 + [b"0x%x", b"%x;a=b", b"%x ", b"1%x"]),
    st.sampled_from([b"0\r\n\r\n"] * 4 + [b"0\r\nX-Trailer: a\r\n\r\n", b"0\r\n", b"", b"0\n\n"]),
)
garbage = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"\r", b"\x16\x03\x01", b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 8]
) | st.binary(min_size=1, max_size=40)
requests = st.one_of(hot, hot, hot, hot, media, media, posts, chunked, large)
turns = st.sampled_from([None, None, None, 0, 1, 2, 3, 5])


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """What happens to a connection."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 4))):
        match draw(st.integers(0, 9)):
            case 0:
                steps.append(
                    Turn(
                        draw(st.sampled_from(TOKENS[:5])),
                        draw(st.sampled_from(["suspect", "expired", "ceiling", "good"])),
                    )
                )
            case 1 | 2:
                together = b"".join(draw(st.lists(requests, min_size=2, max_size=5)))
                steps.append(Chunk(together, draw(turns)))
            case 3 | 4:
                data = b"".join(draw(st.lists(requests, min_size=1, max_size=3)))
                cuts = sorted(draw(st.sets(st.integers(1, max(1, min(len(data) - 1, 700))), max_size=4)))
                for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    if data[begin:end]:
                        steps.append(Chunk(data[begin:end], draw(turns)))
            case _:
                steps += [Chunk(draw(requests), draw(turns)) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.integers(0, 3)) == 0:
        steps.append(Chunk(draw(garbage), draw(turns)))
        steps += [Chunk(draw(hot), draw(turns)) for _ in range(draw(st.integers(0, 2)))]
    return steps


async def play(stage: Stage, protocol: asyncio.Protocol, steps: list[Step]) -> tuple[bytes, bool]:
    """What the connection answers, and whether it is closed in the end."""
    stage.door.reset()
    wire = Wire(protocol)
    for step in steps:
        if isinstance(step, Turn):
            await settle()
            session = stage.door.by_token[step.token]
            session.suspect = step.to == "suspect"
            session.max_height = 360 if step.to == "ceiling" else None
            session.good_until = 1.0 if step.to == "expired" else 2.0**31
            continue
        wire.send(step.data)
        if step.turns is None:
            await settle()
        for _ in range(step.turns or 0):
            await asyncio.sleep(0)
    await settle()
    answer, closed = bytes(wire.written), wire.closing
    wire.lose()
    await settle()
    # A task that lingers for the rest of a body has lost its connection: nobody else would end it before its time is up.
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await settle()
    return _VARYING.sub(rb"\1: -", answer), closed


class Pair:
    """A stage in a loop of its own, for tests that hypothesis calls."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stage = self.loop.run_until_complete(open_stage())
        for path in PATHS:
            for block in BLOCKS:
                for token, film in ((GOOD, FILM), (s.OTHER, OTHER_FILM)):
                    request = get(path, block, token=token, film=film)
                    self.loop.run_until_complete(play(self.stage, self.stage.fast(), [Chunk(request, None)]))

    def compare(self, steps: list[Step]) -> None:
        """Raises AssertionError when the two ways in differ."""
        fast = self.loop.run_until_complete(play(self.stage, self.stage.fast(), steps))
        plain = self.loop.run_until_complete(play(self.stage, self.stage.plain(), steps))
        assert fast == plain
        assert b"HTTP/1.1 500" not in fast[0]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    # A line for each refusal, set in colour, takes longer than the refusal.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    made = Pair()
    yield made
    structlog.reset_defaults()
    made.loop.run_until_complete(made.stage.close())
    made.loop.close()


EXAMPLES = 2500
_FUZZ = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate, Phase.shrink], **_FUZZ)
@given(steps=scripts())
def _compare_many(pair: Pair, steps: list[Step]) -> None:
    pair.compare(steps)


def test_both_lanes_answer_the_same_and_the_lane_was_really_in_it(pair: Pair) -> None:
    # One test: in two, xdist may give the count to a process that compared nothing.
    _compare_many(pair)
    before = pair.stage.hits
    assert before > EXAMPLES / 4, "hardly any of the scripts came past the lane"
    for path in PATHS:
        for block in BLOCKS:
            request = get(path, block)
            pair.compare([Chunk(request, None)] * 3)
    assert pair.stage.hits - before == len(PATHS) * len(BLOCKS) * 3
    assert len(pair.stage.server.connections) == 0
    assert not pair.stage.traffic.connections


def test_an_odd_block_that_changes_nothing_about_one_object_is_not_learnt_from_it(pair: Pair) -> None:
    """A playlist is whole whatever Range says: a block learnt from it would make segments whole too."""
    for block in [b"Host: edge.example\r\n\r\n", *ODD_BLOCKS]:
        for path in PATHS * 2:
            pair.compare([Chunk(get(path, block), None), Chunk(get(path), None)])


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=200_000, phases=[Phase.generate, Phase.shrink], **_FUZZ)
@given(steps=scripts())
def test_both_lanes_answer_the_same_at_length(pair: Pair, steps: list[Step]) -> None:
    pair.compare(steps)
