"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from edge.api.observe import REGISTRY
from edge.metric_files import whole

CACHED_S = 1.0

Probe = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class HealthFace:
    """Liveness never depends on another server; readiness does."""

    probes: Mapping[str, Probe]
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    _answer: dict[str, bool] = field(default_factory=dict)
    _asked_at: float = 0.0
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> list[web.RouteDef]:
        """The routes of this face."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz), web.get("/metrics", self.metrics)]

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while the event loop turns."""
        return web.Response(text="ok\n", headers={"Cache-Control": "no-store"})

    async def readyz(self, request: web.Request) -> web.Response:
        """200, or 503 and what is missing. Asked at most once a second, so probes do not add to an outage."""
        async with self._asking:
            if time.monotonic() - self._asked_at > CACHED_S:
                verdicts = await asyncio.gather(*(probe() for probe in self.probes.values()))
                self._answer = dict(zip(self.probes, verdicts, strict=True))
                self._asked_at = time.monotonic()
        missing = [name for name, well in self._answer.items() if not well]
        ready = not missing and not self.draining.is_set()
        return web.Response(
            status=200 if ready else 503,
            body=orjson.dumps({"ready": ready, "missing": missing, "draining": self.draining.is_set()}),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """All edge processes of this machine together, when they share a metrics folder."""
        return web.Response(body=await asyncio.to_thread(_counted), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _counted() -> bytes:
    shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if shared is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    with whole(Path(shared)):
        return generate_latest(registry)
