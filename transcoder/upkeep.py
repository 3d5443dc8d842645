"""What a worker does every other second beside its tasks: wakes those of dead workers, finds what is due, sweeps, counts.

Any number of workers may do it at once; the database says whose turn a row is.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import structlog

from core.database import Database
from core.domain import media_keys, media_pieces, media_previews, media_repackaging, media_tasks
from core.domain.media_tasks import Waiting
from core.viewer import Viewer, service
from transcoder import figures
from transcoder.orphans import end_orphans
from transcoder.scratch import sweep
from transcoder.workshop import Workshop

log = structlog.get_logger(__name__)

COUNT_S = 10.0
# A look at 500 processes takes some 10 ms.
ORPHANS_S = 10.0


class Upkeep:
    """Of every tenant, and of the scratch disk of this machine."""

    def __init__(self, database: Database, shop: Workshop) -> None:
        self._database = database
        self._shop = shop
        self._lost_keys = set[UUID]()
        self._counts_again_at = 0.0
        self._looks_again_at = 0.0

    async def take_turn(self) -> None:
        """Raises DatabaseDown, StoreDown, Refusal: the next turn goes on."""
        if removed := await asyncio.to_thread(sweep, self._shop.scratch):
            log.info("scratch_swept", folders=removed)
        await self.end_orphans()
        await self.rescue()
        await self.queue_due()
        await self.tidy()
        await self.count_waiting()

    async def end_orphans(self) -> None:
        """Now and then; of workers of this machine that were killed."""
        now = time.monotonic()
        if now >= self._looks_again_at:
            self._looks_again_at = now + ORPHANS_S
            if ended := await asyncio.to_thread(end_orphans):
                log.warning("sandboxes_ended", count=ended)

    async def rescue(self) -> None:
        """Tasks of dead workers are queued again."""
        for viewer in await self._viewers():
            async with self._database.transaction(viewer) as tx:
                count = await media_tasks.rescue(tx)
            if count:
                log.info("tasks_woken", count=count, tenant=str(viewer.tenant_id))

    async def queue_due(self) -> None:
        """Titles whose subtitles have changed."""
        for viewer in await self._viewers():
            async with self._database.transaction(viewer) as tx:
                count = await media_repackaging.queue_due(tx)
            if count:
                log.info("repackaging_queued", count=count, tenant=str(viewer.tenant_id))

    async def count_waiting(self) -> None:
        """Now and then, for the figures."""
        now = time.monotonic()
        if now < self._counts_again_at:
            return
        self._counts_again_at = now + COUNT_S
        found: list[Waiting] = []
        for viewer in await self._viewers():
            async with self._database.transaction(viewer) as tx:
                found += await media_tasks.waiting(tx)
        figures.show_waiting(found)

    async def tidy(self) -> None:
        """Removes pieces of jobs that have ended, also of those whose worker did not live to see it, generations that nobody can be
        watching, and sources nobody reads.
        """
        await self._shop.let_go()
        for viewer in await self._viewers():
            async with self._database.transaction(viewer) as tx:
                jobs = await media_pieces.leftovers(tx)
            for job_id in jobs:
                await self._shop.store.delete_prefix(media_tasks.pieces_prefix(job_id))
                async with self._database.transaction(viewer) as tx:
                    await media_pieces.forget_leftovers(tx, job_id)
            await self._renew_seals(viewer)
            async with self._database.transaction(viewer) as tx:
                previews = await media_previews.expired(tx)
            for generation_id, prefix in previews:
                await self._shop.store.delete_prefix(prefix)
                async with self._database.transaction(viewer) as tx:
                    await media_previews.forget(tx, generation_id)
            async with self._database.transaction(viewer) as tx:
                replaced = await media_repackaging.replaced(tx)
            for one in replaced:
                await self._shop.store.delete_prefix(one.store_prefix, one.kept)
                async with self._database.transaction(viewer) as tx:
                    await media_repackaging.forget_replaced(tx, one.generation_id)

    async def _renew_seals(self, viewer: Viewer) -> None:
        """After the ring has turned: its older keys are then free to be retired."""
        if (ring := self._shop.ring) is None:
            return
        async with self._database.transaction(viewer) as tx:
            renewed, lost = await media_keys.renew_seals(tx, ring)
        if renewed:
            log.info("keys_sealed_anew", count=renewed, tenant=str(viewer.tenant_id))
        if unknown := set(lost) - self._lost_keys:
            self._lost_keys |= unknown
            log.error("keys_lost", generations=[str(one) for one in unknown], hint="Encode these titles again.")

    async def _viewers(self) -> list[Viewer]:
        async with self._database.transaction(service()) as tx:
            return [service(tenant_id) for tenant_id in await media_tasks.tenants(tx)]
