"""Uploads as tus clients make them: in pieces, interrupted, wrong, and by the wrong people."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.database import dedicated
from core.ids import DEFAULT_TENANT, uuid7
from edge.api.partial import LIFE_S, Note, Partials
from edge.api.tus import Checksum
from tests.edge.api.conftest import House, refused

BASE = "/storage/v1/upload/resumable"
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
FILM = bytes(range(256)) * 2000


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


@pytest.fixture
async def staff(house: House) -> dict[str, str]:
    """Otto, promoted."""
    await house.cast.change("UPDATE users SET role = 'admin' WHERE id = $1", house.cast.otto)
    return await house.sign_in(house.cast.otto)


async def begin(house: House, staff: dict[str, str], **values: str) -> str:
    said = {"filename": "film.mp4", "title": "A film", **values}
    response = await house.client.post(
        BASE, headers={**TUS, **staff, "Upload-Length": str(len(FILM)), "Upload-Metadata": metadata(**said)}
    )
    assert response.status == 201
    return response.headers["Location"]


async def send(house: House, staff: dict[str, str], at: str, offset: int, data: bytes, **headers: str) -> Any:
    return await house.client.patch(at, data=data, headers={**CHUNK, **staff, "Upload-Offset": str(offset), **headers})


@pytest.mark.rule("streaming-062")
async def test_a_film_in_pieces_becomes_a_title_with_a_job_and_its_checksum(
    house: House, staff: dict[str, str]
) -> None:
    at = await begin(house, staff, is_free="true")
    half = len(FILM) // 2
    assert (await send(house, staff, at, 0, FILM[:half])).headers["Upload-Offset"] == str(half)
    head = await house.client.head(at, headers={**TUS, **staff})
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(half), str(len(FILM)))
    assert (await send(house, staff, at, half, FILM[half:])).status == 204
    file_id = at.rpartition("/")[2]
    jobs = await (
        await house.client.get(
            f"/rest/v1/transcode_jobs?file_id=eq.{file_id}&select=state,progress,contents(title,is_free)", headers=staff
        )
    ).json()
    assert jobs == [{"state": "queued", "progress": 0.0, "contents": {"title": "A film", "is_free": True}}]
    connection = await dedicated(house.cast.admin_url)
    try:
        row = await connection.fetchrow("SELECT checksum, size, name FROM files WHERE id = $1", file_id)
        assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 1
    finally:
        await connection.close()
    assert tuple(row) == (f"sha256:{hashlib.sha256(FILM).hexdigest()}", len(FILM), "film.mp4")
    assert await house.objects.get(f"files/{file_id}/source") == FILM


async def test_who_has_not_seen_the_last_answer_learns_that_all_is_there(house: House, staff: dict[str, str]) -> None:
    """Told that there is no such upload, a client would send the whole film again, and there would be two."""
    at = await begin(house, staff)
    assert (await send(house, staff, at, 0, FILM)).status == 204
    head = await house.client.head(at, headers={**TUS, **staff})
    assert (head.status, head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (200, *[str(len(FILM))] * 2)
    again = await send(house, staff, at, len(FILM), b"")
    assert (again.status, again.headers["Upload-Offset"]) == (204, str(len(FILM)))
    assert (await refused(await send(house, staff, at, 0, FILM), 409, "PS612"))["offset"] == len(FILM)
    await refused(await house.client.delete(at, headers={**TUS, **staff}), 410, "PS613")
    jobs = await house.client.get("/rest/v1/transcode_jobs?select=id", headers=staff)
    assert len(await jobs.json()) == 1
    assert [path.suffix for path in house.edge.settings.uploads.iterdir()] == [".done"]
    assert house.edge.partials.promised_bytes(DEFAULT_TENANT, 0) == 0
    assert house.edge.partials.sweep(time.time() + 3 * LIFE_S) == 1
    assert (await house.client.head(at, headers={**TUS, **staff})).status == 410


@pytest.mark.parametrize("end", [ConnectionResetError, asyncio.CancelledError])
@pytest.mark.parametrize(("checked", "kept"), [(False, 1000), (True, 0)])
async def test_what_came_before_the_client_left_is_kept_unless_a_checksum_was_to_vouch_for_it(
    tmp_path: Path, checked: bool, kept: int, end: type[BaseException]
) -> None:
    """aiohttp tells a handler that the client has left by an OSError: it is not the disk's."""
    partials = Partials(tmp_path)
    film = Note(uuid7(), len(FILM), None, DEFAULT_TENANT, "a.mp4", "A", "MOVIE", None, True, None, 2e9)
    partials.create(film)

    async def chunks() -> AsyncIterator[bytes]:
        yield FILM[:600]
        yield FILM[600:1000]
        raise end

    with pytest.raises(end):
        await partials.append(film, 0, chunks(), Checksum("sha1", b"") if checked else None)
    assert partials.offset(film) == kept
    assert partials.path(film.id).read_bytes() == FILM[:kept]


