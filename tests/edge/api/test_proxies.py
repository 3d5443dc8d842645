"""X-Forwarded-For: believed from trusted proxies, never past the first hop that is none."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from core.settings import SettingsError, read_settings
from edge.api.proxies import behind, client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # anybody may write the header
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what the client itself claimed
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),  # lines add up
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # all trusted: the farthest
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, evil, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_whose_request_it_is(peer: str | None, forwarded: list[str], client: str | None) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


@given(st.lists(st.text(max_size=200), max_size=5))
def test_any_text_gives_an_address_or_the_peer(lines: list[str]) -> None:
    assert client_address("203.0.113.9", lines, TRUSTED) == "203.0.113.9"
    found = client_address("10.0.0.1", lines, TRUSTED)
    assert found is not None
    assert client_address(found, [], TRUSTED) == found


def test_a_flood_of_hops_is_bounded() -> None:
    assert client_address("10.0.0.1", ["10.0.0.2, " * 100_000 + "10.0.0.3"], TRUSTED) == "10.0.0.2"


@pytest.mark.parametrize("trusts", [True, False])
async def test_handlers_see_the_client(trusts: bool) -> None:
    async def whoami(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.remote} {await request.text()}")

    app = web.Application(middlewares=[behind(TRUSTED[: 2 if trusts else 1])])
    app.router.add_post("/", whoami)
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/", headers={"X-Forwarded-For": "198.51.100.1"}, data="body")
        assert await answer.text() == ("198.51.100.1 body" if trusts else "127.0.0.1 body")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PENSTOCK_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PENSTOCK_TRUSTED_PROXIES", "nginx"),
        ("PENSTOCK_BIND_IP", "hard"),
        ("PENSTOCK_ACCEL", "store"),
        ("PENSTOCK_ACCEL", "/a/../b"),
        ("PENSTOCK_DISK_CACHE_MB", "-1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({variable: text})
    assert refused.value.variable == variable


def test_redirects_to_files_need_files() -> None:
    with pytest.raises(SettingsError, match="file store"):
        read_settings({"PENSTOCK_ACCEL": "/x", "PENSTOCK_STORE_URL": "s3://bucket"})
