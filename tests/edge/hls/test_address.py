"""One canonical form of a media address; every trick with paths is no address at all."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.hls.address import CONTENT_TYPES, Address, parse

CONTENT = "01a1fa0f-bcc7-7ba6-a307-89477a7baf19"
GOOD = f"/hls/k1.abc-_.sig/{CONTENT}/3/video/720p/12.m4s"


def test_a_good_address_is_taken_apart() -> None:
    assert parse(GOOD) == Address("k1.abc-_.sig", UUID(CONTENT), 3, "video/720p/12.m4s")
    assert parse(f"/hls/t/{CONTENT}/1/master.m3u8") == Address("t", UUID(CONTENT), 1, "master.m3u8")


@pytest.mark.parametrize(
    "trick",
    [
        "/..%2f..%2fetc%2fpasswd", "/../../x.m4s", "/%2e%2e/x.m4s", "/.%2e/x.m4s", "/..\\x.m4s", "/x.m4s%00", "/%00.m4s", "/x.m4s;a=b",
        "/./x.m4s", "//x.m4s", "/a//x.m4s", "/%c0%ae%c0%ae/x.m4s", "/x.m4s/", "/.m4s", "/x.php", "/x.m4s.php", "/x", "/x.m4s?y", "/x.m4s#y",
        "/a/b/c/d/x.m4s", "/x .m4s", "/x\t.m4s", "/x.m4s\r\nX: y", "/ｘ.m4s", "/%78.m4s", "", "/", "/" + "a" * 65 + ".m4s",
    ],
)  # fmt: skip
def test_a_trick_is_no_address(trick: str) -> None:
    assert parse(f"/hls/token/{CONTENT}/1{trick}") is None


@pytest.mark.parametrize(
    "path",
    [
        f"/HLS/t/{CONTENT}/1/x.m4s", f"/hls//{CONTENT}/1/x.m4s", f"/hls/t/{CONTENT.upper()}/1/x.m4s", f"/hls/t/{CONTENT}/0/x.m4s",
        f"/hls/t/{CONTENT}/01/x.m4s", f"/hls/t/{CONTENT}/-1/x.m4s", f"/hls/t/{CONTENT}/1e9/x.m4s", "/hls/t/not-a-uuid/1/x.m4s",
        f"/hls/{'t' * 401}/{CONTENT}/1/x.m4s", f"http://evil/hls/t/{CONTENT}/1/x.m4s", f"/hls/t/{CONTENT}/١/x.m4s",
    ],
)  # fmt: skip
def test_anything_not_to_the_letter_is_no_address(path: str) -> None:
    assert parse(path) is None


@given(st.text(max_size=80))
def test_whatever_is_an_address_has_only_plain_names(text: str) -> None:
    address = parse(f"/hls/token/{CONTENT}/1/{text}")
    if address is not None:
        assert address.name == text
        assert address.suffix in CONTENT_TYPES
        assert all(part not in ("", ".", "..") for part in address.name.split("/"))
        assert text.isascii()
        assert "\\" not in text
