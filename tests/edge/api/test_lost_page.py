"""An address that is none: a person gets the page that says so, a program the refusal, both a 404."""

from __future__ import annotations

from uuid import uuid4

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from edge.api.site import PAGES
from edge.app import open_edge
from edge.settings import Settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_a_person_at_no_address_gets_a_page(edge_settings: Settings, aiohttp_client: AiohttpClient) -> None:
    client = await aiohttp_client((await open_edge(edge_settings)).app())
    known = await client.get("/account", headers=BROWSER)
    for page in PAGES:
        path = page.format(content_id=uuid4(), job_id=uuid4())
        assert (await client.get(path, headers=BROWSER)).status == 200, path
    for path in ("/nowhere", "/watch", "/studio/jobs/", "/families", "/restful"):
        answer = await client.get(path, headers=BROWSER)
        assert (answer.status, answer.content_type) == (404, "text/html"), path
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"] == known.headers["Content-Security-Policy"]
        assert await answer.read() == await known.read()


@pytest.mark.parametrize(
    ("method", "path", "accept", "status"),
    [
        ("GET", "/nowhere", "*/*", 404),
        ("GET", "/nowhere", "application/json", 404),
        ("POST", "/nowhere", BROWSER["Accept"], 404),
        ("GET", "/rest/v1/nowhere", BROWSER["Accept"], 404),
        ("GET", "/assets/nowhere.js", BROWSER["Accept"], 404),
        ("GET", "/hls/x", BROWSER["Accept"], 404),
        ("DELETE", "/account", BROWSER["Accept"], 405),
    ],
)
async def test_a_program_is_told_in_json(
    edge_settings: Settings, aiohttp_client: AiohttpClient, method: str, path: str, accept: str, status: int
) -> None:
    client = await aiohttp_client((await open_edge(edge_settings)).app())
    answer = await client.request(method, path, headers={"Accept": accept})
    assert answer.status == status
    assert (await answer.json())["code"].startswith("PS")
