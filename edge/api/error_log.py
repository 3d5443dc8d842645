"""Failures of ours, written down for the operator: a row of `error_logs` for each request that ended in one.

Only what helps to find the fault: kind, place, address template. An error's own text is left out, since it may hold a row or a
secret. Written in the background and bounded, so that a storm of failures makes none of its own.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import structlog
from aiohttp import web

from core.database import Database, DatabaseDown
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.objects import StoreDown
from core.queries import load
from core.settings import ROOT
from core.viewer import Viewer, service
from edge.api.observe import REQUEST_ID
from edge.redis_client import RedisDown

log = structlog.get_logger(__name__)

SQL = load("edge.api", "error_log.sql")

MOST_WAITING = 200
DEEPEST_FRAMES = 40

_NOT_OURS = (web.HTTPException, web.RequestPayloadError, ConnectionError, DatabaseDown, RedisDown, StoreDown)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Failure:
    """What is written down of one. `stack` has files, lines and functions, the innermost last, and no values."""

    tenant_id: UUID
    user_id: UUID | None
    error_type: str
    status_code: int
    message: str
    stack: str
    endpoint: str
    method: str
    request_id: str


def failure_of(error: BaseException, viewer: Viewer | None, endpoint: str, method: str, request_id: str) -> Failure:
    """The failure that `error` is, for whoever asked."""
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_FRAMES:]
    places = [f"{_shown(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
    kind = type(error).__name__
    refusal = error if isinstance(error, Refusal) else None
    return Failure(
        viewer.tenant_id if viewer else DEFAULT_TENANT,
        viewer.user_id if viewer else None,
        refusal.code.code if refusal else kind,
        refusal.code.status if refusal else 500,
        refusal.code.message if refusal else f"{kind} at {places[-1] if places else 'an unknown place'}",
        "\n".join(places),
        endpoint,
        method,
        request_id,
    )


class ErrorLog:
    """Notes failures; `run` writes them down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[Failure] = asyncio.Queue(MOST_WAITING)

    def layer(self, viewer_of: Callable[[web.Request], Awaitable[Viewer]]) -> Any:
        """The middleware that sees what the handlers raise; below the boundary, which answers for it."""

        @web.middleware
        async def notice(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Exception as error:
                if _is_ours(error):
                    await self._note(request, error, viewer_of)
                raise

        return notice

    async def _note(
        self, request: web.Request, error: Exception, viewer_of: Callable[[web.Request], Awaitable[Viewer]]
    ) -> None:
        viewer: Viewer | None = None
        with suppress(Refusal, DatabaseDown):  # then it is nobody that we know
            viewer = await viewer_of(request)
        resource = request.match_info.route.resource
        endpoint = resource.canonical if resource is not None else "unknown"
        try:
            self._waiting.put_nowait(failure_of(error, viewer, endpoint, request.method, request.get(REQUEST_ID, "")))
        except asyncio.QueueFull:
            return  # it is in the log of the process all the same

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        while True:
            failure = await self._waiting.get()
            try:
                async with self._database.transaction(service(failure.tenant_id)) as tx:
                    await tx.run(
                        SQL["error_insert"],
                        failure.user_id,
                        failure.error_type,
                        failure.status_code,
                        failure.message,
                        failure.stack,
                        failure.endpoint,
                        failure.method,
                        orjson.dumps({"request_id": failure.request_id}).decode(),
                    )
            except (DatabaseDown, Refusal) as error:
                log.warning("error_not_logged", request_id=failure.request_id, error=type(error).__name__)


def _is_ours(error: Exception) -> bool:
    """A fault or a refusal for which we are to blame. A server that is away is no news, and could not take the row."""
    if isinstance(error, Refusal):
        return error.code.status in (500, 504)
    return not isinstance(error, _NOT_OURS)


def _shown(filename: str) -> str:
    """A file as it is named in the repository, or by the last two parts of its path: no machine's own folders."""
    root = f"{ROOT}/"
    return filename.removeprefix(root) if filename.startswith(root) else "/".join(filename.rsplit("/", 2)[-2:])
