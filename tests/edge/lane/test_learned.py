"""What may be known by heart: plain blocks only, a bounded number of them, and answers no longer than the cache holds them."""

from __future__ import annotations

import pytest
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from edge.hls.stored import prepare
from edge.lane.learned import MAX_BLOCKS, Learned, Ready
from edge.lane.plain import MAX_BLOCK_BYTES, NOT_PLAIN, is_plain, is_plain_host
from tests.edge.lane.stage import BROWSER, FILM

Headers = tuple[tuple[bytes, bytes], ...]


def written(*headers: tuple[bytes, bytes]) -> tuple[bytes, Headers]:
    """A canonical block and its headers."""
    return b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n", headers


HOST = (b"Host", b"edge.example")


def test_a_browsers_block_is_plain() -> None:
    lines = BROWSER.split(b"\r\n")[:-2]
    headers = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))
    assert is_plain(BROWSER, headers)


@pytest.mark.parametrize("name", sorted(NOT_PLAIN))
def test_a_header_that_bears_on_the_answer_is_not(name: bytes) -> None:
    assert not is_plain(*written(HOST, (name, b"x")))
    assert not is_plain(*written(HOST, (name.upper(), b"")))


@pytest.mark.parametrize(
    "name",
    ["Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since", "Keep-Alive",
     "Transfer-Encoding", "Content-Length", "Content-Encoding", "TE", "Trailer", "Upgrade", "Expect", "X-Request-Id"],
)  # fmt: skip
def test_the_list_has_what_it_must(name: str) -> None:
    assert name.lower().encode() in NOT_PLAIN


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"\r\n", ()),
        written((b"Accept", b"*/*")),
        written(HOST, (b"host", b"edge.example")),
        written(HOST, (b"X", b"1"), (b"x", b"2")),
        written((b"Host", b"a@b")),
        written((b"Host", b"")),
        written(HOST, (b"X", b"a" * MAX_BLOCK_BYTES)),
        (b"Host:  edge.example\r\n\r\n", (HOST,)),
        (b"Host: edge.example \r\n\r\n", (HOST,)),
        (b"Host: edge.example\n\r\n", (HOST,)),
        (b"Host: edge.example\r\nX: a\r\n b\r\n\r\n", (HOST, (b"X", b"a b"))),
        (b"Host: edge.example\r\n\r\nGET /hls/x HTTP/1.1\r\nHost: a\r\n\r\n", (HOST,)),
        (b"Host: edge.example\r\n\r\nbody", (HOST,)),
        (b"Host: edge.example\r\nX: 1\r\n\r\n", (HOST,)),
    ],
)
def test_what_is_not_canonical_is_not_plain(block: bytes, headers: Headers) -> None:
    assert not is_plain(block, headers)


@pytest.mark.parametrize("host", [b"a", b"a.example:443", b"127.0.0.1:8080", b"[::1]", b"[::1]:80", b"a_b", b"x" * 253])
def test_plain_hosts(host: bytes) -> None:
    assert is_plain_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a@b",
        b"a, b",
        b"a/b",
        b"a:",
        b":80",
        b"a:x",
        b"a:1:2",
        b"::1",
        b"[x]",
        b"a b",
        b"a\x00",
        b"\xff",
        b"a:123456",
        b"a\n",
        b"x" * 254,
    ],
)
def test_hosts_that_are_not(host: bytes) -> None:
    assert not is_plain_host(host)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"keep-alive", True),
        (b"Keep-Alive", True),
        (b"close", False),
        (b"", False),
        (b"close, keep-alive", False),
        (b"Upgrade", False),
    ],
)
def test_only_keep_alive_may_be_said_of_the_connection(value: bytes, plain: bool) -> None:
    assert is_plain(*written(HOST, (b"connection", value))) is plain
    assert not is_plain(*written(HOST, (b"Connection", value), (b"connection", value)))


