"""Wakes workers: PgQueuer carries the message, our own task table holds the truth.

PgQueuer does not fence (a stopped worker that wakes finishes its job all the same) and does not count a crash as an
attempt, so a message here only says "look at this task"; core/domain/media_tasks.py decides whether there is anything to do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import UUID

from core.database import Connection, Row, Tx, dedicated

if TYPE_CHECKING:
    from pgqueuer import PgQueuer
    from pgqueuer.models import Job
    from pgqueuer.queries import Queries

ENTRYPOINT = "transcode_task"
_QUERIES = "pgqueuer.queries"
HEARTBEAT_TIMEOUT = timedelta(seconds=10)


async def enqueue_tasks(tx: Tx, tenant_id: UUID, tasks: Sequence[tuple[UUID, int]]) -> None:
    """Queues a look at each of the tenant's (task, priority); the higher priority is looked at first.

    Seen by workers when `tx` commits, never when it rolls back.
    """
    payloads = [f"{tenant_id}/{task_id}".encode() for task_id, _ in tasks]
    entrypoints = [ENTRYPOINT] * len(tasks)
    if not hasattr(sys.modules.get(_QUERIES), "Queries"):
        # An import of a quarter of a second, which holds nobody up from a thread.
        await asyncio.to_thread(import_module, _QUERIES)
    await _queries(tx.connection).enqueue(entrypoints, payloads, [priority for _, priority in tasks])


def _queries(connection: Connection[Row]) -> Queries:
    # Only now: with what PgQueuer brings along its import is a fifth of a web process's start, and few of these ever queue.
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    return Queries(AsyncpgDriver(connection))


def read_message(payload: bytes) -> tuple[UUID, UUID] | None:
    """Tenant and task of a message, or None for one that is not ours."""
    tenant, _, task = payload.decode("ascii", "replace").partition("/")
    try:
        return UUID(tenant), UUID(task)
    except ValueError:
        return None


async def install(connection: Connection[Row]) -> None:
    """Creates or upgrades PgQueuer's tables; `connection` must own the schema."""
    queries = _queries(connection)
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


class Consumer:
    """Calls a handler with tenant and task of every message, `slots` at a time."""

    def __init__(self, url: str, handler: Callable[[UUID, UUID], Awaitable[None]], *, slots: int) -> None:
        self._url = url
        self._handler = handler
        self._slots = slots
        self._queue: PgQueuer | None = None

    async def run(self) -> None:
        """Until `stop`; a message whose worker died is taken again after HEARTBEAT_TIMEOUT."""
        from pgqueuer import PgQueuer
        from pgqueuer.db import AsyncpgDriver

        connection = await dedicated(self._url)
        try:
            queue = self._queue = PgQueuer(AsyncpgDriver(connection))

            async def take(job: Job) -> None:
                # A message that nobody understands is dropped: the rescuer finds its task by the task's own row.
                if (message := read_message(job.payload or b"")) is not None:
                    await self._handler(*message)

            queue.entrypoint(ENTRYPOINT, concurrency_limit=0)(take)
            await queue.run(
                dequeue_timeout=timedelta(seconds=5),
                batch_size=self._slots,
                max_concurrent_tasks=2 * self._slots,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
            )
        finally:
            connection.terminate()

    def stop(self) -> None:
        """Takes no more; what runs is finished first."""
        if self._queue is not None:
            self._queue.shutdown.set()