async def test_every_answer_says_which_tus_it_speaks(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    for answer in (
        await house.client.post(BASE, headers={**TUS, "Upload-Length": "5"}),
        await send(house, staff, at, 5, b"x"),
        await house.client.get(at, headers=staff),
        await house.client.head(f"{BASE}/x", headers={**TUS, **staff}),
    ):
        assert answer.status >= 400
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    old = await house.client.head(at, headers={**staff, "Tus-Resumable": "0.2.2"})
    assert (old.status, old.headers["Tus-Version"]) == (412, "1.0.0")
    elsewhere = await house.client.get("/healthz")
    assert "Tus-Resumable" not in elsewhere.headers


async def test_metadata_comes_back_as_it_was_given(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff, title="Überall")
    head = await house.client.head(at, headers={**TUS, **staff})
    assert head.headers["Upload-Metadata"] == metadata(filename="film.mp4", title="Überall")


async def test_a_post_may_stand_for_another_method(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    sent = await house.client.post(
        at, data=FILM[:100], headers={**CHUNK, **staff, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    )
    assert (sent.status, sent.headers["Upload-Offset"]) == (204, "100")
    head = await house.client.post(at, headers={**TUS, **staff, "X-HTTP-Method-Override": "HEAD"})
    assert (head.status, head.headers["Upload-Offset"]) == (200, "100")
    for named in ("PUT", "patch"):
        told = await house.client.post(at, headers={**TUS, **staff, "X-HTTP-Method-Override": named})
        await refused(told, 405, "PS106")
    plain = await house.client.post(at, headers={**TUS, **staff})
    assert plain.headers["Allow"] == "DELETE, HEAD, OPTIONS, PATCH"
    gone = await house.client.post(at, headers={**TUS, **staff, "X-HTTP-Method-Override": "DELETE"})
    assert gone.status == 204
    assert (await house.client.head(at, headers={**TUS, **staff})).status == 410


async def test_another_offset_is_refused_and_changes_nothing(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    await send(house, staff, at, 0, FILM[:1000])
    body = await refused(await send(house, staff, at, 500, FILM[500:600]), 409, "PS612")
    assert body["offset"] == 1000
    body = await refused(await send(house, staff, at, 1000, FILM), 422, "PS102")
    head = await house.client.head(at, headers={**TUS, **staff})
    assert head.headers["Upload-Offset"] == "1000"


async def test_a_chunk_with_the_wrong_checksum_is_not_kept(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    right = base64.b64encode(hashlib.sha256(FILM[:100]).digest()).decode()
    await refused(await send(house, staff, at, 0, FILM[:99], **{"Upload-Checksum": f"sha256 {right}"}), 460, "PS981")
    assert (await send(house, staff, at, 0, FILM[:100], **{"Upload-Checksum": f"sha256 {right}"})).status == 204
    await refused(await send(house, staff, at, 100, b"x", **{"Upload-Checksum": "crc32 AAAA"}), 400, "PS109")
    for odd in ("sha256 ü", "sha256 #"):
        await refused(await send(house, staff, at, 100, b"x", **{"Upload-Checksum": odd}), 422, "PS102")


async def test_giving_up_removes_it(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    assert (await house.client.delete(at, headers={**TUS, **staff})).status == 204
    assert (await house.client.head(at, headers={**TUS, **staff})).status == 410
    assert list(house.edge.settings.uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Upload-Length": "x"}, 400, "PS109"),
        ({"Upload-Length": "-1"}, 400, "PS109"),
        ({}, 400, "PS109"),
        ({"Upload-Length": "0"}, 422, "PS102"),
        ({"Upload-Length": str(65 * 1024**3)}, 413, "PS103"),
        ({"Upload-Length": "5", "Upload-Metadata": "title ###"}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": "title YQ==,title YQ=="}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": "title Ärger"}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": "tïtle YQ=="}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": "title /w=="}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(title="a\0b")}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(title="a", description="a\0b")}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(title="a", language="e\0")}, 422, "PS102"),
        ({"Upload-Length": str(2**63)}, 400, "PS109"),
        ({"Upload-Length": "²"}, 400, "PS109"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(title="x", content_type="NOVEL")}, 422, "PS102"),
        ({"Upload-Length": "5", "Upload-Metadata": metadata(title="x" * 301)}, 422, "PS102"),
    ],
)
async def test_a_bad_beginning_is_refused(
    house: House, staff: dict[str, str], headers: dict[str, str], status: int, code: str
) -> None:
    await refused(await house.client.post(BASE, headers={**TUS, **staff, **headers}), status, code)


