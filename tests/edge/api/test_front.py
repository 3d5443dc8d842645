"""What every answer has in common: ids, headers, origins, health; and what no answer contains."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import orjson
import pytest

from edge.api.access_keys import AccessKeys
from edge.api.arriving import LARGEST_BYTES, LARGEST_ROWS_BYTES
from tests.edge.api.conftest import RING, House, refused


async def test_every_answer_has_an_id_and_no_signature(house: House) -> None:
    for path, status in (("/healthz", 200), ("/nothing", 404), ("/rest/v1/nothing", 404), ("/play/x", 405)):
        answer = await house.client.get(path)
        assert answer.status == status
        assert answer.headers["X-Request-Id"]
        assert "Server" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = await house.client.get("/healthz", headers={"X-Request-Id": "abcdef-123456"})
    assert kept.headers["X-Request-Id"] == "abcdef-123456"
    forged = await house.client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert forged.headers["X-Request-Id"] != "a b"


async def test_other_origins_may_call_and_are_never_trusted_with_credentials(house: House) -> None:
    preflight = await house.client.options(
        "/progress",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    answer = await house.client.get("/rest/v1/contents?limit=1", headers={"Origin": "https://shop.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for said in (preflight, answer):
        assert "Access-Control-Allow-Credentials" not in said.headers


@pytest.mark.parametrize(
    "path",
    [
        "/hls/..%2f..%2fetc/passwd",
        "/storage/v1/object/public/..%2f..%2fetc%2fpasswd",
        "/assets/..%2f..%2fpyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/watch/../../etc/passwd%00",
    ],
)
async def test_tricks_with_paths_find_nothing(house: House, path: str) -> None:
    from yarl import URL

    answer = await house.client.get(URL(path, encoded=True))
    assert answer.status in (200, 400, 404)
    assert "root:" not in (text := await answer.text())
    assert "hatchling" not in text


async def test_readiness_names_what_is_missing_and_liveness_needs_nobody(house: House) -> None:
    ready = await (await house.client.get("/readyz")).json()
    assert ready == {"ready": True, "missing": [], "draining": False}
    await house.edge.database.close()
    async with asyncio.timeout(60):
        while (answer := await house.client.get("/readyz")).status == 200:
            await asyncio.sleep(0)
    assert "database" in (await answer.json())["missing"]
    assert (await house.client.get("/healthz")).status == 200
    body = await refused(await house.client.get("/rest/v1/contents"), 503, "PS902")
    assert int(answer.headers.get("Retry-After", "1")) >= 1
    assert "Traceback" not in str(body)


async def test_a_failure_of_ours_gives_its_id_and_nothing_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(*_: object) -> None:
        raise RuntimeError("secret path /etc/shadow")

    monkeypatch.setattr(house.edge.gate, "viewer", explode)
    app_face = await house.client.post(f"/play/{house.cast.free_film}")
    body = await refused(app_face, 500, "PS901")
    assert body["request_id"] == app_face.headers["X-Request-Id"]
    assert "secret" not in str(body)


async def test_metrics_have_bounded_labels_and_no_token(house: House) -> None:
    grant = await house.play(house.cast.free_film)
    await house.client.get(grant["manifest_url"])
    for path in ("/a", "/b/c", "/hls/x/y"):
        await house.client.get(path)
    text = await (await house.client.get("/metrics")).text()
    assert 'penstock_requests_total{area="hls"' in text
    assert grant["token"] not in text
    assert 'area="/b' not in text
    assert 'area="page"' in text


async def test_a_poster_is_public_and_another_file_is_not(house: House) -> None:
    await house.cast.change(
        """WITH f AS (INSERT INTO files (tenant_id, name, size, mime_type, extension, checksum)
             VALUES ('00000000-0000-7000-8000-000000000001', 'poster.jpg', 3, 'image/jpeg', 'jpg', 'sha256:' || repeat('0', 64)) RETURNING id),
           s AS (INSERT INTO storage (file_id, storage_provider, storage_key) SELECT id, 'file', 'posters/one.jpg' FROM f)
           UPDATE contents SET thumbnail_image_id = (SELECT id FROM f) WHERE title = 'Free'"""
    )
    await house.objects.put("posters/one.jpg", b"jpg")
    (film,) = await (await house.client.get("/rest/v1/contents?title=eq.Free&select=thumbnail_image_id")).json()
    picture = await house.client.get(f"/storage/v1/object/public/{film['thumbnail_image_id']}")
    assert (picture.status, await picture.read(), picture.headers["Content-Type"]) == (200, b"jpg", "image/jpeg")
    assert "immutable" in picture.headers["Cache-Control"]
    await refused(await house.client.get(f"/storage/v1/object/public/{house.cast.free_film}"), 404, "PS105")


async def _in_parts(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_a_table_takes_a_thousand_rows_of_a_megabyte_and_nobody_else_so_much(house: House) -> None:
    staff = {"Authorization": f"Bearer {AccessKeys(RING).service_key()}", "Content-Type": "application/json"}

    def rows(part: str) -> bytes:
        return orjson.dumps(
            [{"title": f"{part} {n}", "slug": f"{part}-{n}", "description": "x" * 960} for n in range(1000)]
        )

    whole = rows("whole")
    assert LARGEST_BYTES < len(whole) <= LARGEST_ROWS_BYTES
    for body in (io.BytesIO(whole), _in_parts(rows("parts"))):
        made = await house.client.post("/rest/v1/genres", data=body, headers={**staff, "Prefer": "count=exact"})
        assert (made.status, made.headers["Content-Range"]) == (201, "*/1000"), await made.text()
    for address, largest in (
        ("/rest/v1/genres", LARGEST_ROWS_BYTES),
        ("/rest/v1/rpc/search_contents", LARGEST_BYTES),
        ("/progress", LARGEST_BYTES),
        ("/auth/v1/signup", LARGEST_BYTES),
    ):
        for body in (io.BytesIO(b" " * (largest + 1)), _in_parts(b" " * (largest + 1))):
            await refused(await house.client.post(address, data=body, headers=staff), 413, "PS103")
