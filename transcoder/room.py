"""How much of its scratch disk a worker may take: decides when it takes no more tasks, and when one attempt has taken too much."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog

from core import errors
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from transcoder import figures
from transcoder.scratch import folder_of, free_bytes, used_bytes
from transcoder.status import Status

log = structlog.get_logger(__name__)

WATCH_S = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """`attempt_bytes`: what one attempt may take of the disk; `spare_bytes`: with less than that free, no task is taken."""

    attempt_bytes: int = 256 << 30
    spare_bytes: int = 1 << 30


USUAL = Bounds()


@dataclass(slots=True)
class Room:
    """The scratch disk of one worker."""

    scratch: Path
    bounds: Bounds
    _used_bytes: dict[UUID, int] = field(default_factory=dict)

    async def is_short(self) -> bool:
        """Whether a task would only spend one of its attempts here."""
        free = await asyncio.to_thread(free_bytes, self.scratch)
        if free >= self.bounds.spare_bytes:
            return False
        log.warning("short_of_disk", free_bytes=free, spare_bytes=self.bounds.spare_bytes, folder=str(self.scratch))
        figures.SHORT_OF_DISK.inc()
        return True

    async def watch(self, attempt: Attempt, status: Status) -> None:
        """Measures the attempt's folder until cancelled. Raises Refusal PS921 when it takes more than it may.

        RLIMIT_FSIZE bounds each file; a source that makes many, or a long film's ladder, fills a disk with small ones too.
        """
        folder = folder_of(self.scratch, attempt.task_id, attempt.fence)
        try:
            while True:
                await asyncio.sleep(WATCH_S)
                used = await asyncio.to_thread(used_bytes, folder)
                self._used_bytes[attempt.task_id] = used
                figures.SCRATCH.set(sum(self._used_bytes.values()))
                if refusal := decide_excess(used, self.bounds.attempt_bytes, status.scratch_bytes):
                    raise refusal
        finally:
            self._used_bytes.pop(attempt.task_id, None)
            figures.SCRATCH.set(sum(self._used_bytes.values()))


def decide_excess(used_bytes: int, most_bytes: int, plan_bytes: int | None) -> Refusal | None:
    """Whether `used_bytes` are beyond what any attempt may take, or beyond what this one's plan could, once there is one."""
    most = most_bytes if plan_bytes is None else min(most_bytes, plan_bytes)
    if used_bytes <= most:
        return None
    text = f"Encoding took {used_bytes / 1e9:.1f} GB of scratch space; at most {most / 1e9:.1f} GB are allowed."
    return Refusal(errors.SCRATCH_SPENT, text)
