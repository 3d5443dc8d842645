"""Conditions and forms of a request, the same at every address: If-Match, If-None-Match, codings, headers that are no UTF-8."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from core.errors import PRECONDITION_FAILED, Refusal
from edge.api.api_keys import key_of
from edge.api.conditions import check_if_match
from edge.hls.delivery import accepts_gzip
from tests.edge.api.conftest import House, refused

STRONG, WEAK = '"a"', 'W/"a"'


@pytest.mark.parametrize(
    ("asked", "etag", "passes"),
    [
        ([], STRONG, True),
        ([STRONG], STRONG, True),
        (['"b", "a"'], STRONG, True),
        (['"b"', STRONG], STRONG, True),
        (["*"], "", True),
        (["*"], WEAK, True),
        (['"b"'], STRONG, False),
        ([WEAK], WEAK, False),
        ([WEAK], STRONG, False),
        ([STRONG], "", False),
        ([""], "", False),
        ([""], STRONG, False),
    ],
)
def test_if_match_compares_strongly(asked: list[str], etag: str, passes: bool) -> None:
    request = make_mocked_request("GET", "/", headers=CIMultiDict(("If-Match", line) for line in asked))
    if passes:
        check_if_match(request, etag)
        return
    with pytest.raises(Refusal) as caught:
        check_if_match(request, etag)
    assert caught.value.code is PRECONDITION_FAILED


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("br, GZIP;q=0.1", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0, *", False),
        ("gzip; q=0.000", False),
        ("gzip;\tq=0", False),
        ("identity, *;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


async def test_no_change_is_made_on_a_state_that_nobody_can_vouch_for(house: House) -> None:
    """Its wish passed over, a client that guards against losing another's change would lose it without a word."""
    await house.cast.change("UPDATE users SET role = 'admin' WHERE id = $1", house.cast.otto)
    staff = await house.sign_in(house.cast.otto)
    row = f"/rest/v1/contents?id=eq.{house.cast.free_film}&select=title"
    read = await house.client.get(row, headers=staff)
    for told in (read.headers["ETag"], '"x"'):
        wish = {**staff, "If-Match": told}
        body = await refused(await house.client.patch(row, json={"title": "Lost"}, headers=wish), 412, "PS112")
        assert body["fields"] == [{"path": "If-Match", "why": "names another state"}]
        assert "updated_at" in body["hint"]
        await refused(await house.client.get(row, headers=wish), 412, "PS112")
    assert await (await house.client.get(row, headers=staff)).json() == [{"title": "Free"}]
    kept = await house.client.patch(row, json={"title": "Kept"}, headers={**staff, "If-Match": "*"})
    assert kept.status == 204


async def test_media_and_pages_are_given_in_the_state_that_was_asked_for_or_not_at_all(house: House) -> None:
    grant = await house.play(house.cast.free_film)
    playlist = grant["manifest_url"]
    segment = playlist.replace("master.m3u8", "video/720p/1.m4s")
    for path in (segment, playlist, "/docs", "/openapi.json", "/docs/docs.js"):
        etag = (await house.client.get(path)).headers["ETag"]
        await refused(await house.client.get(path, headers={"If-Match": '"x"', "Range": "bytes=0-1"}), 412, "PS112")
        again = await house.client.get(path, headers={"If-None-Match": f'"x", {etag.removeprefix("W/")}'})
        assert again.status == 304, path
        assert again.headers["ETag"] == etag
        # Two forms of one body never share a strong tag.
        assert etag.startswith("W/") == ("Accept-Encoding" in again.headers.get("Vary", "")), path
        assert again.headers["Access-Control-Allow-Origin"] == "*", "a shared cache may hand it on to another site"
    strong = (await house.client.get(segment)).headers["ETag"]
    part = await house.client.get(segment, headers={"If-Match": strong, "Range": "bytes=0-1"})
    assert part.status == 206


async def test_tags_may_come_in_several_lines(house: House) -> None:
    path = "/rest/v1/contents?select=id"
    etag = (await house.client.get(path)).headers["ETag"]
    lines = CIMultiDict([("If-None-Match", '"x"'), ("If-None-Match", etag)])
    assert (await house.client.get(path, headers=lines)).status == 304


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "exi", "x"])
async def test_a_body_in_a_coding_that_nobody_undoes_is_refused(house: House, coding: str) -> None:
    answer = await house.client.post(
        "/rest/v1/rpc/search_contents",
        data=b"{}",
        headers={"Content-Type": "application/json", "Content-Encoding": coding},
    )
    body = await refused(answer, 415, "PS108")
    assert "gzip" in body["hint"]


async def test_a_body_in_gzip_is_taken(house: House) -> None:
    said = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await house.client.post(
        "/rest/v1/rpc/search_contents", data=gzip.compress(b'{"query": "Free"}'), headers=said
    )
    assert answer.status == 200, await answer.text()


async def test_a_refusal_that_repeats_bytes_which_are_no_utf_8_is_json(house: House) -> None:
    answer = await asyncio.wait_for(_with_bytes(house, b"Accept: image/\xff\r\n"), 60)
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (answer.split(b" ")[1], body["code"], body["details"]) == (b"406", "PS110", "image/?")


async def _with_bytes(house: House, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(house.client.host, house.client.port)
    try:
        writer.write(b"GET /rest/v1/contents HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n" + line + b"\r\n")
        return await reader.read()
    finally:
        writer.close()


async def test_one_key_is_taken_and_not_two(house: House) -> None:
    anon = (await (await house.client.get("/config.json")).json())["anon_key"]
    one = await house.client.get("/rest/v1/contents", headers={"apikey": anon})
    assert one.status == 200
    twice = CIMultiDict([("apikey", anon), ("apikey", "x")])
    await refused(await house.client.get("/rest/v1/contents", headers=twice), 401, "PS302")
    program = CIMultiDict([("apikey", "pk_" + "a" * 43), ("apikey", anon)])
    assert key_of(make_mocked_request("GET", "/", headers=program)) is not None
    await refused(await house.client.get("/rest/v1/contents", headers=program), 401, "PS302")
