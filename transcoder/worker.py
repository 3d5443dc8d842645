"""The worker: takes tasks under a lease, keeps it, and says how each attempt ended.

Decides what is tried again. It does not encode (attempt.py), and the database knows who holds a task (media_tasks.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar
from uuid import UUID

import structlog

from core import errors
from core.database import Database, DatabaseDown, Tx
from core.domain import media_pieces, media_tasks
from core.domain.media_encoding import USUAL, Encoding
from core.domain.media_previews import Preview
from core.domain.media_results import Finished, Split
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.keys import KeyRing
from core.objects import ObjectStore, StoreDown
from core.viewer import Viewer, service
from transcoder import figures
from transcoder.attempt import perform
from transcoder.encoder import Transient
from transcoder.ladder import USUAL_TOP
from transcoder.publish import withdraw
from transcoder.room import USUAL as USUAL_BOUNDS
from transcoder.room import Bounds, Room
from transcoder.status import Status
from transcoder.upkeep import Upkeep
from transcoder.workshop import DEFAULT_CHUNK_S, Workshop

log = structlog.get_logger(__name__)
T = TypeVar("T")
Outcome = Literal["done", "again", "parked", "failed", "cancelled", "given_back", "lost", "unsaid"]
"""`unsaid`: the database was away for longer than anybody waits; the lease runs out, and another attempt follows."""

RENEW_S = 1.0
RESCUE_S = 2.0
# A message that found no free slot goes back, so that an idle worker elsewhere may have it.
SLOT_WAIT_S = 3.0
RETRY_DELAY_S = (5, 15, 60, 120)
# The result of hours of work is kept this long for a database that is away.
DATABASE_PATIENCE_S = 600.0


class _LeaseLost(Exception):  # noqa: N818 - states the fact
    pass


class _Stopping(Exception):  # noqa: N818 - states the fact
    pass


class Worker:
    """Handles task ids, at most `slots` at a time, until `stop` is called."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        scratch: Path,
        *,
        ffmpeg: Path | None = None,
        slots: int = 1,
        chunk_s: int = DEFAULT_CHUNK_S,
        encoding: Encoding = USUAL,
        ring: KeyRing | None = None,
        top: int = USUAL_TOP,
        bounds: Bounds = USUAL_BOUNDS,
    ) -> None:
        self._database = database
        self._store = store
        self._room = Room(scratch, bounds)
        self._shop = Workshop(store, scratch, ffmpeg, chunk_s, encoding, ring, top)
        self.upkeep = Upkeep(database, self._shop)
        self._slots = asyncio.Semaphore(slots)
        self._stopping = asyncio.Event()
        self._is_finishing = False
        self._owner = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        """Gives running tasks back to the queue; their encoders are killed and their scratch is removed."""
        self._stopping.set()

    def finish(self) -> None:
        """Takes no more tasks; those in hand go on."""
        self._is_finishing = True

    async def handle(self, tenant_id: UUID, task_id: UUID) -> None:
        """What a message means: look at the task, and do what is to be done. Never raises what a retry can mend."""
        viewer = service(tenant_id)
        try:
            async with asyncio.timeout(SLOT_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            await self._pass_on(viewer, task_id)
            return
        try:
            if self._stopping.is_set() or self._is_finishing:
                await self._pass_on(viewer, task_id)
                return
            if await self._room.is_short():
                with suppress(TimeoutError):
                    # Whoever has room may take it; the only worker there is would pass it to itself at once.
                    async with asyncio.timeout(SLOT_WAIT_S):
                        await self._stopping.wait()
                await self._pass_on(viewer, task_id)
                return
            attempt = await self._try(viewer, lambda tx: media_tasks.take_task(tx, task_id, self._owner))
            if attempt is not None:
                await self._run(viewer, attempt)
        except DatabaseDown as error:
            log.warning(
                "database_away", task=str(task_id), error=str(error)
            )  # the rescuer of any worker will find the task
        finally:
            self._slots.release()

    async def look_after(self) -> None:
        """Until `stop`: what a worker does every other second beside its tasks (upkeep.py)."""
        told = ""
        while not self._stopping.is_set():
            try:
                await self.upkeep.take_turn()
                told = ""
            except (DatabaseDown, Refusal, StoreDown) as error:
                if str(error) != told:  # once for each outage, not every other second
                    log.warning("rescue_failed", error=str(error))
                told = str(error)
            except Exception:
                # Without rescue and sweeping a worker would seem well and leave what it finds to nobody.
                log.exception("rescue_broke")
            with suppress(TimeoutError):
                async with asyncio.timeout(RESCUE_S):
                    await self._stopping.wait()

    async def _pass_on(self, viewer: Viewer, task_id: UUID) -> None:
        try:
            async with self._database.transaction(viewer) as tx:
                await media_tasks.pass_on(tx, task_id)
        except DatabaseDown as error:
            log.warning("task_not_passed_on", task=str(task_id), error=str(error))

    async def _run(self, viewer: Viewer, attempt: Attempt) -> None:
        """One attempt, counted from its beginning to how it ended."""
        logger = log.bind(task=str(attempt.task_id), fence=attempt.fence, content=str(attempt.content_id))
        logger.info("attempt_begins", kind=attempt.kind, chunk=attempt.chunk_no, attempt=attempt.attempts)
        began = time.monotonic()
        figures.BEGUN.labels(attempt.kind).inc()
        figures.AT_WORK.labels(attempt.kind).inc()
        outcome: Outcome = "unsaid"
        try:
            outcome = await self._attempt(viewer, attempt, logger)
        finally:
            figures.AT_WORK.labels(attempt.kind).dec()
            figures.ENDED.labels(attempt.kind, outcome).inc()
        if outcome == "done":
            figures.SECONDS.labels(attempt.kind).observe(time.monotonic() - began)

    async def _attempt(self, viewer: Viewer, attempt: Attempt, logger: structlog.stdlib.BoundLogger) -> Outcome:
        status = Status()
        try:
            done = await self._work(viewer, attempt, status)
        except _LeaseLost:
            logger.warning("lease_lost")
            return "lost"
        except _Stopping:
            await self._try(viewer, lambda tx: media_tasks.give_back(tx, attempt, delay_s=0, refund=True))
            logger.info("given_back")
            return "given_back"
        except Transient as failure:
            logger.warning("attempt_failed", code=failure.refusal.code.code, details=failure.refusal.details)
            return await self._again_later(viewer, attempt, failure.refusal)
        except Refusal as refusal:
            reason = refusal
            await self._try(viewer, lambda tx: media_tasks.fail(tx, attempt, reason))
            logger.warning("job_failed", code=reason.code.code, message=str(reason), details=reason.details)
            return "cancelled" if reason.code is errors.CANCELLED else "failed"
        except Exception:
            # A mistake of ours must not cost the job its other attempts, nor go unseen.
            logger.exception("attempt_broke")
            return await self._again_later(viewer, attempt, Refusal(errors.INTERNAL))
        return await self._end(viewer, attempt, done)

    async def _work(self, viewer: Viewer, attempt: Attempt, status: Status) -> Finished | Split | None:
        """The attempt beside its lease: whichever ends first decides; the other is ended and waited for."""

        async def show(preview: Preview) -> bool:
            shown = await self._try(viewer, lambda tx: media_tasks.show_preview(tx, attempt, preview))
            if shown:
                log.info("preview_shown", task=str(attempt.task_id), content=str(attempt.content_id))
            return shown

        doing = asyncio.create_task(perform(attempt, self._shop, status, show))
        keeping = asyncio.create_task(self._keep(viewer, attempt, status))
        watching = asyncio.create_task(self._room.watch(attempt, status))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((doing, keeping, watching, stopping), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            await _end(doing)
            for beside in (keeping, watching):
                if beside.done():
                    beside.result()
            raise _Stopping
        finally:
            for task in (doing, keeping, watching, stopping):
                await _end(task)

    async def _keep(self, viewer: Viewer, attempt: Attempt, status: Status) -> None:
        """Renews the lease once a second. Raises _LeaseLost, or Refusal when a person cancelled the job."""
        while True:
            status.ticked_at = time.monotonic()
            await asyncio.sleep(RENEW_S)
            try:
                async with self._database.transaction(viewer) as tx:
                    answer = await media_tasks.renew(
                        tx, attempt, status.percent, status.eta_s, status.stage, status.ladder
                    )
            except (DatabaseDown, Refusal) as error:
                # Not ours to decide: if the lease runs out, the fence will tell.
                log.warning("lease_not_renewed", task=str(attempt.task_id), error=str(error))
                continue
            if answer == "lost":
                raise _LeaseLost
            if answer == "cancel":
                raise Refusal(errors.CANCELLED)

    async def _end(self, viewer: Viewer, attempt: Attempt, done: Finished | Split | None) -> Outcome:
        """One step makes the result count. Only a clear no removes objects: a commit may lose its answer."""
        logger = log.bind(task=str(attempt.task_id), fence=attempt.fence, content=str(attempt.content_id))

        async def count(tx: Tx) -> bool:
            match done:
                case Split():
                    return await media_pieces.split(tx, attempt, done)
                case Finished():
                    return await media_tasks.finish(tx, attempt, done)
                case None if attempt.kind == "preview":
                    return await media_tasks.finish_preview(tx, attempt)
                case None:
                    return await media_pieces.finish_piece(tx, attempt)

        if not await self._try(viewer, count):
            # Players may hold a preview's token: the sweeper removes it when none can.
            if attempt.kind != "preview":
                await withdraw(self._store, attempt.store_prefix)
                logger.warning("lease_lost_at_the_end")
            return "lost"
        if isinstance(done, Finished):
            logger.info("published", duration_ms=done.duration_ms, size_bytes=done.size_bytes)
        else:
            logger.info("piece_done", kind=attempt.kind, chunk=attempt.chunk_no, pieces=done.chunks if done else None)
        return "done"

    async def _again_later(self, viewer: Viewer, attempt: Attempt, refusal: Refusal) -> Outcome:
        if attempt.is_last:
            await self._try(viewer, lambda tx: media_tasks.fail(tx, attempt, refusal))
            return "parked"
        delay_s = RETRY_DELAY_S[min(attempt.attempts, len(RETRY_DELAY_S)) - 1]
        message = refusal.message or refusal.code.message
        await self._try(
            viewer,
            lambda tx: media_tasks.give_back(
                tx, attempt, delay_s=delay_s, refund=False, why=refusal.code, message=message, details=refusal.details
            ),
        )
        return "again"

    async def _try(self, viewer: Viewer, act: Callable[[Tx], Awaitable[T]]) -> T:
        """One transaction, repeated while the database is away. Raises DatabaseDown when patience ends."""
        deadline = asyncio.get_running_loop().time() + DATABASE_PATIENCE_S
        pause_s = 0.2
        while True:
            try:
                async with self._database.transaction(viewer) as tx:
                    return await act(tx)
            except DatabaseDown:
                if self._stopping.is_set() or asyncio.get_running_loop().time() > deadline:
                    raise
            except Refusal as refusal:
                # A lock that was not had in time; everything else is ours to mend.
                if refusal.code is not errors.TIMEOUT or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)


async def _end(task: asyncio.Task[T]) -> None:
    """Cancels `task` and waits until its cleaning up is done, whatever it raises."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # looked at, so that it is not reported as forgotten
