"""How objects are delivered: ranges, conditions, HEAD, compression, caching, other origins."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from tests.demo import TEST_CARD, Demo
from tests.e2e.paths import media_paths
from tests.web import Person, guest, raw

pytestmark = [pytest.mark.timeout(1200)]


@pytest.fixture
async def nobody(demo: Demo) -> AsyncIterator[Person]:
    """A guest."""
    async with guest(demo) as person:
        yield person


@pytest.fixture
async def segment(nobody: Person, demo: Demo) -> str:
    """The path of a media segment."""
    return (await media_paths(nobody, await nobody.play(demo.id_of(TEST_CARD))))[3]


@pytest.fixture
async def playlist(nobody: Person, demo: Demo) -> str:
    """The path of a media playlist."""
    return (await media_paths(nobody, await nobody.play(demo.id_of(TEST_CARD))))[1]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, -1),
        ("bytes=-50", -50, -1),
        ("bytes=10-99999999", 10, -1),
        ("bytes=0-0", 0, 0),
    ],
)
async def test_a_single_range_is_that_part(nobody: Person, segment: str, asked: str, first: int, last: int) -> None:
    whole = (await nobody.get(segment)).body
    start = first if first >= 0 else len(whole) + first
    end = last + 1 if last >= 0 else len(whole)
    answer = await nobody.get(segment, headers={"Range": asked})
    assert answer.status == 206
    assert answer.body == whole[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    assert answer.headers["content-length"] == str(end - start)


async def test_a_range_beyond_the_end_is_unsatisfiable(nobody: Person, segment: str) -> None:
    size = len((await nobody.get(segment)).body)
    answer = await nobody.get(segment, headers={"Range": f"bytes={size}-"})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    assert answer.body == b""


@pytest.mark.parametrize("asked", ["bytes=a-b", "lines=1-2", "bytes=5-1", "bytes", "bytes=--1"])
async def test_a_range_nobody_understands_is_ignored(nobody: Person, segment: str, asked: str) -> None:
    answer = await nobody.get(segment, headers={"Range": asked})
    assert answer.status in (200, 416)
    if answer.status == 200:
        assert "content-range" not in answer.headers


async def test_if_range_with_another_tag_gives_the_whole(nobody: Person, segment: str) -> None:
    whole = await nobody.get(segment)
    same = {"Range": "bytes=0-9", "If-Range": whole.headers["etag"]}
    assert (await nobody.get(segment, headers=same)).status == 206
    answer = await nobody.get(segment, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (answer.status, answer.body) == (200, whole.body)


async def test_head_says_what_get_would(nobody: Person, segment: str, playlist: str) -> None:
    for path in (segment, playlist):
        headers = {"Accept-Encoding": "identity"}
        got = await nobody.get(path, headers=headers)
        head = await nobody.get(path, headers=headers, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert head.headers[name] == got.headers[name], name


async def test_a_known_tag_is_not_sent_again(nobody: Person, segment: str, playlist: str) -> None:
    for path in (segment, playlist):
        etag = (await nobody.get(path)).headers["etag"]
        for condition in (etag, f'"x", {etag}', f"W/{etag.removeprefix('W/')}", "*"):
            answer = await nobody.get(path, headers={"If-None-Match": condition})
            assert (answer.status, answer.body) == (304, b""), condition
            assert answer.headers["etag"] == etag


async def test_playlists_are_compressed_for_who_takes_it(nobody: Person, playlist: str) -> None:
    plain = await nobody.get(playlist, headers={"Accept-Encoding": "identity"})
    packed = await nobody.get(playlist, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert "accept-encoding" in plain.headers["vary"].lower()
    assert "accept-encoding" in packed.headers["vary"].lower()
    refused = await nobody.get(playlist, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


async def test_media_types_and_caching(nobody: Person, demo: Demo) -> None:
    paths = await media_paths(nobody, await nobody.play(demo.id_of(TEST_CARD)))
    types = [(await nobody.get(path)).headers for path in paths]
    assert types[0]["content-type"].split(";")[0] == "application/vnd.apple.mpegurl"
    assert types[1]["content-type"].split(";")[0] == "application/vnd.apple.mpegurl"
    assert types[2]["content-type"] == "video/mp4"
    for headers in types:
        assert headers["x-content-type-options"] == "nosniff"
    assert "immutable" in types[3]["cache-control"]


async def test_the_body_is_the_same_for_every_viewer(demo: Demo) -> None:
    bodies = []
    for _ in range(2):
        async with guest(demo) as person:
            paths = await media_paths(person, await person.play(demo.id_of(TEST_CARD)))
            bodies.append([(await person.get(path)).body for path in paths])
    assert bodies[0] == bodies[1]


async def test_a_page_of_another_origin_may_play(nobody: Person, segment: str) -> None:
    answer = await nobody.get(segment, headers={"Origin": "https://example.org", "Range": "bytes=0-1"})
    assert answer.headers["access-control-allow-origin"] in ("*", "https://example.org")
    assert answer.headers.get("access-control-allow-credentials") != "true"
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert "content-range" in exposed
    preflight = await nobody.get(
        segment,
        method="OPTIONS",
        headers={
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "range",
        },
    )
    assert preflight.status in (200, 204)
    assert "range" in preflight.headers["access-control-allow-headers"].lower()
    refused = await nobody.get(segment.replace("/hls/", "/hls/x"), headers={"Origin": "https://example.org"})
    assert refused.status == 401
    assert "access-control-allow-origin" in refused.headers, "a page must be able to read why"


async def test_media_is_read_only(nobody: Person, demo: Demo, segment: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await raw(demo.url, segment, method=method)
        assert answer.status == 405, method
        assert "GET" in answer.headers["allow"]


async def test_media_never_redirects(nobody: Person, demo: Demo) -> None:
    for path in await media_paths(nobody, await nobody.play(demo.id_of(TEST_CARD))):
        assert (await nobody.get(path)).status == 200
