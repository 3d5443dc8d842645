"""The whole web application in one process, over the test's own database, Valkey and store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from core.domain import identity
from core.keys import Key, KeyRing
from core.objects import ObjectStore
from core.viewer import service
from edge.api.access import AccessKeys
from edge.app import Edge, open_edge
from edge.local.valkey import EmbeddedValkey
from edge.redis_client import Redis
from edge.settings import Settings, read_settings
from tests.conftest import TestDatabase
from tests.edge.tokens.conftest import Cast
from tests.edge.tokens.conftest import cast as cast

RING = KeyRing((Key("k1", b"1" * 48),))
MASTER = b"#EXTM3U\n#EXT-X-VERSION:7\n"
SEGMENT = bytes(range(256)) * 40


@dataclass
class House:
    """A served installation and the ways a test talks to it."""

    edge: Edge
    client: TestClient[Any, Any]
    cast: Cast
    objects: ObjectStore
    sign_in: Callable[[UUID], Awaitable[dict[str, str]]]

    async def play(self, content: UUID, headers: dict[str, str] | None = None, **body: object) -> dict[str, Any]:
        """An answer of /play that must be a grant."""
        response = await self.client.post(f"/play/{content}", json=body, headers=headers or {})
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def refused(response: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal with that status and code."""
    body: dict[str, Any] = await response.json()
    assert (response.status, body["code"]) == (status, code), body
    return body


@pytest.fixture
def edge_settings(
    database_urls: TestDatabase, valkey: EmbeddedValkey, redis: Redis, objects: ObjectStore, tmp_path: Path
) -> Settings:
    """Settings that point at the test's servers."""
    return read_settings(
        {
            "PENSTOCK_DATA": str(tmp_path / "data"),
            "PENSTOCK_DATABASE_URL": database_urls.app_url,
            "PENSTOCK_REDIS_URL": valkey.url,
            "PENSTOCK_STORE_URL": objects.url,
            "PENSTOCK_SECRET_KEYS": f"k1:{'1' * 48}",
        }
    )


@pytest.fixture
async def house(edge_settings: Settings, objects: ObjectStore, cast: Cast, aiohttp_client: AiohttpClient) -> House:
    """Two films with media in the store."""
    for film in (cast.free_film, cast.paid_film):
        await objects.put(f"hls/{film}/1-1/master.m3u8", MASTER)
        await objects.put(f"hls/{film}/1-1/video/720p/1.m4s", SEGMENT)
    edge = await open_edge(edge_settings)
    client = await aiohttp_client(edge.app())
    keys = AccessKeys(RING)

    async def sign_in(user: UUID) -> dict[str, str]:
        now = datetime.now(UTC)
        origin = identity.Origin(None, "test")
        async with edge.database.transaction(service()) as tx:
            opened = await identity.open_session(tx, user, proof=None, origin=origin, now=now)
        person = opened.person
        token, _ = keys.mint(
            user_id=person.id, session_id=opened.session_id, email=person.email, platform_role=person.role, providers=[],
            user_metadata={}, now=now,
        )  # fmt: skip
        return {"Authorization": f"Bearer {token}"}

    return House(edge, client, cast, objects, sign_in)
