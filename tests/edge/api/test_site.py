"""The built pages as files: the icon is found without a page, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.api.boundary import boundary
from edge.api.site import SiteFace

ICON = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """What a build leaves."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "favicon-DsrhrUDs.svg").write_bytes(ICON)
    (tmp_path / "index.html").write_text("<!doctype html>")
    return tmp_path


async def get(dist: Path, path: str) -> tuple[int, str, str, bytes]:
    """Status, type, caching and body of an answer."""
    app = web.Application(middlewares=[boundary])
    app.add_routes(SiteFace(dist, {}).routes())
    async with TestClient(TestServer(app)) as client, client.get(path) as answer:
        caching = answer.headers.get("Cache-Control", "")
        return answer.status, answer.content_type, caching, await answer.read()


async def test_whoever_asks_for_the_icon_at_the_root_is_given_the_sites_own(dist: Path) -> None:
    kept_for_a_day = "public, max-age=86400"
    assert await get(dist, "/favicon.ico") == (200, "image/svg+xml", kept_for_a_day, ICON)


async def test_pages_that_are_not_built_have_no_icon(dist: Path) -> None:
    next((dist / "assets").glob("*.svg")).unlink()
    status, _, _, _ = await get(dist, "/favicon.ico")
    assert status == 404
