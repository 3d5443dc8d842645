"""The quick look at a head never lets through what the patterns would have found."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from edge.lane import framing

PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"Host: a", b"Content-Length", b"content-length: 5",
        b"Transfer-Encoding", b"transfer-encoding: chunked", b"Upgrade", b"UPGRADE-Insecure-Requests: 1", b"Expect", b"x",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=24).map(b"".join))
@example(b"GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n")
def test_a_bare_head_has_nothing_that_the_patterns_look_for(head: bytes) -> None:
    if framing._is_bare(head):
        assert framing._ODD_FRAMING.search(head) is None
        assert framing._LENGTH.search(head) is None


def test_an_ordinary_head_is_bare() -> None:
    assert framing._is_bare(
        b"GET /rest/v1/contents HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nAuthorization: Bearer x\r\n\r\n"
    )
