"""An HTTP client of no library's manners: sends exactly the bytes asked for, and a plain session for everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.demo import Demo

TIMEOUT_S = 60
PATIENCE = 20


@dataclass(frozen=True)
class Answer:
    """One answer, undecoded."""

    status: int
    headers: dict[str, str]
    body: bytes


async def raw(
    url: str, target: str | bytes, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """Asks for `target` as written: no normalising, no quoting. `url` says only where to connect."""
    where = urlsplit(url)
    assert where.hostname is not None
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            path = target.encode("latin-1") if isinstance(target, str) else target
            head = {"Host": where.netloc, "Connection": "close", **(headers or {})}
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            writer.write(method.encode() + b" " + path + b" HTTP/1.1\r\n" + lines.encode() + b"\r\n" + body)
            await writer.drain()
            top = await reader.readuntil(b"\r\n\r\n")
            status, *fields = top.decode("latin-1").strip().split("\r\n")
            pairs = (field.partition(":") for field in fields)
            said = {name.lower(): value.strip() for name, _, value in pairs}
            bodiless = method == "HEAD" or status.split(" ")[1] in ("204", "304")
            # Not to the end of the connection: after a refusal it stays open for what is still being sent.
            rest = b"" if bodiless else await reader.readexactly(int(said.get("content-length", "0")))
    finally:
        writer.close()
    return Answer(int(status.split(" ")[1]), said, rest)


@dataclass
class Person:
    """A client of the demo, signed in or a guest."""

    http: aiohttp.ClientSession
    url: str
    anon_key: str
    access_token: str | None = None
    refresh_token: str | None = None
    user_id: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What a signed-in client sends."""
        bearer = {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}
        return {"apikey": self.anon_key, **bearer}

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and decoded JSON (or None)."""
        headers = {"Accept-Encoding": "identity", **self.headers, **options.pop("headers", {})}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **options) as answer:
            body = await answer.read()
            return answer.status, await answer.json(content_type=None) if body else None

    async def play(self, content_id: str, **body: Any) -> dict[str, Any]:
        """A grant; asserts that it was given. Always the same device, so that no test takes another one's stream."""
        status, grant = await self.call("POST", f"/play/{content_id}", json={"device_id": "test-client", **body})
        assert status == 200, grant
        return dict(grant)

    async def get(self, path: str, **options: Any) -> Answer:
        """A plain GET below the edge, with no headers of ours: what a player does."""
        method = options.pop("method", "GET")
        async with self.http.request(method, f"{self.url}{path}", allow_redirects=False, **options) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, headers, await answer.read())


@asynccontextmanager
async def guest(demo: Demo) -> AsyncIterator[Person]:
    """Nobody in particular. Bodies come as they are on the wire."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as http:
        yield Person(http, demo.url, demo.anon_key)


@asynccontextmanager
async def signed_in(demo: Demo, email: str) -> AsyncIterator[Person]:
    """One of the demo's people."""
    async with guest(demo) as person:
        await enter(person, email, demo.password_of(email))
        yield person


async def enter(person: Person, email: str, password: str, *, new: bool = False) -> None:
    """Signs `person` in, or up."""
    path = "/auth/v1/signup" if new else "/auth/v1/token?grant_type=password"
    status, session = await person.call("POST", path, json={"email": email, "password": password})
    for _ in range(PATIENCE):
        if status != 503:
            break
        # A server that is just being started again says so; a client tries again.
        await asyncio.sleep(0.5)
        status, session = await person.call("POST", path, json={"email": email, "password": password})
    assert status == 200, session
    person.access_token, person.refresh_token = session["access_token"], session["refresh_token"]
    person.user_id = session["user"]["id"]
