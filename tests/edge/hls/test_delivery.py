"""What a player, a cache and a browser read off an answer under /hls/."""

from __future__ import annotations

import gzip
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from edge.hls.address import Address
from edge.hls.cache import ByteCache
from edge.hls.delivery import Delivery, accepts_gzip, respond
from edge.hls.playlist_filter import below_ceiling
from edge.hls.stored import StoredObject

MASTER = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360
video/360p/playlist.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2900000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720
video/720p/playlist.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,RESOLUTION=1280x720,URI="video/720p/iframes.m3u8"
"""
OBJECTS = {"p/master.m3u8": MASTER.encode(), "p/video/360p/1.m4s": bytes(range(256)) * 4}


@pytest.fixture
async def client(aiohttp_client: AiohttpClient):  # type: ignore[no-untyped-def]
    """An application that serves two objects, without anything in front."""

    async def read(key: str) -> bytes:
        return OBJECTS[key]

    async def find(tenant: UUID, content: UUID, number: int) -> str:
        return {1: "p"}[number]

    delivery = Delivery(read, find, ByteCache[StoredObject](1_000_000, lambda stored: stored.size_bytes))

    async def get(request: web.Request) -> web.Response:
        address = Address("t", uuid4(), 1, request.match_info["name"])
        ceiling = request.query.get("ceiling")
        _, stored = await delivery.fetch(address, uuid4(), int(ceiling) if ceiling else None)
        return respond(request, stored)

    app = web.Application()
    app.router.add_get("/{name:.*}", get)
    return await aiohttp_client(app)


async def test_a_segment_is_immutable_ranged_and_readable_by_any_page(client) -> None:  # type: ignore[no-untyped-def]
    answer = await client.get("/video/360p/1.m4s")
    assert (answer.status, await answer.read()) == (200, OBJECTS["p/video/360p/1.m4s"])
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "video/iso.segment"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    part = await client.get("/video/360p/1.m4s", headers={"Range": "bytes=2-5"})
    assert (part.status, await part.read(), part.headers["Content-Range"]) == (206, b"\2\3\4\5", "bytes 2-5/1024")
    outside = await client.get("/video/360p/1.m4s", headers={"Range": "bytes=1024-"})
    assert (outside.status, await outside.read(), outside.headers["Content-Range"]) == (416, b"", "bytes */1024")
    known = await client.get("/video/360p/1.m4s", headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status, await known.read()) == (304, b"")


async def test_head_tells_what_get_would(client) -> None:  # type: ignore[no-untyped-def]
    get, head = await client.get("/video/360p/1.m4s"), await client.head("/video/360p/1.m4s")
    assert await head.read() == b""
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


async def test_a_playlist_is_gzipped_for_those_who_take_it_and_never_cut(client) -> None:  # type: ignore[no-untyped-def]
    client.session._auto_decompress = False
    packed = await client.get("/master.m3u8", headers={"Accept-Encoding": "br, gzip;q=0.8", "Range": "bytes=0-3"})
    assert (packed.status, packed.headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(await packed.read()) == MASTER.encode()
    plain = await client.get("/master.m3u8", headers={"Accept-Encoding": "gzip;q=0"})
    assert (await plain.read(), "Content-Encoding" in plain.headers) == (MASTER.encode(), False)
    for answer in (packed, plain):
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Accept-Ranges"] == "none"
        assert answer.headers["Cache-Control"].startswith("private")
        assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"


async def test_a_quality_ceiling_takes_variants_out_of_the_master(client) -> None:  # type: ignore[no-untyped-def]
    cut = await (await client.get("/master.m3u8?ceiling=480")).text()
    assert "360p" in cut
    assert "720p" not in cut
    assert await (await client.get("/master.m3u8")).text() == MASTER


def test_a_ceiling_below_everything_leaves_the_smallest() -> None:
    cut = below_ceiling(MASTER, 100)
    assert cut.count("#EXT-X-STREAM-INF") == 1
    assert "video/360p/playlist.m3u8" in cut


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("*", True),
        ("br", False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("GZIP;q=0.1", True),
    ],
)
def test_who_takes_gzip(header: str, takes: bool) -> None:
    assert accepts_gzip(header) is takes


async def test_a_growing_playlist_is_read_anew_and_kept_by_nobody(client) -> None:  # type: ignore[no-untyped-def]
    """A preview's playlist, RFC 8216 section 6.2.1; its segments are immutable like any other's."""
    name = "p/video/360p/event.m3u8"
    OBJECTS[name] = b"#EXTM3U\n#EXTINF:4,\n0.m4s\n"
    first = await client.get("/video/360p/event.m3u8")
    assert first.headers["Cache-Control"] == "no-store"
    again = await client.get("/video/360p/event.m3u8", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    OBJECTS[name] += b"#EXTINF:4,\n1.m4s\n"
    grown = await client.get("/video/360p/event.m3u8", headers={"If-None-Match": first.headers["ETag"]})
    assert (grown.status, await grown.read()) == (200, OBJECTS.pop(name))
    assert grown.headers["ETag"] != first.headers["ETag"]
