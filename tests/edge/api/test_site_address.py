"""PENSTOCK_SITE_URL: where a browser is sent after it proved something, whatever the request says of its host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from edge.app import open_edge
from edge.settings import Settings, read_settings

SITE = "https://film.example"


def test_an_address_that_was_given_is_told_from_one_that_was_made() -> None:
    named, made = read_settings({"PENSTOCK_SITE_URL": SITE}), read_settings({})
    assert (named.site_url, named.site_is_named, made.site_is_named) == (SITE, True, False)


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_browser_is_sent_within_the_site_that_is_named(
    edge_settings: Settings, aiohttp_client: AiohttpClient, is_named: bool
) -> None:
    edge = await open_edge(replace(edge_settings, site_url=SITE, site_is_named=is_named))
    client = await aiohttp_client(edge.app())
    query = {"type": "signup", "token": "x" * 43, "redirect_to": f"{SITE}/watch"}
    answer = await client.get("/auth/v1/verify", params=query, allow_redirects=False)
    if is_named:
        assert answer.status in (302, 303)
        assert answer.headers["Location"].startswith(f"{SITE}/watch")
    else:
        assert (answer.status, (await answer.json())["fields"][0]["path"]) == (400, "redirect_to")