@given(st.lists(st.tuples(st.from_regex(rb"[A-Za-z-]{1,12}", fullmatch=True), st.binary(max_size=12)), max_size=5))
def test_a_plain_block_always_reads_the_same(more: list[tuple[bytes, bytes]]) -> None:
    """Whatever is taken as plain, the parser reads back as exactly those headers."""
    import asyncio

    block, headers = written(HOST, *more)
    if not is_plain(block, headers):
        return
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(None, loop, 2**16, max_line_size=8190, max_field_size=8190)  # type: ignore[arg-type]
        try:
            messages, _, tail = parser.feed_data(b"GET / HTTP/1.1\r\n" + block)
        except Exception:
            return  # the parser refuses it: it will never be learnt, for nobody parsed it
        ((message, payload),) = messages
        if message.raw_headers == headers:
            assert not message.should_close
            assert not message.chunked
            assert not message.upgrade
            assert payload.is_eof()
            assert not tail
    finally:
        loop.close()


def test_blocks_are_bounded_and_the_oldest_goes_first() -> None:
    learned = Learned()
    blocks = [written(HOST, (b"X", b"%d" % i)) for i in range(MAX_BLOCKS + 10)]
    for block, headers in blocks:
        assert learned.learn_block(block, headers, takes_gzip=False)
    assert len(learned.blocks) == MAX_BLOCKS
    assert blocks[9][0] not in learned.blocks
    assert blocks[10][0] in learned.blocks
    assert learned.learn_block(*blocks[-1], takes_gzip=True)
    assert learned.blocks[blocks[-1][0]] is learned.plain, "a block means what it meant when it was learnt"
    assert not learned.learn_block(*written(HOST, (b"Range", b"bytes=0-1")), takes_gzip=False)


def sent(learned: Learned, ready: Ready) -> None:
    """As the lane notes it."""
    learned.touched.append(ready)
    ready.answers += 1


def test_what_was_sent_is_settled_in_sums() -> None:
    learned = Learned()
    learned.learn_answer("k", f"{FILM}/1/a.m4s", FILM, "m4s", prepare("a.m4s", b"abc"))
    ready = learned.plain[f"{FILM}/1/a.m4s".encode()]
    sent(learned, ready)
    ready.answers += 1
    for _ in range(2):
        learned.settle()
        assert (learned.sent["m4s"].answers, learned.sent["m4s"].body_bytes) == (2, 6)


def test_an_answer_stays_without_its_bytes_while_a_file_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.lane.learned.MAX_ON_DISK", 2)
    learned = Learned()
    lines = [f"{FILM}/1/{number}.m4s" for number in range(4)]
    for line in lines:
        learned.learn_answer(line, line, FILM, "m4s", prepare(line, b"abc"), f"/store/{line}")
    for line in lines[:3]:
        learned.forget_answer(line)
    assert set(learned.plain) == {line.encode() for line in lines[1:]}, "as many as may be, the latest"
    assert [learned.plain[line.encode()].body for line in lines[1:]] == [None, None, b"abc"]
    learned.learn_answer(lines[1], lines[1], FILM, "m4s", prepare(lines[1], b"abc"), f"/store/{lines[1]}")
    assert learned.plain[lines[1].encode()].body == b"abc", "back in memory"
    learned.forget_answer(lines[3])
    assert set(learned.plain) == {line.encode() for line in lines[1:]}


def test_an_answer_goes_with_its_object() -> None:
    learned = Learned()
    learned.learn_answer("k", f"{FILM}/1/a.m3u8", FILM, "m3u8", prepare("a.m3u8", b"#EXTM3U\n"))
    line = f"{FILM}/1/a.m3u8".encode()
    assert learned.plain[line].body == b"#EXTM3U\n"
    assert b"Content-Encoding: gzip" in learned.gzipped[line].head
    assert not learned.was_used("k")
    sent(learned, learned.gzipped[line])
    assert learned.was_used("k")
    assert not learned.was_used("k"), "asked and forgotten"
    learned.forget_answer("k")
    learned.forget_answer("k")
    assert not learned.plain
    assert not learned.gzipped
    assert not learned.was_used("k")
