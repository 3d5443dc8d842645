"""A receiver of webhooks: a real server that keeps what it was sent and answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook


@dataclass
class Sent:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found


@dataclass
class Receiver:
    """`answer` says what each request gets; by default 204."""

    url: str = ""
    got: list[Sent] = field(default_factory=list)
    answer: Callable[[Sent], web.StreamResponse] = lambda _: web.Response(status=204)
    held: asyncio.Event | None = None
    """While it is there and not set, nobody is answered..."""
    answers_left: int = 0
    """... but so many first."""

    async def take(self, request: web.Request) -> web.StreamResponse:
        sent = Sent(request.path, dict(request.headers), await request.read())
        self.got.append(sent)
        if self.held is not None and not self.held.is_set():
            self.answers_left -= 1
            if self.answers_left < 0:
                await self.held.wait()
        return self.answer(sent)

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """What it got, as the reference library lets it through."""
        return [Webhook(secret).verify(sent.body, sent.headers) for sent in self.got]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.take)
    async with TestServer(app, host="127.0.0.1") as server:
        made.url = f"http://127.0.0.1:{server.port}"
        yield made
