"""Tokens from outside: whatever is wrong with one, not a byte of media comes back."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from core import keys
from core.ids import DEFAULT_TENANT
from edge.local.secrets import new_key
from edge.tokens.grant import Claims, Grants
from tests.demo import CAPTIONED, SEAHORSE, TEST_CARD, VERA, Demo
from tests.e2e.paths import media_paths
from tests.web import Answer, Person, guest, raw, signed_in

pytestmark = [pytest.mark.timeout(1200)]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
async def vera(demo: Demo) -> AsyncIterator[Person]:
    """Owns every film."""
    async with signed_in(demo, VERA) as person:
        yield person


def is_refusal(answer: Answer, *statuses: int) -> bool:
    """A JSON refusal of one of these statuses: a code, and nothing that could be media."""
    assert answer.status in statuses, (answer.status, answer.body[:200])
    assert answer.headers.get("cache-control", "") in ("no-store", "private, no-store"), answer.headers
    refusal = json.loads(answer.body)
    assert refusal["code"].startswith("PS")
    assert refusal["message"]
    assert b"#EXT" not in answer.body
    assert b"moof" not in answer.body
    return True


async def test_a_grant_opens_every_object_below_it(vera: Person, demo: Demo) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    for path in await media_paths(vera, grant):
        answer = await vera.get(path)
        assert answer.status == 200, path
        assert answer.body


async def test_a_token_altered_anywhere_is_refused_on_every_object(vera: Person, demo: Demo) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    token = grant["token"]
    paths = await media_paths(vera, grant)
    for number, at in enumerate(range(0, len(token), 7)):
        other = "A" if token[at] != "A" else "B"
        altered = token[:at] + other + token[at + 1 :]
        path = paths[number % len(paths)].replace(token, altered)
        assert is_refusal(await vera.get(path), 401), at
    # The true one still opens, so it was the alteration that closed.
    assert (await vera.get(paths[0])).status == 200


async def test_a_signature_has_one_spelling(vera: Person, demo: Demo) -> None:
    """base64 leaves spare bits in its last character: another spelling of the same bytes must not pass."""
    grant = await vera.play(demo.id_of(SEAHORSE))
    token = grant["token"]
    for last in ALPHABET:
        if last != token[-1]:
            answer = await vera.get(grant["manifest_url"].replace(token, token[:-1] + last))
            assert is_refusal(answer, 401), last


@pytest.mark.parametrize("tail", ["=", "==", ".", "%00", "%20", "A", "%0d%0aX:%20y"])
async def test_a_token_with_something_added_is_refused(vera: Person, demo: Demo, tail: str) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    target = grant["manifest_url"].replace(grant["token"], grant["token"] + tail)
    assert is_refusal(await raw(demo.url, target), 400, 401, 404)


async def test_a_token_cut_short_is_refused(vera: Person, demo: Demo) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    token = grant["token"]
    for length in (1, 2, len(token) // 2, len(token) - 1):
        target = grant["manifest_url"].replace(token, token[:length])
        assert is_refusal(await raw(demo.url, target), 401), length


async def test_a_token_opens_no_other_title(vera: Person, demo: Demo) -> None:
    seahorse = await vera.play(demo.id_of(SEAHORSE))
    captioned = await vera.play(demo.id_of(CAPTIONED))
    for path in await media_paths(vera, captioned):
        answer = await vera.get(path.replace(captioned["token"], seahorse["token"]))
        assert is_refusal(answer, 403)


async def test_other_credentials_are_no_playback_tokens(vera: Person, demo: Demo) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    assert vera.access_token is not None
    for foreign in (
        vera.access_token,
        demo.anon_key,
        demo.service_key,
        "k1",
        "k1..",
        "k9.e30.AAAA",
        "eyJhbGciOiJub25lIn0.e30.",
    ):
        # What has not even a token's shape is no address of ours.
        assert is_refusal(await vera.get(grant["manifest_url"].replace(grant["token"], foreign)), 401, 404), foreign


async def test_without_a_token_there_is_nothing(vera: Person, demo: Demo) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    content, generation = grant["manifest_url"].split("/")[3:5]
    for target in (
        f"/hls/{content}/{generation}/master.m3u8",
        f"/hls//{content}/{generation}/master.m3u8",
        "/hls/",
        "/hls",
    ):
        assert is_refusal(await raw(demo.url, target), 401, 404), target


def claims_of(grant: dict[str, Any], *, expires_in_s: int, first_use_in_s: int) -> Claims:
    """Claims as the edge writes them for this grant, with times of our own."""
    now = int(time.time())
    return Claims(
        session_id=UUID(grant["session_id"]),
        tenant_id=DEFAULT_TENANT,
        content_id=UUID(grant["content_id"]),
        user_id=None,
        device=bytes(8),
        expires_at=now + expires_in_s,
        first_use_by=now + first_use_in_s,
        duration_ms=40_000,
    )


async def test_a_token_signed_with_another_key_is_refused(vera: Person, demo: Demo) -> None:
    """Formed like ours in every respect, with the same key id, by somebody who lacks the key."""
    grant = await vera.play(demo.id_of(SEAHORSE))
    stranger = Grants(keys.parse_ring(new_key("k1")))
    forged = stranger.issue(claims_of(grant, expires_in_s=3600, first_use_in_s=300))
    assert is_refusal(await vera.get(grant["manifest_url"].replace(grant["token"], forged)), 401)


async def test_an_expired_token_is_gone(vera: Person, demo: Demo) -> None:
    """Signed with the installation's own key, a second too old."""
    grant = await vera.play(demo.id_of(SEAHORSE))
    ring = json.loads((demo.data / "secrets.json").read_bytes())["keys"]
    expired = Grants(keys.parse_ring(ring)).issue(claims_of(grant, expires_in_s=-60, first_use_in_s=-120))
    for path in await media_paths(vera, grant):
        assert is_refusal(await vera.get(path.replace(grant["token"], expired)), 410)


