"""X-Forwarded-For: believed from trusted proxies, never past the first hop that is none."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from core.variables import SettingsError
from edge.api.proxies import COUNTRY, behind, client_address, client_country
from edge.settings import read_settings

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
        ("PENSTOCK_BIND_COUNTRY", "hard"),
        ("PENSTOCK_COUNTRY_HEADER", "CF IPCountry"),
        ("PENSTOCK_COUNTRY_HEADER", "X:"),
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


@pytest.mark.parametrize("missing", ["PENSTOCK_COUNTRY_HEADER", "PENSTOCK_TRUSTED_PROXIES"])
def test_a_country_needs_somebody_trusted_to_say_it(missing: str) -> None:
    whole = {
        "PENSTOCK_BIND_COUNTRY": "soft",
        "PENSTOCK_COUNTRY_HEADER": "CF-IPCountry",
        "PENSTOCK_TRUSTED_PROXIES": "10.0.0.0/8",
    }
    assert read_settings(whole).country_header == "CF-IPCountry"
    assert read_settings({**whole, "PENSTOCK_BIND_COUNTRY": "off"}).country_header is None
    with pytest.raises(SettingsError, match=missing):
        read_settings({**whole, missing: ""})


@pytest.mark.parametrize(
    ("peer", "said", "country"),
    [
        ("10.0.0.1", ["DE"], "DE"),
        ("203.0.113.9", ["DE"], None),  # anybody may write the header
        ("10.0.0.1", [], None),
        ("10.0.0.1", ["DE", "FR"], None),  # somebody's besides the proxy's
        ("10.0.0.1", ["XX"], None),
        ("10.0.0.1", ["<script>"], None),
        (None, ["DE"], None),
    ],
)
def test_whose_country_it_is(peer: str | None, said: list[str], country: str | None) -> None:
    assert client_country(peer, said, TRUSTED) == country


@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "198.51.100.1"}])
async def test_handlers_see_the_country(forwarded: dict[str, str]) -> None:
    async def where(request: web.Request) -> web.Response:
        return web.Response(text=str(request.get(COUNTRY)))

    for trusted, header, seen in (
        (TRUSTED, "CF-IPCountry", "DE"),
        (TRUSTED[:1], "CF-IPCountry", "None"),
        (TRUSTED, None, "None"),
    ):
        app = web.Application(middlewares=[behind(trusted, header)])
        app.router.add_get("/", where)
        async with TestClient(TestServer(app)) as client:
            answer = await client.get("/", headers={"CF-IPCountry": "de", **forwarded})
            assert await answer.text() == seen