async def test_a_path_for_a_name_is_made_harmless(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff, filename="../../etc/passwd\x00.mp4")
    await send(house, staff, at, 0, FILM)
    connection = await dedicated(house.cast.admin_url)
    try:
        assert (
            await connection.fetchval("SELECT name FROM files WHERE id = $1", at.rpartition("/")[2])
            == ".._.._etc_passwd_.mp4"
        )
    finally:
        await connection.close()


async def test_only_staff_uploads_and_only_to_their_own(house: House, staff: dict[str, str]) -> None:
    at = await begin(house, staff)
    vera = await house.sign_in(house.cast.vera)
    await refused(await house.client.post(BASE, headers={**TUS, "Upload-Length": "5"}), 401, "PS301")
    await refused(await house.client.post(BASE, headers={**TUS, **vera, "Upload-Length": "5"}), 403, "PS304")
    await house.cast.change("UPDATE users SET role = 'admin' WHERE id = $1", house.cast.vera)
    other = await house.sign_in(house.cast.vera)
    await refused(await send(house, other, at, 0, FILM), 403, "PS304")


async def test_another_version_of_tus_is_refused(house: House, staff: dict[str, str]) -> None:
    body = await refused(await house.client.post(BASE, headers={**staff, "Upload-Length": "5"}), 412, "PS112")
    assert body["supported"] == ["1.0.0"]
    said = await house.client.options(BASE)
    assert (said.status, said.headers["Tus-Version"]) == (204, "1.0.0")


# -------------------------------------------------------------------------------------------------------------- subtitles

SRT = b"1\n00:00:00,500 --> 00:00:02,000\nHello\n"


async def a_title(house: House, staff: dict[str, str]) -> str:
    """A film that is there already."""
    at = await begin(house, staff)
    assert (await send(house, staff, at, 0, FILM)).status == 204
    file_id = at.rpartition("/")[2]
    found = await house.client.get(f"/rest/v1/transcode_jobs?file_id=eq.{file_id}&select=content_id", headers=staff)
    return str((await found.json())[0]["content_id"])


async def begin_text(house: House, staff: dict[str, str], data: bytes = SRT, **values: str) -> Any:
    told = {**TUS, **staff, "Upload-Length": str(len(data)), "Upload-Metadata": metadata(**values)}
    return await house.client.post(BASE, headers=told)


async def tracks(house: House, staff: dict[str, str], content_id: str) -> list[dict[str, Any]]:
    columns = "file_id,kind,language,label,is_default"
    found = await house.client.get(f"/rest/v1/text_tracks?content_id=eq.{content_id}&select={columns}", headers=staff)
    rows: list[dict[str, Any]] = await found.json()
    return rows


async def test_subtitles_are_uploaded_beside_their_film_and_may_be_replaced(
    house: House, staff: dict[str, str]
) -> None:
    content_id = await a_title(house, staff)
    files = []
    for default in ("true", "false"):
        said = {"subtitles_of": content_id, "language": "de", "label": "Deutsch", "is_default": default}
        at = (await begin_text(house, staff, filename="words.srt", **said)).headers["Location"]
        assert (await send(house, staff, at, 0, SRT)).status == 204
        files.append(at.rpartition("/")[2])
        row = {"file_id": files[-1], "kind": "subtitles", "language": "de", "label": "Deutsch"}
        assert await tracks(house, staff, content_id) == [{**row, "is_default": default == "true"}]
    assert await house.objects.get(f"files/{files[1]}/source") == SRT
    connection = await dedicated(house.cast.admin_url)
    try:
        gone = await connection.fetchval("SELECT is_deleted FROM files WHERE id = $1", files[0])
        jobs = await connection.fetchval("SELECT count(*) FROM transcode_jobs")
    finally:
        await connection.close()
    assert gone
    assert jobs == 1  # the film's own


async def test_only_one_track_is_shown_unasked(house: House, staff: dict[str, str]) -> None:
    content_id = await a_title(house, staff)
    for language in ("de", "fr"):
        said = {"subtitles_of": content_id, "language": language, "is_default": "true", "kind": "captions"}
        at = (await begin_text(house, staff, **said)).headers["Location"]
        assert (await send(house, staff, at, 0, SRT)).status == 204
    found = {row["language"]: row for row in await tracks(house, staff, content_id)}
    assert {language: row["is_default"] for language, row in found.items()} == {"de": False, "fr": True}
    assert found["fr"]["label"] == "fr"


async def test_a_file_without_words_is_refused_and_leaves_nothing(house: House, staff: dict[str, str]) -> None:
    content_id = await a_title(house, staff)
    data = b"%PDF-1.7 no words"
    at = (await begin_text(house, staff, data, subtitles_of=content_id, language="de")).headers["Location"]
    await refused(await send(house, staff, at, 0, data), 422, "PS950")
    assert await tracks(house, staff, content_id) == []
    assert [path for path in house.edge.settings.uploads.iterdir() if path.suffix != ".done"] == []
    assert not [key async for key in house.objects.keys(f"files/{at.rpartition('/')[2]}")]