@pytest.mark.rule("streaming-012")
async def test_a_guest_plays_what_is_free_and_nothing_else(demo: Demo) -> None:
    async with guest(demo) as nobody:
        grant = await nobody.play(demo.id_of(TEST_CARD))
        assert (await nobody.get(grant["manifest_url"])).status == 200
        status, refusal = await nobody.call("POST", f"/play/{demo.id_of(SEAHORSE)}", json={})
        assert status == 401
        assert refusal["code"] == "PS301"


async def test_a_paid_title_of_somebody_else_is_refused_with_a_reason(demo: Demo) -> None:
    async with signed_in(demo, "otto@example.com") as otto:
        status, refusal = await otto.call("POST", f"/play/{demo.id_of(CAPTIONED)}", json={})
    assert status == 403
    assert refusal["reason"] == "not_entitled"


async def test_an_unknown_title_is_not_found(vera: Person) -> None:
    status, refusal = await vera.call("POST", "/play/01a1fa13-0000-7000-8000-000000000000", json={})
    assert (status, refusal["code"]) == (404, "PS405")
    status, refusal = await vera.call("POST", "/play/not-an-id", json={})
    assert (status, refusal["code"]) == (400, "PS107")


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2f..%2f..%2fetc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "../../../../etc/passwd",
        "..;/master.m3u8",
        "%00master.m3u8",
        "master.m3u8%00.png",
        "//etc/passwd",
        ";master.m3u8",
        "master.m3u8;x=y",
        "master.m3u8/",
        "./master.m3u8",
        "%252e%252e%252fmaster.m3u8",
        "..\\..\\secrets.json",
        "%c0%ae%c0%ae/master.m3u8",
        "a" * 4000,
        "x/" * 500 + "y",
        "",
        "generation.json",
        "%6daster.m3u8%2f..",
    ],
)
async def test_a_path_leads_nowhere_but_to_a_published_object(vera: Person, demo: Demo, path: str) -> None:
    grant = await vera.play(demo.id_of(SEAHORSE))
    base = grant["manifest_url"].rsplit("/", 1)[0]
    answer = await raw(demo.url, f"{base}/{path}")
    assert answer.status in (400, 404, 414), (path, answer.status)
    assert b"root:" not in answer.body
    assert b"#EXTM3U" not in answer.body


async def test_a_path_cannot_climb_into_another_title(vera: Person, demo: Demo) -> None:
    seahorse = await vera.play(demo.id_of(SEAHORSE))
    captioned = await vera.play(demo.id_of(CAPTIONED))
    base = seahorse["manifest_url"].rsplit("/", 1)[0]
    content, generation = captioned["manifest_url"].split("/")[3:5]
    for climb in (f"../../{content}/{generation}/master.m3u8", f"..%2f..%2f{content}%2f{generation}%2fmaster.m3u8"):
        answer = await raw(demo.url, f"{base}/{climb}")
        assert answer.status in (400, 403, 404), answer.status
        assert b"#EXTM3U" not in answer.body
