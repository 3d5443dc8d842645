"""Keeps house: partitions of all event tables ahead and old ones aside, the ledger short, silent sessions' views, sums checked,
sessions that ended long ago in their archive.

It lives with the drain because one of those always runs where heartbeats are written.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import structlog

from core.database import Database, DatabaseDown
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.viewer import service
from edge.progress.write import SQL

log = structlog.get_logger(__name__)

KEEP_EVERY_S = 600
AGAIN_S = 2.0
FORGET_ROWS = 20_000
FORGET_ROUNDS = 500
PARTITION_ROUNDS = 500
ARCHIVE_ROWS = 200
"""Sessions in one transaction. The refresh tokens of each go with it: with 300 each, 0.9 s on a busy machine."""
ARCHIVE_ROUNDS = 500


class Keeper:
    """Runs in every drain; a lock lets one of them work at a time."""

    def __init__(
        self, database: Database, keep_months: int, errors_keep_days: int = 0, sessions_keep_days: int = 0
    ) -> None:
        self._database = database
        self._keep_months = keep_months
        self._errors_keep_days = errors_keep_days
        self._sessions_keep_days = sessions_keep_days

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop; soon again when PostgreSQL was away."""
        while not stopping.is_set():
            wait_s: float = KEEP_EVERY_S
            try:
                await self.keep()
            except (DatabaseDown, Refusal) as error:
                log.warning("keeper_waits", error=str(error))
                wait_s = AGAIN_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stopping.wait()

    async def keep(self) -> bool:
        """One round; False when another process is at it. Raises DatabaseDown, Refusal."""
        viewer = service(DEFAULT_TENANT)
        async with self._database.transaction(viewer) as tx:
            if not await tx.value(SQL["keeper_lock"]):
                return False
            await tx.value(SQL["views_partitions_ensure"])
            await tx.run(SQL["views_settle"])
            await tx.run(SQL["presence_forget_old"])
        for forget in (SQL["ledger_forget_old"], SQL["ledger_crowded_forget_old"]):
            for _ in range(FORGET_ROUNDS):
                async with self._database.transaction(viewer) as tx:
                    if await tx.run(forget, FORGET_ROWS) < FORGET_ROWS:
                        break
        if self._keep_months:
            # By itself: it needs the parent table alone for a moment, and gives up after the lock timeout.
            async with self._database.transaction(viewer) as tx:
                gone = await tx.value(SQL["views_partitions_detach"], self._keep_months)
            if gone:
                log.info("view_partitions_detached", months=self._keep_months, partitions=gone)
        await self._keep_partitions()
        await self._archive_sessions()
        await self._refresh()
        return True

    async def _keep_partitions(self) -> None:
        """All other tables that are cut by time (`time_partitions`), a few pieces in a transaction."""
        for _ in range(PARTITION_ROUNDS):
            async with self._database.transaction(service(DEFAULT_TENANT)) as tx:
                pieces = await tx.many(SQL["partitions_keep"])
            if not pieces:
                break
            log.info("partitions_kept", pieces=[f"{piece['partition']}: {piece['done']}" for piece in pieces])

    async def _archive_sessions(self) -> None:
        """Those of all people, a few in a transaction: one that is cut off has moved none of its own, and the next round takes them."""
        moved = 0
        for _ in range(ARCHIVE_ROUNDS if self._sessions_keep_days else 0):
            async with self._database.transaction(service(DEFAULT_TENANT)) as tx:
                done = await tx.value(SQL["sessions_archive"], self._sessions_keep_days, ARCHIVE_ROWS)
            moved += done
            if done < ARCHIVE_ROWS:
                break
        if moved:
            log.info("sessions_archived", days=self._sessions_keep_days, sessions=moved)

    async def _forget_errors(self, tenant_id: UUID) -> None:
        for _ in range(FORGET_ROUNDS if self._errors_keep_days else 0):
            async with self._database.transaction(service(tenant_id)) as tx:
                if await tx.run(SQL["errors_forget_old"], self._errors_keep_days, FORGET_ROWS) < FORGET_ROWS:
                    break

    async def _refresh(self) -> None:
        """What time ends in a shop and in courses, and the aggregates whose turn it is, in every tenant.

        Those are kept as events come; what is mended here was missed.
        """
        async with self._database.transaction(service(DEFAULT_TENANT)) as tx:
            tenants = await tx.many(SQL["tenants_all"])
        for tenant in tenants:
            async with self._database.transaction(service(tenant["id"])) as tx:
                await tx.one(SQL["shop_keep"], datetime.now(UTC))
            async with self._database.transaction(service(tenant["id"])) as tx:
                runs = await tx.many(SQL["aggregates_refresh"])
            async with self._database.transaction(service(tenant["id"])) as tx:
                chores = await tx.many(SQL["courses_keep"])
            await self._forget_errors(tenant["id"])
            if chores:
                log.info("courses_kept", tenant=str(tenant["id"]), **{row["chore"]: row["done"] for row in chores})
            for run in runs:
                if run["mended"]:
                    log.warning(
                        "aggregate_mended", tenant=str(tenant["id"]), aggregate=run["aggregate"], rows=run["mended"]
                    )