@pytest.mark.parametrize(
    ("values", "length", "status", "code"),
    [
        ({"language": "no such tongue"}, 5, 422, "PS102"),
        ({}, 5, 422, "PS102"),
        ({"language": "de", "label": 'a"b'}, 5, 422, "PS102"),
        ({"language": "de", "label": "x" * 101}, 5, 422, "PS102"),
        ({"language": "de", "kind": "karaoke"}, 5, 422, "PS102"),
        ({"language": "de"}, 5 << 20, 413, "PS103"),
        ({"language": "de", "subtitles_of": "nothing"}, 5, 400, "PS107"),
        ({"language": "de", "subtitles_of": "0198a000-0000-7000-8000-000000000000"}, 5, 404, "PS405"),
    ],
)
async def test_subtitles_of_nothing_or_badly_named_are_refused(
    house: House, staff: dict[str, str], values: dict[str, str], length: int, status: int, code: str
) -> None:
    said = {"subtitles_of": await a_title(house, staff), **values}
    told = {**TUS, **staff, "Upload-Length": str(length), "Upload-Metadata": metadata(**said)}
    await refused(await house.client.post(BASE, headers=told), status, code)


async def test_subtitles_of_sound_alone_are_refused(house: House, staff: dict[str, str]) -> None:
    content_id = await a_title(house, staff)
    await house.cast.change(
        """WITH made AS (
               INSERT INTO generations (content_id, number, state, store_prefix, duration_ms, has_audio, published_at)
               VALUES ($1::uuid, 1, 'published', 'hls/' || $1::text || '/1-1', 60000, true, now()) RETURNING id)
           UPDATE contents SET generation_id = made.id FROM made WHERE contents.id = $1::uuid""",
        content_id,
    )
    said = await refused(await begin_text(house, staff, subtitles_of=content_id, language="de"), 422, "PS102")
    assert [fault["path"] for fault in said["fields"]] == ["subtitles_of"]


# ------------------------------------------------------------------------------------------------------------------ quota


async def may_hold(house: House, most: int) -> None:
    await house.cast.change(
        "INSERT INTO tenant_quotas (tenant_id, max_bytes) SELECT id, $1 FROM tenants WHERE slug = 'default'"
        " ON CONFLICT (tenant_id) DO UPDATE SET max_bytes = excluded.max_bytes",
        most,
    )


async def ask_for(house: House, staff: dict[str, str], length: int) -> Any:
    told = {**TUS, **staff, "Upload-Length": str(length), "Upload-Metadata": metadata(title="Another")}
    return await house.client.post(BASE, headers=told)


async def test_what_is_beyond_the_quota_is_refused_before_a_byte_is_sent(house: House, staff: dict[str, str]) -> None:
    await may_hold(house, 10**6)
    body = await refused(await ask_for(house, staff, 10**6 + 1), 413, "PS920")
    assert body["room_bytes"] == 10**6 - body["held_bytes"]
    assert list(house.edge.settings.uploads.glob("*")) == []
    assert (await ask_for(house, staff, body["room_bytes"])).status == 201
    # What has been promised to one upload is not promised to another.
    await refused(await ask_for(house, staff, 1), 413, "PS920")


async def test_room_that_is_given_up_is_free_again(house: House, staff: dict[str, str]) -> None:
    await may_hold(house, len(FILM))
    at = await begin(house, staff)
    await refused(await ask_for(house, staff, 1), 413, "PS920")
    await house.client.delete(at, headers={**TUS, **staff})
    assert (await ask_for(house, staff, len(FILM))).status == 201


async def test_a_quota_lowered_meanwhile_stops_the_last_byte_and_makes_no_title(
    house: House, staff: dict[str, str]
) -> None:
    at = await begin(house, staff)
    await may_hold(house, len(FILM) - 1)
    await refused(await send(house, staff, at, 0, FILM), 413, "PS920")
    titles = await house.client.get("/rest/v1/contents?title=eq.A film&select=id", headers=staff)
    assert await titles.json() == []
    await may_hold(house, len(FILM))
    # Nothing has to be sent again.
    assert (await send(house, staff, at, len(FILM), b"")).status == 204


async def test_what_was_taken_counts(house: House, staff: dict[str, str]) -> None:
    await may_hold(house, len(FILM) + 10)
    assert (await send(house, staff, await begin(house, staff), 0, FILM)).status == 204
    body = await refused(await ask_for(house, staff, 11), 413, "PS920")
    assert body["held_bytes"] == len(FILM)
    assert (await ask_for(house, staff, 10)).status == 201
