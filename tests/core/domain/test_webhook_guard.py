"""No webhook reaches into a network of ours: by address, by name, by an odd spelling, by a name that changes its mind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from core.domain.webhook_guard import Guard, NotAllowed, is_public

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:93.184.216.34",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450::1"]
OWN = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_the_internet_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(NotAllowed):
        Guard().check_address(text, 443)
    host = f"[{text}]" if ":" in text else text
    assert Guard(http=True).check_url(f"http://{host}/") == "is not a public address"


@pytest.mark.parametrize("text", PUBLIC)
def test_the_internet_is_open_at_the_ports_of_web_servers(text: str) -> None:
    Guard().check_address(text, 443)
    with pytest.raises(NotAllowed, match="port 25"):
        Guard().check_address(text, 25)
    with pytest.raises(NotAllowed, match="port 6379"):
        Guard(OWN).check_address(text, 6379)


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_refused_whatever_it_carries(address: IPv4Address) -> None:
    number = int(address)
    for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
        assert not is_public(IPv6Address(int(IPv6Address(prefix)) | number))
    assert not is_public(IPv6Address(int(IPv6Address("2002::")) | number << 80))


@given(st.ip_addresses())
def test_only_what_python_calls_global_is_public(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


def test_networks_of_ones_own_are_open_at_any_port() -> None:
    guard = Guard(OWN)
    for host, port in (("127.0.0.1", 25), ("::ffff:127.0.0.1", 9), ("fd00::1", 8000)):
        guard.check_address(host, port)
    with pytest.raises(NotAllowed):
        guard.check_address("10.0.0.1", 443)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https:///path", "names no host"),
        ("https://user:secret@example.com/", "must not hold a user or password"),
        ("https://example.com/#part", "must not have a fragment"),
        ("https://example.com:22/", "must use one of the ports"),
        ("https://example.com:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://exa mple.com/", "must be visible ASCII"),
        ("https://example.com\\@127.0.0.1/", "names no host"),
        ("https://ex\u00e4mple.com/", "must be visible ASCII"),
        ("https://example.com/" + "x" * 2000, "must not be longer"),
        ("https://[fe80::1%25eth0]/", "is not a public address"),
    ],
)
def test_an_address_that_is_wrong_on_its_face_is_refused(url: str, wrong: str) -> None:
    said = Guard().check_url(url)
    assert said is not None
    assert said.startswith(wrong)


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://example.com:8443/a?b=c", "https://xn--exmple-cua.com/"]
)
def test_a_plain_https_address_is_taken(url: str) -> None:
    assert Guard().check_url(url) is None


@given(st.text(max_size=60))
def test_no_text_upsets_the_check(text: str) -> None:
    Guard().check_url(text)
    Guard(OWN, http=True).check_url("http://" + text)


class Liar(AbstractResolver):
    """Answers with the next address each time it is asked, as a rebinding name server does."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        family = socket.AF_INET6 if ":" in answer else socket.AF_INET
        return [ResolveResult(hostname=host, host=answer, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        return


@asynccontextmanager
async def knocked() -> AsyncIterator[tuple[int, list[Any]]]:
    """A server on the loopback, and who has come."""
    came: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came


async def send(guard: Guard, url: str, resolver: AbstractResolver | None = None) -> int | Exception:
    connector = aiohttp.TCPConnector(socket_factory=guard.make_socket, resolver=resolver, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as client:
        try:
            async with client.post(url, allow_redirects=False) as response:
                return response.status
        except aiohttp.ClientConnectorError as error:
            return error.os_error
        except aiohttp.InvalidURL as error:
            return error  # aiohttp's own word about an address that is no canonical one


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_no_spelling_of_the_loopback_is_connected_to(host: str) -> None:
    async with knocked() as (port, came):
        assert isinstance(await send(Guard(http=True), f"http://{host}:{port}/"), NotAllowed | aiohttp.InvalidURL)
        assert came == []


async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """It answers a public address to whoever looks first, and ours when the connection is made."""
    liar = Liar("93.184.216.34", "127.0.0.1")
    async with knocked() as (port, came):
        await liar.resolve("rebind.example", port)
        assert isinstance(await send(Guard(http=True), f"http://rebind.example:{port}/", liar), NotAllowed)
        assert liar.asked == 2
        assert came == []


async def test_where_it_is_allowed_the_same_request_arrives() -> None:
    """The control: nothing but the guard kept those out."""
    async with knocked() as (port, came):
        assert await send(Guard(OWN, http=True), f"http://rebind.example:{port}/", Liar("127.0.0.1")) == 204
        assert len(came) == 1
